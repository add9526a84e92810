import { chmodSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { messageOf, RekeycastError } from '../errors.ts';
import {
  type AdminRequest,
  type AdminResponse,
  formatAdminLine,
  MAX_ADMIN_LINE_BYTES,
  parseAdminRequest,
} from '../keyring/admin-protocol.ts';
import { errorCode } from '../util/file-system.ts';

const IDLE_TIMEOUT_MS = 10_000;

type AdminHandler = (request: AdminRequest, gone: AbortSignal) => Promise<AdminResponse>;

/** The operator's way in: a unix socket of mode 0600 in a directory of mode 0700. */
export class AdminSocket {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /**
   * Whether a server listens there now. The socket of a killed one takes no calls. Throws `STATE_IN_USE` where that cannot be told, since the
   * socket is another user's.
   */
  static isServed(path: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const socket = connect({ path });
      const answer = (served: boolean) => {
        socket.destroy();
        resolve(served);
      };
      socket.once('connect', () => answer(true));
      socket.once('error', (cause) => {
        const code = errorCode(cause);
        if (code === 'EACCES' || code === 'EPERM') reject(notOurs(path, cause));
        // unix(7): it is there, and has more callers than it has taken yet.
        else answer(code === 'EAGAIN');
      });
    });
  }

  /** `handle` may reject: its words go to the operator. `gone`: whoever asked has hung up, and gets no answer any more. A socket that a killed server has left is replaced: see {@link isServed}. */
  static async listen(path: string, handle: AdminHandler): Promise<AdminSocket> {
    rmSync(path, { force: true });
    const server = createServer((socket) => serve(socket, handle));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    chmodSync(path, 0o600);
    return new AdminSocket(server);
  }

  close(): void {
    this.#server.close();
  }
}

const notOurs = (path: string, cause: Error): RekeycastError =>
  new RekeycastError(
    'STATE_IN_USE',
    `whether a server runs there cannot be told: ${path} is another user's (${messageOf(cause)}). Run this as the user of that server, or give this one directories of its own`,
    { cause },
  );

/** One line in, one line out. */
function serve(socket: Socket, handle: AdminHandler): void {
  let received = '';
  const gone = new AbortController();
  const answer = (response: AdminResponse) => socket.end(formatAdminLine(response));
  const receive = (text: string): void => {
    received += text;
    const end = received.indexOf('\n');
    if (end < 0 && received.length <= MAX_ADMIN_LINE_BYTES) return;
    socket.off('data', receive);
    const request = end < 0 ? undefined : parseAdminRequest(received.slice(0, end));
    // What was asked may take its time.
    socket.setTimeout(0);
    if (request === undefined) answer({ ok: false, error: 'this is not a request of the protocol' });
    else
      handle(request, gone.signal).then(answer, (error: unknown) =>
        answer({ ok: false, error: messageOf(error) }),
      );
  };
  socket.setEncoding('utf8');
  socket.setTimeout(IDLE_TIMEOUT_MS, () => socket.destroy());
  socket.on('data', receive);
  // Whoever hangs up early gets no answer; that is all.
  socket.on('error', () => socket.destroy());
  socket.on('close', () => gone.abort());
}

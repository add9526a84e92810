import { connect } from 'node:net';
import {
  type AdminRequest,
  type AdminResponse,
  formatAdminLine,
  MAX_ADMIN_LINE_BYTES,
  parseAdminResponse,
} from '../keyring/admin-protocol.ts';
import { readRunFile, whyUnreadable } from '../snapshot/run-file.ts';
import { errorCode } from '../util/file-system.ts';
import { printable } from '../util/printable.ts';

export type AdminAnswer =
  | { readonly kind: 'answer'; readonly response: AdminResponse }
  /** No server listens there. */
  | { readonly kind: 'nobody' }
  /** Somebody listens, or may, and gave no answer that makes sense. */
  | { readonly kind: 'silent'; readonly why: string };

const ANSWER_TIMEOUT_MS = 10_000;

/** Asks the running server one thing, and hangs up when the signal is given. Never rejects. */
export function askServer(
  path: string,
  request: AdminRequest,
  timeoutMs = ANSWER_TIMEOUT_MS,
  stop?: AbortSignal,
): Promise<AdminAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    let received = '';
    const finish = (answer: AdminAnswer): void => {
      socket.destroy();
      resolve(answer);
    };
    const answered = (): AdminAnswer => {
      const response = parseAdminResponse(received.split('\n')[0]!);
      return response === undefined
        ? { kind: 'silent', why: 'its answer makes no sense' }
        : { kind: 'answer', response };
    };
    const hangUp = (): void => finish({ kind: 'silent', why: 'it was not waited for' });
    if (stop?.aborted) hangUp();
    stop?.addEventListener('abort', hangUp, { once: true });
    socket.setEncoding('utf8');
    socket.setTimeout(timeoutMs, () => finish({ kind: 'silent', why: `no answer within ${timeoutMs} ms` }));
    socket.on('connect', () => socket.write(formatAdminLine(request)));
    socket.on('data', (text: string) => {
      received += text;
      if (received.includes('\n') || received.length > MAX_ADMIN_LINE_BYTES) finish(answered());
    });
    socket.on('end', () =>
      finish(received === '' ? { kind: 'silent', why: 'it hung up without an answer' } : answered()),
    );
    socket.on('error', (cause) => {
      const code = errorCode(cause);
      finish(
        code === 'ENOENT' || code === 'ECONNREFUSED'
          ? { kind: 'nobody' }
          : { kind: 'silent', why: cause.message },
      );
    });
  });
}

/** Asks the server that runs on a STATE_DIR. Its socket is looked up each time: the next process may have another one. */
export async function askServerOf(
  stateDir: string,
  request: AdminRequest,
  timeoutMs?: number,
): Promise<AdminAnswer> {
  const socket = readRunFile(stateDir)?.adminSocket;
  if (socket !== undefined) return askServer(socket, request, timeoutMs);
  const why = whyUnreadable(stateDir);
  return why === undefined ? { kind: 'nobody' } : { kind: 'silent', why };
}

/** Why it did not do what it was asked, in words; `undefined` where it did. */
export function refusalOf(answer: AdminAnswer): string | undefined {
  switch (answer.kind) {
    case 'nobody':
      return 'no server listens';
    case 'silent':
      return answer.why;
    case 'answer':
      return answer.response.ok ? undefined : printable(answer.response.error);
  }
}

import { createServer } from 'node:net';
import {
  type AdminRequest,
  type AdminResponse,
  formatAdminLine,
  parseAdminRequest,
} from '../../src/keyring/admin-protocol.ts';

/** A server's admin socket; where `handle` gives nothing, it hangs up without an answer. */
export async function adminServer(
  path: string,
  handle: (request: AdminRequest) => Promise<AdminResponse | undefined>,
): Promise<{ close(): Promise<void> }> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', async (line: Buffer) => {
      const request = parseAdminRequest(line.toString().trimEnd());
      const response = request === undefined ? undefined : await handle(request);
      if (response === undefined) socket.destroy();
      else socket.end(formatAdminLine(response));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

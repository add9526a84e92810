import { connect } from 'node:net';
import { join } from 'node:path';
import type { ServerProcess } from './process.ts';

/** One line to the running server's admin socket, and its one line back. */
export async function askAdmin(server: ServerProcess, request: { command: string }): Promise<unknown> {
  const socket = connect(join(server.directories.runtime, 'admin.sock'));
  socket.setEncoding('utf8');
  socket.write(`${JSON.stringify(request)}\n`);
  let answer = '';
  for await (const text of socket) {
    answer += String(text);
    if (answer.includes('\n')) break;
  }
  socket.destroy();
  return JSON.parse(answer);
}

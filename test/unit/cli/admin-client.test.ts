import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { askServer, refusalOf } from '../../../src/cli/admin-client.ts';
import { testDirectory } from '../../support/test-directory.ts';

const LONG_MS = 10_000;

const root = testDirectory();
let path: string;
const closing: (() => void)[] = [];

beforeEach(() => {
  path = join(root.path, 'admin.sock');
});

afterEach(() => {
  for (const close of closing.splice(0)) close();
});

describe('a question to the running server', () => {
  it('is answered', async () => {
    const asked: string[] = [];
    await listen((socket) =>
      socket.on('data', (line) => {
        asked.push(line.toString());
        socket.end('{"ok":true,"sessions":2}\n');
      }),
    );
    expect(await askServer(path, { command: 'status' }, LONG_MS)).toEqual({
      kind: 'answer',
      response: { ok: true, sessions: 2 },
    });
    expect(asked).toEqual(['{"command":"status"}\n']);
  });

  it('is put together from pieces, and from a line without an end', async () => {
    await listen((socket) => {
      socket.write('{"ok":');
      setImmediate(() => socket.end('true}'));
    });
    expect(await askServer(path, { command: 'status' }, LONG_MS)).toMatchObject({ kind: 'answer' });
  });

  it('reaches nobody where there is no socket', async () => {
    expect(await askServer(path, { command: 'status' }, LONG_MS)).toEqual({ kind: 'nobody' });
  });

  it.each([
    ['hangs up', (socket: Socket) => socket.end()],
    ['talks nonsense', (socket: Socket) => socket.end('hello\n')],
    ['never stops', (socket: Socket) => socket.write('x'.repeat(70_000))],
  ])('is not answered where somebody %s', async (_, behave) => {
    await listen(behave);
    expect(await askServer(path, { command: 'status' }, LONG_MS)).toMatchObject({ kind: 'silent' });
  });

  it('is not waited for without end', async () => {
    await listen(() => {});
    expect(await askServer(path, { command: 'status' }, 20)).toEqual({
      kind: 'silent',
      why: 'no answer within 20 ms',
    });
  });
});

describe('the words for an answer', () => {
  it('are those of the server, or why there are none, and none where all is well', () => {
    expect(refusalOf({ kind: 'answer', response: { ok: true } })).toBeUndefined();
    expect(refusalOf({ kind: 'answer', response: { ok: false, error: 'the disk is full' } })).toBe(
      'the disk is full',
    );
    expect(refusalOf({ kind: 'silent', why: 'it hung up' })).toBe('it hung up');
    expect(refusalOf({ kind: 'nobody' })).toBe('no server listens');
  });
});

async function listen(behave: (socket: Socket) => unknown): Promise<void> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    behave(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

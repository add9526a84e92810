import { existsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type AdminRequest,
  type AdminResponse,
  MAX_ADMIN_LINE_BYTES,
} from '../../../src/keyring/admin-protocol.ts';
import { AdminSocket } from '../../../src/signaling/admin.ts';
import { testDirectory } from '../../support/test-directory.ts';
import { until } from '../../support/wait.ts';

const directory = testDirectory();
let path: string;
let requests: AdminRequest[];
let open: AdminSocket[];

beforeEach(() => {
  path = join(directory.path, 'admin.sock');
  requests = [];
  open = [];
});

afterEach(() => {
  for (const socket of open) socket.close();
});

async function listen(
  handle: (request: AdminRequest) => Promise<AdminResponse> = async () => ({ ok: true }),
): Promise<void> {
  open.push(
    await AdminSocket.listen(path, (request) => {
      requests.push(request);
      return handle(request);
    }),
  );
}

/** Says these pieces and returns all that comes back until the server hangs up. */
async function say(...pieces: readonly (string | Buffer)[]): Promise<string> {
  const socket = connect(path);
  let answer = '';
  socket.on('data', (data) => {
    answer += String(data);
  });
  socket.on('error', () => undefined);
  for (const piece of pieces) await new Promise((written) => socket.write(piece, written));
  await until('the server hangs up', () => socket.closed);
  return answer;
}

describe('AdminSocket', () => {
  it.each(['status', 'rekey', 'reseal', 'drain'] as const)(
    'takes %s and gives what comes of it',
    async (command) => {
      await listen(async (request) => ({ ok: true, did: request.command }));
      expect(await say(`{"command":"${command}"}\n`)).toBe(`{"ok":true,"did":"${command}"}\n`);
      expect(requests).toEqual([{ command }]);
    },
  );

  it('puts a line together that comes in pieces, and ignores what is behind it', async () => {
    await listen();
    expect(await say('{"comm', 'and":"sta', 'tus"}\n{"command":"rekey"}\n')).toBe('{"ok":true}\n');
    expect(requests).toEqual([{ command: 'status' }]);
  });

  it.each([
    ['garbage', 'hello\n'],
    ['an empty line', '\n'],
    ['an unknown command', '{"command":"shutdown"}\n'],
    ['a field more', '{"command":"rekey","force":true}\n'],
    ['bytes that are not UTF-8', Buffer.from('ff7b7d0a', 'hex')],
  ])('refuses %s in words, and goes on', async (_what, line) => {
    await listen();
    expect(JSON.parse(await say(line))).toMatchObject({ ok: false, error: expect.any(String) });
    expect(requests).toEqual([]);
    expect(await say('{"command":"status"}\n')).toBe('{"ok":true}\n');
  });

  it('reads no more than a line has', async () => {
    await listen();
    expect(JSON.parse(await say('x'.repeat(MAX_ADMIN_LINE_BYTES + 1)))).toMatchObject({ ok: false });
    const padded = '{"command":"status"}'.padEnd(MAX_ADMIN_LINE_BYTES);
    expect(await say(`${padded}\n`)).toBe('{"ok":true}\n');
  });

  it('gives the words of what went wrong', async () => {
    await listen(async () => {
      throw new Error('the keyring cannot be read');
    });
    expect(JSON.parse(await say('{"command":"reseal"}\n'))).toEqual({
      ok: false,
      error: 'the keyring cannot be read',
    });
  });

  it('outlives one who hangs up before the answer', async () => {
    let release: () => void = () => undefined;
    await listen(
      () =>
        new Promise((resolve) => {
          release = () => resolve({ ok: true });
        }),
    );
    const socket = connect(path);
    socket.write('{"command":"rekey"}\n');
    await until('the request is here', () => requests.length === 1);
    socket.destroy();
    release();
    const next = say('{"command":"status"}\n');
    await until('the next request is here', () => requests.length === 2);
    release();
    expect(await next).toBe('{"ok":true}\n');
  });

  it('is for its owner only', async () => {
    await listen();
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('replaces the socket that a killed server has left', async () => {
    await listen(async () => ({ ok: true, from: 'the old one' }));
    await listen(async () => ({ ok: true, from: 'the new one' }));
    expect(JSON.parse(await say('{"command":"status"}\n'))).toEqual({ ok: true, from: 'the new one' });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('takes its file with it', async () => {
    await listen();
    open.pop()!.close();
    await until('the file is gone', () => !existsSync(path));
  });

  it('says where it cannot be', async () => {
    path = join(directory.path, 'nowhere', 'admin.sock');
    await expect(listen()).rejects.toMatchObject({ code: expect.stringMatching(/^E/) });
  });
});

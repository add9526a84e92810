import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { rekey } from '../../../src/cli/rekey.ts';
import type { AdminRequest, AdminResponse } from '../../../src/keyring/admin-protocol.ts';
import { announceServer } from '../../../src/snapshot/run-file.ts';
import { adminServer } from '../../support/admin-server.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

describe('rekeycast rekey', () => {
  it('orders new keys from the server of its STATE_DIR', async () => {
    const asked = await runningServer({ ok: true, sessions: 3 });
    expect(await run()).toEqual({ code: 0, out: 'new keys are on the way to 3 sessions\n', err: '' });
    expect(asked).toEqual([{ command: 'rekey' }]);
  });

  it('passes on why the server refuses', async () => {
    await runningServer({ ok: false, error: 'it is stopping' });
    expect(await run()).toEqual({
      code: 1,
      out: '',
      err: `rekeycast rekey: ${root.path}: it is stopping\n`,
    });
  });

  it('says that no server listens, whether one was announced or not', async () => {
    const nobody = { code: 1, out: '', err: `rekeycast rekey: ${root.path}: no server listens\n` };
    expect(await run()).toEqual(nobody);
    announceServer(root.path, { adminSocket: join(root.path, 'none.sock') });
    expect(await run()).toEqual(nobody);
  });

  it('takes no arguments', async () => {
    expect(await run('now')).toMatchObject({ code: 2, out: '' });
  });
});

async function runningServer(response: AdminResponse): Promise<readonly AdminRequest[]> {
  const adminSocket = join(root.path, 'admin.sock');
  const asked: AdminRequest[] = [];
  const server = await adminServer(adminSocket, async (request) => {
    asked.push(request);
    return response;
  });
  closing.push(() => server.close());
  announceServer(root.path, { adminSocket });
  return asked;
}

async function run(...argv: readonly string[]) {
  let [out, err] = ['', ''];
  const io = {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  };
  return { code: await rekey(argv, { STATE_DIR: root.path }, io), out, err };
}

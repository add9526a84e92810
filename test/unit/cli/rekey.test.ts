import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { rekey } from '../../../src/cli/rekey.ts';
import type { AdminRequest, AdminResponse } from '../../../src/keyring/admin-protocol.ts';
import { announceServer } from '../../../src/snapshot/run-file.ts';
import { announcedServers } from '../../support/announced-server.ts';
import { type Ran, ran } from '../../support/command.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();
const servers = announcedServers(root);

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

  it('takes no other arguments', async () => {
    const asked = await runningServer({ ok: true, sessions: 3 });
    for (const wrong of ['now', '--all', '--json=yes'])
      expect(await run(wrong)).toMatchObject({ code: 2, out: '' });
    expect(asked).toEqual([]);
  });

  it('says how it is called, and orders nothing', async () => {
    const asked = await runningServer({ ok: true, sessions: 3 });
    for (const option of ['--help', '-h']) {
      const { code, out } = await run(option);
      expect(code).toBe(0);
      expect(out).toContain('rekeycast rekey [--json]');
    }
    expect(asked).toEqual([]);
  });

  it('answers programs in JSON', async () => {
    await runningServer({ ok: true, sessions: 3 });
    expect(await run('--json')).toMatchObject({ code: 0, out: '{"ordered":true,"sessions":3}\n' });
  });
});

const runningServer = (response: AdminResponse): Promise<readonly AdminRequest[]> =>
  servers.start(() => response);

const run = (...argv: readonly string[]): Promise<Ran> =>
  ran((io) => rekey(argv, { STATE_DIR: root.path }, io));

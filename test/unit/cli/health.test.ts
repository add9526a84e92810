import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { health } from '../../../src/cli/health.ts';
import type { AdminResponse } from '../../../src/keyring/admin-protocol.ts';
import { announceServer } from '../../../src/snapshot/run-file.ts';
import { announcedServers } from '../../support/announced-server.ts';
import { type Ran, ran } from '../../support/command.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();
const servers = announcedServers(root);

describe('rekeycast health', () => {
  it('is good where the server answers, be it ready or not', async () => {
    await runningServer({ ok: true, ready: false });
    expect(await run()).toEqual({ code: 0, out: 'alive\n', err: '' });
    expect(await run('--json')).toEqual({ code: 0, out: '{"live":true,"ready":false}\n', err: '' });
  });

  it('is good with --ready where it takes visitors, and only there', async () => {
    const server = await runningServer({ ok: true, ready: true });
    expect(await run('--ready')).toEqual({ code: 0, out: 'ready\n', err: '' });
    server.response = { ok: true, ready: false };
    expect(await run('--ready')).toEqual({
      code: 1,
      out: '',
      err: `rekeycast health: ${root.path}: the server takes no visitors now\n`,
    });
    expect(await run('--ready', '--json')).toMatchObject({ code: 1, out: '{"live":true,"ready":false}\n' });
  });

  it('is bad where nobody answers, and says why', async () => {
    const nobody = { code: 1, out: '', err: `rekeycast health: ${root.path}: no server listens\n` };
    expect(await run()).toEqual(nobody);
    announceServer(root.path, { adminSocket: join(root.path, 'none.sock') });
    expect(await run()).toEqual(nobody);
    expect((await run('--json')).out).toBe('{"live":false,"ready":false,"why":"no server listens"}\n');
    await runningServer(undefined);
    expect((await run()).err).toContain('hung up');
  });

  it('waits for a server that is about to start, as long as it is told', async () => {
    expect((await run('--wait', '0')).code).toBe(1);
    const waiting = run('--ready', '--wait', '60');
    const server = await runningServer({ ok: true, ready: false });
    await server.asked;
    server.response = { ok: true, ready: true };
    expect(await waiting).toEqual({ code: 0, out: 'ready\n', err: '' });
  });

  it.each([['--wait', 'long'], ['--wait', '-1'], ['--wait', '90000'], ['now'], ['--red']])(
    'is called wrongly with %s %s',
    async (...argv) => {
      const { code, out, err } = await run(...argv);
      expect({ code, out }).toEqual({ code: 2, out: '' });
      expect(err).toContain('Usage:');
    },
  );

  it('explains itself', async () => {
    expect(await run('--help')).toEqual({
      code: 0,
      out: expect.stringContaining('--wait <seconds>'),
      err: '',
    });
  });
});

/** Answers every question with `response`; hangs up where there is none. */
async function runningServer(response: AdminResponse | undefined) {
  let noteAsked = (): void => {};
  const asked = new Promise<void>((resolve) => {
    noteAsked = resolve;
  });
  const running = { response, asked };
  await servers.start(() => {
    noteAsked();
    return running.response;
  });
  return running;
}

const run = (...argv: readonly string[]): Promise<Ran> =>
  ran((io) => health(argv, { STATE_DIR: root.path }, io));

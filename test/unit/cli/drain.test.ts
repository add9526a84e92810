import { describe, expect, it } from 'vitest';
import { drain } from '../../../src/cli/drain.ts';
import type { AdminResponse } from '../../../src/keyring/admin-protocol.ts';
import { announcedServers } from '../../support/announced-server.ts';
import { type Ran, ran } from '../../support/command.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();
const servers = announcedServers(root);

describe('rekeycast drain', () => {
  it('tells the server to, and who is left', async () => {
    const asked = await servers.start(() => draining(3));
    expect(await run()).toEqual({
      code: 0,
      out: '3 visitors are left; the server ends when the last has left, or in 60 s\n',
      err: '',
    });
    expect(await run('--json')).toMatchObject({
      code: 0,
      out: '{"draining":true,"sessions":3,"leftMs":59500}\n',
    });
    expect(asked.map(({ command }) => command)).toEqual(['drain', 'drain']);
  });

  it('says so where nobody is left', async () => {
    await servers.start(() => draining(0));
    expect((await run()).out).toBe('nobody is left: the server ends now\n');
  });

  it('waits until the server has ended, and shows each change', async () => {
    const left = [2, 2, 2, 1, 1, 0];
    const asked = await servers.start(async () => {
      if (left.length === 1) servers.end();
      return draining(left.shift()!);
    });
    const { code, out } = await run('--wait', '--json');
    expect(code).toBe(0);
    expect(out.split('\n').filter(Boolean).map(shown)).toEqual([2, 1, 0, { draining: false, ended: true }]);
    expect(asked.map(({ command }) => command)).toEqual([
      'drain',
      'status',
      'status',
      'status',
      'status',
      'status',
    ]);
  });

  it('takes another server in its place for its end', async () => {
    let asked = 0;
    await servers.start(() => (asked++ === 0 ? draining(1) : { ok: true, ready: true }));
    expect(await run('--wait')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/\nthe server has ended\n$/),
    });
  });

  it('waits for no server that has fallen silent', async () => {
    let asked = 0;
    await servers.start(() => (asked++ === 0 ? draining(1) : undefined));
    const { code, err } = await run('--wait');
    expect(code).toBe(1);
    expect(err).toContain('does not answer any more');
  });

  it('says why nothing came of it', async () => {
    const nobody = `rekeycast drain: ${root.path}: no server listens. Nothing was changed\n`;
    expect(await run('--wait')).toEqual({ code: 1, out: '', err: nobody });
    await servers.start(() => ({ ok: false, error: 'this is not a request of the protocol' }));
    expect(await run()).toMatchObject({ code: 1, out: '', err: expect.stringContaining('not a request') });
  });

  it('takes no answer for one that says nothing of a drain', async () => {
    await servers.start(() => ({ ok: true }));
    expect(await run()).toMatchObject({ code: 1, out: '', err: expect.stringContaining('makes no sense') });
  });

  it.each([['now'], ['--wait=5'], ['--force']])('is called wrongly with %s', async (argument) => {
    const { code, out, err } = await run(argument);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('Usage:');
  });

  it('explains itself', async () => {
    expect(await run('--help')).toEqual({
      code: 0,
      out: expect.stringContaining('SHUTDOWN_MAX_WAIT'),
      err: '',
    });
  });
});

const draining = (sessions: number): AdminResponse => ({ ok: true, draining: { sessions, leftMs: 59_500 } });

const shown = (line: string): unknown => {
  const parsed = JSON.parse(line) as { draining: boolean; sessions?: number };
  return parsed.draining ? parsed.sessions : parsed;
};

const run = (...argv: readonly string[]): Promise<Ran> =>
  ran((io) => drain(argv, { STATE_DIR: root.path }, io));

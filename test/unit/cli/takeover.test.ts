import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findPredecessor, type Takeover } from '../../../src/cli/takeover.ts';
import { readConfig } from '../../../src/config.ts';
import type { AdminRequest, AdminResponse } from '../../../src/keyring/admin-protocol.ts';
import { createLog } from '../../../src/log.ts';
import { announceServer } from '../../../src/snapshot/run-file.ts';
import { announcedServers } from '../../support/announced-server.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();
const servers = announcedServers(root);

describe('a takeover', () => {
  it('asks the running server to hand over, with new keys for everybody where it is told to', async () => {
    const asked = await running({ ok: true, pid: 1 });
    await (await predecessor())!.take();
    const takeover = await predecessor({ HANDOFF: 'fresh' });
    expect(takeover?.standing).toContain('was not asked');
    await takeover!.take();
    expect(takeover?.standing).toContain('nobody is lost');
    expect(asked).toEqual([
      { command: 'handover', fresh: false, sockets: false },
      { command: 'handover', fresh: true, sockets: false },
    ]);
  });

  it('fails in words where the running server does not hand over', async () => {
    await running({ ok: false, error: 'this is not a request of the protocol' });
    const takeover = await predecessor();
    await expect(takeover!.take()).rejects.toMatchObject({
      code: 'HANDOVER_REFUSED',
      message: expect.stringMatching(/not a request of the protocol.*left as it is/),
    });
    expect(takeover?.standing).toContain('goes on if it can');
  });

  it('fails in words where the running server says nothing and listens still', async () => {
    await running(undefined);
    await expect((await predecessor())!.take()).rejects.toMatchObject({
      code: 'HANDOVER_REFUSED',
      message: expect.stringContaining('does not answer'),
    });
  });

  it('goes on where the running server says nothing and is gone', async () => {
    await running(undefined, true);
    const takeover = await predecessor();
    await takeover!.take();
    expect(takeover?.standing).toContain('has ended before');
  });

  it('hangs up when it is told to stop', async () => {
    const stop = new AbortController();
    await running(() => {
      stop.abort('SIGTERM');
      return new Promise(() => undefined);
    });
    await expect((await predecessor({}, stop.signal))!.take()).rejects.toMatchObject({
      code: 'HANDOVER_REFUSED',
    });
  });

  it('is none where nobody listens, whoever was announced', async () => {
    expect(await predecessor()).toBeUndefined();
    announceServer(root.path, { adminSocket: join(root.path, 'admin.sock') });
    expect(await predecessor()).toBeUndefined();
  });

  it('is refused where the media contexts are elsewhere', async () => {
    await running({ ok: true }, false, '/dev/shm/elsewhere');
    await expect(predecessor()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

function predecessor(
  env: Readonly<Record<string, string>> = {},
  stop = new AbortController().signal,
): Promise<Takeover | undefined> {
  const config = readConfig({ STATE_DIR: root.path, RUNTIME_DIR: root.path, ...env });
  return findPredecessor(config, createLog('silent'), { inherited: {}, stop });
}

/** A server with this answer to everything; gives what it was asked. `ends`: it listens no more from the first question on. */
async function running(
  answer: AdminResponse | undefined | (() => Promise<undefined>),
  ends = false,
  runtimeDir = resolve(root.path),
): Promise<readonly AdminRequest[]> {
  return servers.start(() => {
    if (ends) servers.end();
    return typeof answer === 'function' ? answer() : answer;
  }, runtimeDir);
}

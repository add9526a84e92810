import { closeSync, constants, existsSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runningServer } from '../../support/fixture.ts';
import { makePipe } from '../../support/pipe.ts';
import { freePorts } from '../../support/ports.ts';
import type { ServerOptions, ServerProcess } from '../../support/process.ts';
import { testDirectory } from '../../support/test-directory.ts';
import { resumes, visit } from '../../support/visitor.ts';
import { until } from '../../support/wait.ts';

const root = testDirectory();

/** From when a file is there, whoever opens an identity to write it waits in the kernel, as with a disk that does not answer. */
const HANGING = `
import fs from 'node:fs/promises';
import { closeSync, constants, existsSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
const { open } = fs;
const hangs = (path) => existsSync('@/hangs') && String(path).includes('%identity.sealed');
fs.open = (path, ...rest) => {
  if (!hangs(path)) return open(path, ...rest);
  writeFileSync('@/hanging', '');
  return open('@/pipe', 'r');
};
syncBuiltinESMExports();
`;

/** `of`: whose identity, where it is one worker's alone. */
async function serverOnHangingDisk(of = '', options: ServerOptions = {}): Promise<ServerProcess> {
  const hook = join(root.path, 'hook.mjs');
  writeFileSync(hook, HANGING.replaceAll('@', root.path).replace('%', of));
  makePipe(join(root.path, 'pipe'));
  return runningServer({ ...options, env: { NODE_OPTIONS: `--import=${hook}`, ...options.env } });
}

const oneWorker = async (): Promise<ServerOptions> => ({
  udpPort: await freePorts(2),
  env: { WORKERS: '1' },
});

async function hang(): Promise<void> {
  writeFileSync(join(root.path, 'hangs'), '');
  await until('a write hangs', () => existsSync(join(root.path, 'hanging')), 30_000);
}

/** Whoever waits gets something that it cannot write to, and tries again. */
function heal(): void {
  rmSync(join(root.path, 'hangs'));
  try {
    closeSync(openSync(join(root.path, 'pipe'), constants.O_WRONLY | constants.O_NONBLOCK));
  } catch {
    // Nobody waits any more.
  }
}

describe('a disk that hangs', { timeout: 120_000 }, () => {
  it('does not keep a server that is told to end, which says so; nobody who was on file is lost', async () => {
    const server = await serverOnHangingDisk();
    const page = await visit(server);
    await page.hear('welcome');
    await hang();
    server.signal('SIGTERM');
    await server.exited();
    expect(server.events('disk-hangs')).toHaveLength(1);
    heal();
    await server.start();
    expect(await resumes(server, page)).toBe(true);
  });

  it('does not keep it where it hangs for a worker alone', async () => {
    const server = await serverOnHangingDisk('worker-1/', await oneWorker());
    const page = await visit(server);
    await page.hear('welcome');
    await hang();
    server.signal('SIGTERM');
    await server.exited();
    expect(server.events('disk-hangs').map(({ fields }) => fields.worker)).toEqual([1]);
    heal();
    await server.start();
    expect(await resumes(server, page)).toBe(true);
  });

  it('has a server that is to hand over refuse in words, and go on', async () => {
    const server = await serverOnHangingDisk();
    const page = await visit(server);
    await hang();
    const { before, run } = server.spawnBeside(['serve', '--takeover'], { NODE_OPTIONS: '' });
    await server.exited();
    expect(run.exit?.code).toBe(1);
    expect(run.stderr).toMatch(/does not hand over \(the disk under STATE_DIR has taken no identity/);
    await server.fallBack(before);
    expect(await server.isReady()).toBe(true);
    heal();
    expect(await resumes(server, page)).toBe(true);
  });

  it('does not keep it from ending at once on a second signal', async () => {
    const server = await serverOnHangingDisk();
    await hang();
    server.signal('SIGTERM');
    await until('it is about to end', () => server.events('stopping').length === 1);
    await until(
      'it has taken notice for a while',
      () => !server.running || server.events('stopping')[0]!.receivedAt + 1_000 < performance.now(),
    );
    server.signal('SIGTERM');
    await server.exited();
  });
});

import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MEDIA_ANCHOR, MEDIA_FILE } from '../../src/snapshot/media-file.ts';
import { prepareServer } from '../support/fixture.ts';
import { libdatachannel } from '../support/foreign-stacks.ts';
import { HeadlessPage } from '../support/headless-page.ts';
import type { Directories, ServerProcess } from '../support/process.ts';
import { until } from '../support/wait.ts';

const RACES = 10;
/** The contexts outlive all the races, on the slowest of machines. */
const LASTING = { MEDIA_TTL: '600s', STALE_KEY_TTL: '600s' };

/** A server with a visitor who has keys, so that there are contexts to go on with. */
async function startVisited(): Promise<ServerProcess> {
  const server = await prepareServer({ env: LASTING });
  await server.start();
  const page = new HeadlessPage(server.url, libdatachannel);
  onTestFinished(() => page.close());
  await page.open();
  await until('the visitor has keys', () => page.epoch === 0);
  return server;
}

/** Kills a server that has its contexts of now on file, and not in the middle of a write of them: that would leave none. */
async function killBetweenWrites(server: ServerProcess): Promise<void> {
  const [anchor, file] = [
    join(server.env.STATE_DIR!, MEDIA_ANCHOR),
    join(server.env.RUNTIME_DIR!, MEDIA_FILE),
  ];
  const now = BigInt(Date.now()) * 1_000_000n;
  const isWhole = () => writtenAt(file) > now && writtenAt(anchor) >= writtenAt(file);
  const stands = () => /\) T /.test(readFileSync(`/proc/${server.run.pid}/stat`, 'latin1'));
  await until('its contexts are on file', async () => {
    if (!isWhole()) return false;
    server.signal('SIGSTOP');
    await until('it stands still', stands);
    if (!isWhole()) server.signal('SIGCONT');
    return isWhole();
  });
  await server.kill();
}

/** In nanoseconds since 1970; 0 where there is no such file. */
const writtenAt = (path: string): bigint =>
  statSync(path, { bigint: true, throwIfNoEntry: false })?.mtimeNs ?? 0n;

/** Another server on directories that there are, with ports of its own. */
const prepareOn = ({ state, keys, runtime }: Directories): Promise<ServerProcess> =>
  prepareServer({ env: { ...LASTING, STATE_DIR: state, KEYS_DIR: keys, RUNTIME_DIR: runtime } });

/** What became of a process that was started: how many contexts it goes on with, or why it does not run. */
async function outcome(server: ServerProcess): Promise<{ contexts: number } | { refused: string }> {
  const { run } = server;
  await until(
    'it runs or has ended',
    () => run.exit !== undefined || /"event":"started".*\n/.test(run.stdout),
  );
  const contexts = /"event":"started".*"contexts":(\d+)/.exec(run.stdout)?.[1];
  if (contexts !== undefined) return { contexts: Number(contexts) };
  await server.exited();
  return { refused: run.stderr };
}

const REFUSED = { refused: expect.stringMatching(/another server .*\[STATE_IN_USE\]/s) };
const GOES_ON = { contexts: 1 };

describe('two processes on one snapshot', { timeout: 300_000 }, () => {
  it('replay-two-in-one-instant: exactly one goes on with the contexts, the other says why it does not', async () => {
    const one = await startVisited();
    const two = await prepareOn(one.directories);
    await killBetweenWrites(one);
    for (let race = 0; race < RACES; race++) {
      const both = race % 2 === 0 ? [one, two] : [two, one];
      for (const server of both) server.spawn();
      const outcomes = await Promise.all(both.map(outcome));
      expect(outcomes).toEqual(expect.arrayContaining([GOES_ON, REFUSED]));
      for (const server of both) if (server.running) await killBetweenWrites(server);
    }
  });

  it('replay-second-process: is refused while the first lives, which goes on', async () => {
    const one = await startVisited();
    const two = await prepareOn(one.directories);
    two.spawn();
    expect(await outcome(two)).toEqual(REFUSED);
    expect(await one.isReady()).toBe(true);
    await killBetweenWrites(one);
    two.spawn();
    expect(await outcome(two)).toEqual(GOES_ON);
  });

  it('replay-copied-directories: a copy gives nobody the contexts, be the first alive or dead', async () => {
    const one = await startVisited();
    const copies = await prepareServer({ env: LASTING });
    // No file comes or goes while it is copied.
    one.signal('SIGSTOP');
    for (const name of ['state', 'keys', 'runtime'] as const)
      execFileSync('cp', ['-a', `${one.directories[name]}/.`, copies.directories[name]]);
    one.signal('SIGCONT');
    copies.spawn();
    expect(await outcome(copies)).toEqual(REFUSED);

    // What says where the first can be asked is not there, as where only the sealed files were copied.
    rmSync(join(copies.directories.state, 'server.json'));
    await killBetweenWrites(one);
    one.spawn();
    copies.spawn();
    const [first, second] = await Promise.all([outcome(one), outcome(copies)]);
    expect(first).toEqual(GOES_ON);
    expect(second).toEqual({ contexts: 0 });
    expect(copies.run.stdout).toMatch(/is refused|resume by re-key/);
  });
});

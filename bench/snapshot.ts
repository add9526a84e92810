import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Keyring } from '../src/keyring/keyring.ts';
import { FileSnapshotStore } from '../src/snapshot/file-store.ts';
import { nodeFileSystem } from '../src/util/file-system.ts';
import { countOf } from '../src/util/histogram.ts';
import { secureRandom } from '../src/util/rng.ts';
import { loadSodium } from '../src/util/sodium.ts';
import { testIdentity } from '../test/support/dtls-identity.ts';
import { median, percentile, worst } from '../test/support/gaps.ts';
import { sampleIdentity } from '../test/support/snapshots.ts';
import { elapse } from '../test/support/wait.ts';
import { openPages, Page } from './fanout-page.ts';
import { type MediaWrite, ProbedServer, type Profile } from './probed-server.ts';
import { writeSection } from './report.ts';
import { machine } from './table.ts';
import { processorTimeOf } from './times.ts';

/**
 * What snapshots cost a server with media flowing. Two servers run at the same time under the same load, one of which writes no media snapshot
 * (`RESUME=strict`): each window is measured at both.
 */

const USAGE = 'usage: npm run bench:snapshot -- [--sessions <n,n>] [--seconds <n>] [--windows <n>] [--write]';
const SETTLE_MS = 5_000;
const AT_ONCE = 32;
const FRAME = { packets: 2, padding: 1_084, interval: 100 };
const IDENTITY_INTERVAL_S = 10;
const IDENTITY_WRITES = 20;
/** Of a core, at so many viewers. */
const GOAL = { share: 0.01, sessions: 1_000 };
const LEAST_LIVE = 0.99;

const { values: options } = parseArgs({
  options: {
    sessions: { type: 'string', default: '1,100,1000' },
    /** Of a window. */
    seconds: { type: 'string', default: '10' },
    windows: { type: 'string', default: '3' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}

interface Window {
  readonly seconds: number;
  readonly writes: readonly MediaWrite[];
  /** Media snapshots of any cause. */
  readonly written: number;
  /** Processor time of each server, all threads, in seconds. */
  readonly cpu: number;
  readonly cpuStrict: number;
}

interface Measured {
  readonly sessions: number;
  readonly windows: readonly Window[];
  readonly mediaBytes: number;
  readonly identityBytes: number;
  /** Writes while all came. */
  readonly coming: { readonly seconds: number; readonly media: number; readonly identity: number };
  readonly identity: { readonly heldMs: number; readonly cpuMs: number };
  readonly profile: Profile;
}

const identity = await testIdentity();
const [windowMs, windows] = [Number(options.seconds) * 1_000, Number(options.windows)];

async function measure(sessions: number): Promise<Measured> {
  const both = await Promise.all(['auto', 'strict'].map((RESUME) => ProbedServer.start({ RESUME })));
  const [auto, strict] = both as [ProbedServer, ProbedServer];
  const pages: Page[] = [];
  const open = async ({ server }: ProbedServer, count: number): Promise<void> => {
    const at = { url: server.url, udpPort: server.udpPort, identity };
    pages.push(...(await openPages(1, 1, () => new Page({ ...at, name: 'source', frame: FRAME }))));
    pages.push(
      ...(await openPages(count, AT_ONCE, (number) => new Page({ ...at, name: `${number}`, every: 16 }))),
    );
  };
  try {
    await open(strict, sessions);
    const from = performance.now();
    const before = await auto.facts();
    await open(auto, sessions);
    const seconds = (performance.now() - from) / 1_000;
    const after = await auto.facts();
    await elapse(SETTLE_MS);
    const found: Window[] = [];
    for (let i = 0; i < windows; i++) found.push(await measureWindow(auto, strict));
    const profile = await auto.profileDuring(() => elapse(windowMs));
    await checkLive([auto, strict], sessions);
    const { snapshots } = await auto.facts();
    const written = (kind: 'media' | 'identity'): number =>
      countOf(after.snapshots[kind]!.writeMs) - countOf(before.snapshots[kind]!.writeMs);
    return {
      sessions,
      windows: found,
      mediaBytes: snapshots.media!.bytes,
      identityBytes: snapshots.identity.bytes,
      coming: { seconds, media: written('media'), identity: written('identity') },
      identity: await measureIdentity(sessions),
      profile,
    };
  } finally {
    for (const page of pages) page.leave();
    await Promise.all(both.map(({ server }) => server.dispose()));
  }
}

/** On a machine that has too much to do viewers are lost, and what is left is not what was asked for. */
async function checkLive(servers: readonly ProbedServer[], sessions: number): Promise<void> {
  for (const server of servers) {
    const { groups } = (await server.facts()).sessions;
    const live = groups.reduce((sum, { state, count }) => sum + (state === 'live' ? count : 0), 0);
    if (live < sessions * LEAST_LIVE)
      throw new Error(`only ${live} of ${sessions} viewers are left: the machine is too busy to measure`);
  }
}

async function measureWindow(auto: ProbedServer, strict: ProbedServer): Promise<Window> {
  const look = async () => {
    const facts = await auto.facts();
    return {
      at: performance.now(),
      written: countOf(facts.snapshots.media!.writeMs),
      cpu: cpuOf(auto),
      cpuStrict: cpuOf(strict),
    };
  };
  const before = await look();
  await auto.writes();
  await elapse(windowMs);
  const writes = await auto.writes();
  const after = await look();
  if (writes.length === 0) throw new Error('the probe sees no media snapshot: has its interval changed?');
  return {
    seconds: (after.at - before.at) / 1_000,
    writes,
    written: after.written - before.written,
    cpu: after.cpu - before.cpu,
    cpuStrict: after.cpuStrict - before.cpuStrict,
  };
}

/** In this process, on the disk of the temporary files: libuv's threads do a part of it, and their time belongs to it. */
async function measureIdentity(sessions: number): Promise<Measured['identity']> {
  await loadSodium();
  const directory = mkdtempSync(join(tmpdir(), 'rekeycast-bench-'));
  try {
    const keys = await Keyring.open({
      directory: join(directory, 'keys'),
      fs: nodeFileSystem,
      rng: secureRandom,
    });
    const store = new FileSnapshotStore({
      stateDir: join(directory, 'state'),
      runtimeDir: undefined,
      keys,
      report: () => undefined,
    });
    const snapshot = sampleIdentity(secureRandom, sessions + 1);
    const held: number[] = [];
    const cpu: number[] = [];
    for (let i = 0; i < 2 * IDENTITY_WRITES; i++) {
      const [used, from] = [process.cpuUsage(), performance.now()];
      const written = store.writeIdentity(snapshot);
      held.push(performance.now() - from);
      await written;
      const { user, system } = process.cpuUsage(used);
      cpu.push((user + system) / 1_000);
    }
    // The first half is for V8 to compile.
    return { heldMs: median(held.slice(IDENTITY_WRITES)), cpuMs: median(cpu.slice(IDENTITY_WRITES)) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const cpuOf = ({ server }: ProbedServer): number => processorTimeOf(server.run.pid) / 1e9;

/** Share of a core: writes of another cause than the interval are taken to cost what those cost. */
const mediaShare = ({ writes, written, seconds }: Window): number =>
  (mean(writes.map(({ cpuMs }) => cpuMs)) * written) / 1_000 / seconds;

function report(all: readonly Measured[]): string {
  const line = (what: string, of: (measured: Measured) => string, goal = ''): string =>
    `| ${what} | ${all.map(of).join(' | ')} | ${goal} |`;
  const writesOf = ({ windows }: Measured): readonly MediaWrite[] => windows.flatMap(({ writes }) => writes);
  const held = (measured: Measured): number[] => writesOf(measured).map(({ ms }) => ms);
  const identityShare = ({ identity }: Measured): number => identity.cpuMs / 1_000 / IDENTITY_INTERVAL_S;
  const share = (measured: Measured): number =>
    median(measured.windows.map(mediaShare)) + identityShare(measured);
  const between = (values: readonly number[], show: (value: number) => string): string =>
    `${show(median(values))} (${show(Math.min(...values))} – ${show(Math.max(...values))})`;
  const rate = (measured: Measured, kind: 'media' | 'identity'): string =>
    (measured.coming[kind] / measured.coming.seconds).toFixed(1);
  const rows = [
    `| | ${all.map(({ sessions }) => `${sessions} viewer${sessions === 1 ? '' : 's'}`).join(' | ')} | goal |`,
    `|---|${all.map(() => '---|').join('')}---|`,
    line(
      '**processor time of both snapshots, of a core**',
      (m) => percent(share(m)),
      `≤ ${GOAL.share * 100} % at ${GOAL.sessions}`,
    ),
    line('media: of a core, median (least – most of the windows)', (m) =>
      between(m.windows.map(mediaShare), percent),
    ),
    line('media: writes a second', (m) =>
      between(
        m.windows.map((w) => w.written / w.seconds),
        (n) => n.toFixed(1),
      ),
    ),
    line('media: processor time of a write', (m) => ms(mean(writesOf(m).map(({ cpuMs }) => cpuMs)))),
    line('media: a write holds the loop up, median', (m) => ms(median(held(m)))),
    line('— 99th percentile', (m) => ms(percentile(held(m), 0.99))),
    line('— longest', (m) => ms(worst(held(m)))),
    line('media: bytes', (m) => bytes(m.mediaBytes)),
    line('— a session', (m) => bytes(m.mediaBytes / (m.sessions + 1))),
    line(`identity: of a core, once in ${IDENTITY_INTERVAL_S} s`, (m) => percent(identityShare(m))),
    line('identity: processor time of a write, all threads', (m) => ms(m.identity.cpuMs)),
    line('identity: encoding and sealing hold the loop up, median', (m) => ms(m.identity.heldMs)),
    line('identity: bytes', (m) => bytes(m.identityBytes)),
    line('— a session', (m) => bytes(m.identityBytes / (m.sessions + 1)), '≤ 600 B'),
    line('while all came, in so long', (m) => `${m.coming.seconds.toFixed(1)} s`),
    line('— media writes a second', (m) => rate(m, 'media')),
    line('— identity writes a second', (m) => rate(m, 'identity')),
    line('the whole server, of a core', (m) =>
      between(
        m.windows.map((w) => w.cpu / w.seconds),
        percent,
      ),
    ),
    line('— less the one that writes no media snapshot, in the same window', (m) =>
      between(
        m.windows.map((w) => (w.cpu - w.cpuStrict) / w.seconds),
        percent,
      ),
    ),
    line('in a profile of the main thread: media', ({ profile }) => percent(profile.media)),
    line('— identity', ({ profile }) => percent(profile.identity)),
    line('— collector, for whatever', ({ profile }) => percent(profile.collector)),
  ];
  const atGoal = all.find(({ sessions }) => sessions === GOAL.sessions);
  return [
    `${machine()}, load ${loadavg()[0]!.toFixed(1)}. \`npm run bench:snapshot\`: ${windows} windows of ${options.seconds} s for each number of viewers.`,
    '',
    `A broadcaster sends ${(FRAME.packets * 1_000) / FRAME.interval} packets a second; viewers are real as far as the network sees, with reports once a second and some packets asked for again. All of a media`,
    'write counts: capturing, encoding, sealing, the file, its anchor, granting the limits. It is timed in the server by a module that is loaded beside it, with',
    "the processor time of all threads meanwhile, the collector's too. The identity is timed in the benchmark's process, with as many sessions. A server with",
    '`RESUME=strict`, which writes no media snapshot, runs at the same time under the same load: the difference is what snapshots cost by another way of counting, with all the noise of two processes.',
    '',
    ...rows,
    '',
    atGoal === undefined
      ? `The goal is of ${GOAL.sessions} viewers, who were not measured.`
      : `The goal is ${share(atGoal) <= GOAL.share ? 'met' : '**not met**'}: ${percent(share(atGoal))} of a core at ${GOAL.sessions} sessions.`,
  ].join('\n');
}

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
const ms = (value: number): string => `${value.toFixed(2)} ms`;
const bytes = (value: number): string => `${Math.round(value).toLocaleString('en')} B`;
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const measured: Measured[] = [];
for (const sessions of options.sessions.split(',').map(Number)) measured.push(await measure(sessions));
const text = report(measured);
console.log(text);
if (options.write) writeSection('snapshot', text);
process.exit();

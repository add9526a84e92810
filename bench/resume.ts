import type { ChildProcess } from 'node:child_process';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { askServer } from '../src/cli/admin-client.ts';
import { serverFacts } from '../src/observability/facts.ts';
import { boundOf } from '../src/util/histogram.ts';
import { longestGap, median, percentile, worst } from '../test/support/gaps.ts';
import { freePort } from '../test/support/ports.ts';
import { BUILT_SERVER, ServerProcess } from '../test/support/process.ts';
import { UdpRelay } from '../test/support/relay.ts';
import { TcpRelay } from '../test/support/tcp-relay.ts';
import { elapse, until } from '../test/support/wait.ts';
import { answerOf, startPart } from './part.ts';
import { writeSection } from './report.ts';
import type { LoadOrder, PageReport } from './resume-load.ts';
import { machine } from './table.ts';
import { processorTimeOf, systemNow, timesOf } from './times.ts';

/**
 * What a restart costs a room of one, a hundred and a thousand viewers: `kill -9`, half a second without a server, a new process. Pages over real sockets, in
 * processes of their own; all of them come back at the same moment, as soon as the server answers.
 */

const USAGE = `usage: npm run bench:resume -- [--viewers <n,n,...>] [--repeat <n>] [--far <viewers>] [--down <ms>] [--quick] [--write]`;
/** Behind a restart: what it has cost is over. */
const SETTLE_MS = 3_500;
/** For so long it is then looked at what the server takes anyway, before the next restart. */
const STEADY_MS = 1_500;
const PATIENCE_MS = 120_000;
const FRAME_MS = 33;
const RTT_MS = 100;
/** How long after the server is back frames are looked at, through the relays. */
const OBSERVED_MS = 2_500;

const { values: options } = parseArgs({
  options: {
    viewers: { type: 'string', default: '1,100,1000' },
    repeat: { type: 'string' },
    far: { type: 'string', default: '20' },
    down: { type: 'string', default: '500' },
    /** For who profiles: what goes before the program, separated by spaces. */
    node: { type: 'string', default: '' },
    log: { type: 'string', default: 'info' },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}

/** One restart. Times are milliseconds. */
interface Restart {
  readonly spawnToFirstPacket: number;
  readonly spawnToLastServed: number;
  readonly spawnToAllRekeyed: number;
  /** From the moment at which all pages begin to open their WebSockets. */
  readonly backToAllRekeyed: number;
  readonly handshakesPerSecond: number;
  readonly handshakesPerCoreSecond: number;
  /** Of the server for each handshake: of all threads, of the one that does the handshakes, and of that without what it takes anyway (media, reports, snapshots). */
  readonly processorTime: number;
  readonly mainThreadTime: number;
  readonly ownTime: number;
  readonly staleSinceOffer: readonly number[];
  readonly staleSinceSpawn: readonly number[];
  readonly loopDelay: number;
  /** At each viewer: the longest time between two packets that could be decoded once they had come back. */
  readonly gaps: readonly number[];
}

interface Quantity {
  readonly what: string;
  readonly unit: string;
  readonly of: (restarts: readonly Restart[]) => readonly number[];
  /** By number of viewers. */
  readonly goal?: (viewers: number) => number | undefined;
  readonly most?: boolean;
}

const QUANTITIES: readonly Quantity[] = [
  {
    what: 'spawn → first packet at a viewer',
    unit: 'ms',
    of: each((one) => one.spawnToFirstPacket),
    goal: (viewers) => (viewers === 1 ? 120 : viewers === 1000 ? 300 : undefined),
  },
  { what: 'spawn → last viewer has had a packet', unit: 'ms', of: each((one) => one.spawnToLastServed) },
  {
    what: 'WebSockets begin → all have new keys',
    unit: 'ms',
    of: each((one) => one.backToAllRekeyed),
    goal: (viewers) => (viewers === 1000 ? 5_000 : undefined),
  },
  { what: 'spawn → all have new keys', unit: 'ms', of: each((one) => one.spawnToAllRekeyed) },
  { what: 'handshakes a second', unit: '', of: each((one) => one.handshakesPerSecond), most: true },
  {
    what: "handshakes a second of the server's processor time",
    unit: '',
    of: each((one) => one.handshakesPerCoreSecond),
    most: true,
  },
  { what: 'processor time of a handshake, all threads', unit: 'ms', of: each((one) => one.processorTime) },
  { what: '— of the main thread', unit: 'ms', of: each((one) => one.mainThreadTime) },
  {
    what: '— less what media, reports and snapshots take of it a moment later',
    unit: 'ms',
    of: each((one) => one.ownTime),
  },
  {
    what: 'offer → stale keys destroyed, p50',
    unit: 'ms',
    of: each((one) => percentile(one.staleSinceOffer, 0.5)),
  },
  {
    what: 'offer → stale keys destroyed, p99',
    unit: 'ms',
    of: each((one) => percentile(one.staleSinceOffer, 0.99)),
  },
  {
    what: 'spawn → stale keys destroyed, p50',
    unit: 'ms',
    of: each((one) => percentile(one.staleSinceSpawn, 0.5)),
  },
  {
    what: 'spawn → stale keys destroyed, p99',
    unit: 'ms',
    of: each((one) => percentile(one.staleSinceSpawn, 0.99)),
  },
  { what: 'longest event-loop delay, at most', unit: 'ms', of: each((one) => one.loopDelay) },
];

const counts = options.quick ? [1, 100] : options.viewers.split(',').map(Number);
const began = performance.now();
const [loadBefore] = loadavg();
const columns: { readonly viewers: number; readonly restarts: readonly Restart[] }[] = [];
for (const viewers of counts.filter((one) => one > 0)) {
  columns.push({ viewers, restarts: await measure(viewers, 0) });
  console.log(`${viewers} viewers\n\n${table(columns.slice(-1))}\n`);
}
const sections = [
  `\`npm run bench:resume\` on ${machine()}, with a load of ${loadBefore!.toFixed(1)} at its beginning. The broadcaster and the viewers are two other processes on the same processors.`,
  'A packet of 1,100 bytes 30 times a second to each viewer, in the time of the handshakes too. All pages open their WebSockets in the same moment, once the server says that it is ready.',
  table(columns),
];
if (Number(options.far) > 0) {
  const far = await measure(Number(options.far), RTT_MS / 2);
  sections.push(farTable(far, Number(options.far)));
}
sections.push(`Made in ${Math.round((performance.now() - began) / 1_000)} s.`);
const text = sections.join('\n\n');
console.log(text);
if (options.write) writeSection('resume', text);

function each(value: (one: Restart) => number): (restarts: readonly Restart[]) => readonly number[] {
  return (restarts) => restarts.map(value);
}

function repeatsFor(viewers: number): number {
  if (options.repeat !== undefined) return Number(options.repeat);
  if (options.quick) return 3;
  return viewers >= 1_000 ? 5 : 10;
}

function rounded(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return String(Math.abs(value) >= 10 ? Math.round(value) : Math.round(value * 10) / 10);
}

function table(of: typeof columns): string {
  const head = ['what', 'goal', ...of.flatMap(({ viewers }) => [`${viewers}: median`, 'worst', 'n'])];
  const ratio = of.length > 1;
  if (ratio) head.push(`grows ${of.map(({ viewers }) => viewers).join(' → ')}`);
  const rows = QUANTITIES.map(({ what, unit, of: valuesOf, goal, most }) => {
    const medians: number[] = [];
    const cells = of.flatMap(({ restarts }) => {
      const values = valuesOf(restarts);
      medians.push(median(values));
      const bad = most === true ? Math.min(...values) : worst(values);
      return [
        `${rounded(median(values))} ${unit}`.trim(),
        `${rounded(bad)} ${unit}`.trim(),
        String(values.length),
      ];
    });
    const goals = of.flatMap(({ viewers }) => {
      const wanted = goal?.(viewers);
      return wanted === undefined ? [] : [`${viewers}: ≤ ${wanted} ${unit}`];
    });
    const grows = medians.map((value) => rounded(value / medians[0]!)).join(' → ');
    return [what, goals.join(', '), ...cells, ...(ratio ? [grows] : [])];
  });
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return lines.join('\n');
}

function farTable(restarts: readonly Restart[], viewers: number): string {
  const gaps = restarts.flatMap((one) => one.gaps);
  return [
    `### Through relays, ${RTT_MS} ms of round trip, ${viewers} viewers`,
    '',
    'As in Chromium, pages send from the port in use until the one of the ICE restart has been answered. A frame is a packet, and counts when all packets before it are there: of the broadcaster, whose keys are replaced at the same time, what was sent without keys has to be asked for again.',
    '',
    '| what | goal | median | worst | n |',
    '|---|---|---|---|---|',
    `| longest time between two frames that a viewer can decode, during the in-place re-key | ≤ 1.5 RTT + ${FRAME_MS} ms = ${1.5 * RTT_MS + FRAME_MS} ms | ${rounded(median(gaps))} ms | ${rounded(worst(gaps))} ms | ${gaps.length} |`,
    ...(['p50', 'p99'] as const).map((name, i) => {
      const values = restarts.map((one) => percentile(one.staleSinceOffer, [0.5, 0.99][i]!));
      return `| offer → stale keys destroyed, ${name} | ≤ 1 RTT + 20 ms = ${RTT_MS + 20} ms | ${rounded(median(values))} ms | ${rounded(worst(values))} ms | ${values.length} |`;
    }),
  ].join('\n');
}

async function measure(viewers: number, delayMs: number): Promise<Restart[]> {
  const before = options.node.split(' ').filter((one) => one !== '');
  const udpPort = await freePort();
  // The relay needs the server's port and the server is told the relay's.
  const udp = delayMs === 0 ? undefined : await UdpRelay.start({ serverPort: udpPort, delayMs });
  const server = await ServerProcess.start({
    udpPort,
    ...(udp === undefined ? {} : { announcedPort: udp.port }),
    env: { LOG_LEVEL: options.log },
    command: [process.execPath, ...before, BUILT_SERVER],
  });
  const tcp = udp && (await TcpRelay.start({ serverPort: server.port, delayMs }));
  const loads: ChildProcess[] = [];
  try {
    const at = ['--url', tcp?.url ?? server.url, '--udp', String(udp?.port ?? udpPort)];
    const source = await load(['--role', 'source', ...at]);
    loads.push(source);
    const all = udp === undefined ? [] : ['--all'];
    const audience = await load(['--role', 'viewers', '--count', String(viewers), ...all, ...at]);
    loads.push(audience);
    const restarts: Restart[] = [];
    await elapse(SETTLE_MS);
    for (let i = 0; i < repeatsFor(viewers); i++) {
      restarts.push(await measureOne(server, [source, audience], viewers, udp !== undefined));
    }
    // A profile is written by who ends by itself.
    if (before.length > 0) await server.kill('SIGTERM');
    return restarts;
  } finally {
    for (const child of loads) child.kill();
    await server.dispose();
    udp?.close();
    tcp?.close();
  }
}

async function measureOne(
  server: ServerProcess,
  loads: readonly ChildProcess[],
  viewers: number,
  far: boolean,
): Promise<Restart> {
  const seen = server.events('stale-keys-destroyed').length;
  await server.kill();
  for (const child of loads) await ask(child, 'outage');
  await elapse(Number(options.down));
  const spawnedAt = systemNow();
  const run = server.spawn();
  await server.ready();
  const before = usageOf(run.pid);
  const backAt = systemNow();
  await Promise.all(loads.map((child) => ask(child, 'come-back')));
  const reports = await until(
    'all have new keys',
    async () => {
      const all = (await Promise.all(loads.map((child) => ask<PageReport[]>(child, 'look')))).flat();
      const isBack = ({ rekeyedAt, firstPacketAt }: PageReport, place: number): boolean =>
        // The first is the broadcaster, to whom nothing is sent.
        rekeyedAt !== undefined && (place === 0 || firstPacketAt !== undefined);
      return all.every(isBack) && all;
    },
    PATIENCE_MS,
    viewers > 100 ? 100 : 20,
  );
  const used = usedSince(before, run.pid);
  if (far) await elapse(OBSERVED_MS);
  await until(
    'the last old key is destroyed',
    () => server.events('stale-keys-destroyed').length > seen + viewers,
  );
  const last = Math.max(...reports.map(({ rekeyedAt }) => rekeyedAt!));
  const steady = await steadyUse(run.pid);
  const ofEach = (time: number): number => time / 1e6 / (viewers + 1);
  const [, ...audience] = (await Promise.all(loads.map((child) => ask<PageReport[]>(child, 'look')))).flat();
  const first = audience.map(({ firstPacketAt }) => firstPacketAt ?? Number.NaN);
  const stale = server
    .events('stale-keys-destroyed')
    .slice(seen)
    .map(({ fields }) => fields);
  return {
    spawnToFirstPacket: Math.min(...first) - spawnedAt,
    spawnToLastServed: Math.max(...first) - spawnedAt,
    spawnToAllRekeyed: last - spawnedAt,
    backToAllRekeyed: last - backAt,
    handshakesPerSecond: ((viewers + 1) * 1_000) / (last - backAt),
    handshakesPerCoreSecond: ((viewers + 1) * 1e9) / used.all,
    processorTime: ofEach(used.all),
    mainThreadTime: ofEach(used.main),
    ownTime: ofEach(used.main - (steady.main / steady.elapsed) * used.elapsed),
    staleSinceOffer: stale.map(({ sinceOfferMs }) => sinceOfferMs).filter((ms) => typeof ms === 'number'),
    staleSinceSpawn: stale.map(({ time }) => Number(time) - run.spawnedAtWall),
    loopDelay: await longestDelay(server),
    // What was on its way when the server ended came before this one was there.
    gaps: far
      ? audience.map(
          ({ packetTimes }) => longestGap(packetTimes.filter((at) => at > spawnedAt))?.length ?? Number.NaN,
        )
      : [],
  };
}

/** Nanoseconds on a processor up to now, and when that is in milliseconds. */
interface Usage {
  readonly all: number;
  readonly main: number;
  readonly elapsed: number;
}

function usageOf(pid: number): Usage {
  const main = timesOf(pid).find(([task]) => task === String(pid))?.[1].ran ?? Number.NaN;
  return { all: processorTimeOf(pid), main, elapsed: systemNow() };
}

function usedSince(before: Usage, pid: number): Usage {
  const now = usageOf(pid);
  return { all: now.all - before.all, main: now.main - before.main, elapsed: now.elapsed - before.elapsed };
}

/** What the server takes with all keys in place, when what the restart has cost is over. */
async function steadyUse(pid: number): Promise<Usage> {
  await elapse(SETTLE_MS);
  const before = usageOf(pid);
  await elapse(STEADY_MS);
  return usedSince(before, pid);
}

/** The bound of the bucket in which the longest one lies. */
async function longestDelay(server: ServerProcess): Promise<number> {
  const answer = await askServer(server.adminSocket, { command: 'status' });
  if (answer.kind !== 'answer' || !answer.response.ok) return Number.NaN;
  return boundOf(serverFacts.parse(answer.response.facts).eventLoopDelayMs, 1) ?? Number.NaN;
}

async function load(args: readonly string[]): Promise<ChildProcess> {
  const child = startPart('resume-load', args);
  await answerOf(child);
  return child;
}

async function ask<Answer>(child: ChildProcess, order: LoadOrder): Promise<Answer> {
  child.send(order);
  return answerOf<Answer>(child);
}

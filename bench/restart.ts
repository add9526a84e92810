import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { askServer } from '../src/cli/admin-client.ts';
import { Broadcast } from '../test/support/broadcast.ts';
import { datagramKind } from '../test/support/capture.ts';
import { ChromiumBrowser } from '../test/support/chromium.ts';
import { gapAround, longestGap } from '../test/support/gaps.ts';
import type { TestPage } from '../test/support/test-page.ts';
import { elapse, until } from '../test/support/wait.ts';
import { type Goal, machine, markdownTable, missedGoal, type Row } from './table.ts';

/**
 * What a restart costs the people in the room: a broadcaster and two viewers in Chromium, `kill -9`, some time without a server, a new
 * process. First on plain loopback, then with 100 ms of round trip over UDP and TCP.
 */

const USAGE = `usage: npm run bench:restart -- [--repeat <n>] [--down <ms,ms,...>] [--write]`;
const RTT_MS = 100;
const FRAME_MS = 33;
/** Time for bitrate and buffers to be as before, between two restarts. */
const SETTLE_MS = 3_000;
const QUIET_MS = 5_000;
/** How long after the spawn frames are looked at. */
const OBSERVED_MS = 4_000;
const RESULTS = 'bench/RESULTS-restart.md';

const BEYOND_DOWNTIME: Goal = { words: '≤ 150 ms median, ≤ 400 ms worst', median: 150, worst: 400 };
const FIRST_PACKET: Goal = { words: '≤ 120 ms', median: 120 };
/** From here on browsers give up: some seconds without an answer are `disconnected`. */
const PATIENCE_MS = 15_000;
const GIVEN_UP =
  "A browser that has given up its path a moment before the server came back sends nothing until its own next check; behind half a minute all have, and the broadcaster's next packet comes with its page, which looks for the server once a second.";
const STALE_KEYS: Goal = { words: `≤ 1 RTT + 20 ms = ${RTT_MS + 20} ms`, median: RTT_MS + 20 };
const STALE_KEYS_RTT: Goal = { words: `≤ ${(RTT_MS + 20) / RTT_MS} RTT` };
const REKEY_GAP: Goal = {
  words: `≤ 1.5 RTT + ${FRAME_MS} ms = ${1.5 * RTT_MS + FRAME_MS} ms`,
  median: 1.5 * RTT_MS + FRAME_MS,
  why: 'The way there and back costs a round trip (ARCHITECTURE.md, "Re-key"); what is more is three handshakes, three pages and two decoders at the same moment on the same processors.',
};
const ORDERED: Goal = {
  words: `none (≤ ${2 * FRAME_MS} ms)`,
  median: 2 * FRAME_MS,
  why: "The broadcaster's new connection starts an encoder of its own, and its first keyframe travels at a bitrate that is only being found.",
};

const COUNTERS = ['packetsLost', 'retransmittedPacketsReceived', 'nackCount', 'pliCount'] as const;
type Counter = (typeof COUNTERS)[number];

/** One restart as one viewer saw it, or as the relay and the server's log did. */
interface Restart {
  /** At each viewer: longest time without a frame around the outage, less the outage. */
  readonly beyondDowntime: number[];
  /** At each viewer: longest time without a frame after frames had come back. */
  readonly rekeyGap: number[];
  readonly spawnToFirstPacket: number;
  /** From the offer of the new keys to the end of the old ones, each page, in ms. */
  readonly staleKeys: number[];
  readonly counters: Record<Counter, number[]>;
}

const { values: options } = parseArgs({
  options: {
    repeat: { type: 'string' },
    down: { type: 'string', default: '200,1000,5000,15000,60000' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}

const began = performance.now();
const [loadBefore] = loadavg();
const browser = await ChromiumBrowser.launch();
const sections: string[] = [];
const missed: string[] = [];
try {
  report('nothing happens', [
    {
      what: 'longest gap between frames at the viewer in five seconds',
      values: await measureQuiet(repeatsFor(0)),
      unit: 'ms',
      goal: { words: 'what the machine alone costs' },
    },
  ]);
  for (const downMs of options.down.split(',').filter(Boolean).map(Number)) {
    const restarts = await measure(downMs, 0, repeatsFor(downMs));
    const rows = rowsOfRestart(restarts, BEYOND_DOWNTIME);
    report(`kill -9, ${downMs / 1000} s without a server`, rows, downMs < PATIENCE_MS ? undefined : GIVEN_UP);
  }
  const far = await measure(1_000, RTT_MS / 2, repeatsFor(1_000));
  report(`kill -9, 1 s without a server, ${RTT_MS} ms of round trip`, [
    ...rowsOfRekey(far),
    ...rowsOfRestart(far),
  ]);
  for (const rtt of [0, RTT_MS]) {
    const gaps = await measureOrdered(rtt / 2, repeatsFor(0));
    report(`new keys by order, ${rtt} ms of round trip`, [
      {
        what: 'longest gap between frames at the viewer',
        values: gaps,
        unit: 'ms',
        goal: ORDERED,
      },
    ]);
  }
} finally {
  await browser.close();
}
const text = [
  '# What a restart costs',
  '',
  `\`npm run bench:restart\` on ${machine()}, Chromium ${browser.version}, with a load of ${loadBefore!.toFixed(1)} at its beginning; ${Math.round((performance.now() - began) / 60_000)} minutes.`,
  'A broadcaster and two viewers share these processors with the server and the relays.',
  '',
  ...sections,
  '## Not reached',
  '',
  ...(missed.length === 0 ? ['Nothing: every goal is met.'] : missed.map((one) => `- ${one}`)),
  '',
].join('\n');
console.log(text.slice(text.indexOf('## Not reached')));
if (options.write) writeFileSync(RESULTS, text);

/** `why` is said of what misses its goal. */
function report(title: string, rows: readonly Row[], why?: string): void {
  const section = `## ${title}\n\n${markdownTable(rows)}\n`;
  sections.push(section);
  for (const row of rows) {
    const miss = missedGoal(row);
    if (miss !== undefined) missed.push(`**${title}**, ${miss}${why === undefined ? '' : ` ${why}`}`);
  }
  console.log(section);
}

function repeatsFor(downMs: number): number {
  if (options.repeat !== undefined) return Number(options.repeat);
  if (downMs >= 60_000) return 2;
  if (downMs >= 15_000) return 3;
  return downMs >= 5_000 ? 5 : 10;
}

function measure(downMs: number, delayMs: number, repeats: number): Promise<Restart[]> {
  return withBroadcast(delayMs, repeats, async (broadcast) => [await measureOne(broadcast, downMs)]);
}

/** The control: the same people, the same machine, no restart. */
function measureQuiet(repeats: number): Promise<number[]> {
  return withBroadcast(0, repeats, ({ viewers }) => {
    const from = Date.now();
    return longestGaps(viewers, from, from + QUIET_MS);
  });
}

/** Longest gap between frames at each viewer, from the order until the last page has its new keys and a second more. */
function measureOrdered(delayMs: number, repeats: number): Promise<number[]> {
  return withBroadcast(delayMs, repeats, async ({ server, viewers, pages }) => {
    await elapse(SETTLE_MS);
    const epochs = await epochsOf(pages);
    const from = Date.now();
    await askServer(server.adminSocket, { command: 'rekey' });
    await waitForNewKeys(pages, epochs);
    return longestGaps(viewers, from, Date.now() + 1_000);
  });
}

/** What `body` measures, again and again on one broadcast. */
async function withBroadcast<Value>(
  delayMs: number,
  repeats: number,
  body: (broadcast: Broadcast) => Promise<readonly Value[]>,
): Promise<Value[]> {
  const broadcast = await Broadcast.start({ browser, delayMs });
  try {
    const values: Value[] = [];
    for (let i = 0; i < repeats; i++) values.push(...(await body(broadcast)));
    return values;
  } finally {
    await broadcast.dispose();
  }
}

async function longestGaps(viewers: readonly TestPage[], from: number, to: number): Promise<number[]> {
  const gaps: number[] = [];
  for (const viewer of viewers) {
    await viewer.waitPlaying(to);
    gaps.push((await viewer.longestGap(from, to))?.length ?? Number.NaN);
  }
  return gaps;
}

function epochsOf(pages: readonly TestPage[]): Promise<number[]> {
  return Promise.all(pages.map(async (page) => (await page.facts()).epoch));
}

async function waitForNewKeys(pages: readonly TestPage[], epochs: readonly number[]): Promise<void> {
  for (const [i, page] of pages.entries()) {
    await page.waitForFacts('has new keys', (facts) => facts.epoch > epochs[i]!, 40_000);
  }
}

async function measureOne(broadcast: Broadcast, downMs: number): Promise<Restart> {
  const { server, udp, viewers, pages } = broadcast;
  await elapse(SETTLE_MS);
  const epochs = await epochsOf(pages);
  const before = await Promise.all(viewers.map(counters));
  const seenEvents = server.events('stale-keys-destroyed').length;

  const killed = await server.kill();
  await elapse(Math.max(0, downMs - (performance.now() - killed.at)));
  let firstPacketAt: number | undefined;
  udp.onDatagram = ({ direction, at, bytes }) => {
    if (direction === 'down' && datagramKind(bytes) === 'rtp') firstPacketAt ??= at;
    return undefined;
  };
  const run = server.spawn();
  await server.ready();
  await waitForNewKeys(pages, epochs);
  await until('packets go out', () => firstPacketAt !== undefined);
  udp.onDatagram = undefined;
  const observedUntil = run.spawnedAtWall + OBSERVED_MS;
  for (const viewer of viewers) await viewer.waitPlaying(Math.max(observedUntil, Date.now()), 40_000);

  const frames = await Promise.all(viewers.map((viewer) => viewer.frames()));
  const after = await Promise.all(viewers.map(counters));
  const downtime = run.spawnedAtWall - killed.atWall;
  return {
    beyondDowntime: frames.map((one) => outageOf(one, killed.atWall, run.spawnedAtWall).length - downtime),
    rekeyGap: frames.map((one) => {
      const resumedAt = outageOf(one, killed.atWall, run.spawnedAtWall).to + 1;
      return longestGap(one, resumedAt, observedUntil)?.length ?? Number.NaN;
    }),
    spawnToFirstPacket: firstPacketAt! - run.spawnedAt,
    staleKeys: server
      .events('stale-keys-destroyed')
      .slice(seenEvents)
      .map((line) => line.fields.sinceOfferMs)
      .filter((value) => typeof value === 'number'),
    counters: Object.fromEntries(
      COUNTERS.map((name) => [name, after.map((one, i) => one[name] - before[i]![name])]),
    ) as Record<Counter, number[]>,
  };
}

/** The gap that spans the outage: the one around its middle. */
function outageOf(
  frames: readonly number[],
  killedAt: number,
  spawnedAt: number,
): { length: number; to: number } {
  const gap = gapAround(frames, (killedAt + spawnedAt) / 2);
  if (gap === undefined) throw new Error('there are no frames around the outage');
  return gap;
}

async function counters(viewer: TestPage): Promise<Record<Counter, number>> {
  const report = await viewer.stat('inbound-rtp', 'video');
  return Object.fromEntries(COUNTERS.map((name) => [name, Number(report[name] ?? 0)])) as Record<
    Counter,
    number
  >;
}

function rowsOfRestart(restarts: readonly Restart[], goal?: Goal): Row[] {
  const perViewer = (name: Counter, what: string): Row => ({
    what,
    values: restarts.flatMap((one) => one.counters[name]),
    unit: '',
  });
  return [
    {
      what: 'no frame at the viewer beyond the downtime',
      values: restarts.flatMap((one) => one.beyondDowntime),
      unit: 'ms',
      ...(goal === undefined ? {} : { goal }),
    },
    {
      what: 'spawn → first forwarded packet',
      values: restarts.map((one) => one.spawnToFirstPacket),
      unit: 'ms',
      goal: FIRST_PACKET,
    },
    {
      what: 'longest gap between frames after they had come back',
      values: restarts.flatMap((one) => one.rekeyGap),
      unit: 'ms',
    },
    perViewer('packetsLost', 'packets missing, those of the outage included'),
    perViewer('retransmittedPacketsReceived', 'packets recovered'),
    perViewer('nackCount', 'NACKs'),
    perViewer('pliCount', 'keyframe requests'),
  ];
}

function rowsOfRekey(restarts: readonly Restart[]): Row[] {
  const stale = restarts.flatMap((one) => one.staleKeys);
  return [
    {
      what: 're-key offer → stale keys destroyed',
      values: stale,
      unit: 'ms',
      goal: STALE_KEYS,
    },
    {
      what: 'the same in round trips',
      values: stale.map((ms) => ms / RTT_MS),
      unit: 'RTT',
      goal: STALE_KEYS_RTT,
    },
    {
      what: 'frame gap of the in-place re-key at the viewer',
      values: restarts.flatMap((one) => one.rekeyGap),
      unit: 'ms',
      goal: REKEY_GAP,
    },
  ];
}

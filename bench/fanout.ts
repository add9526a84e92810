import { existsSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../test/support/process.ts';
import { programOf } from './fanout-programs.ts';
import { type Climb, type Result, report } from './fanout-table.ts';
import {
  isRival,
  isServer,
  type Measured,
  measureProgram,
  type Pace,
  PROGRAMS,
  RIVALS,
  SERVER_WAYS,
  Stage,
  type Way,
} from './fanout-ways.ts';
import { writeSection } from './report.ts';
import { machine } from './table.ts';

/**
 * What one packet to one viewer costs the server, in processor time of its processes alone, beside programs that only protect and send, and beside
 * other servers. Viewers are real as far as the network sees (ICE, DTLS, SRTP, their reports), in a process of their own. Ways are measured in turn,
 * again and again: machines are noisy, ratios less so.
 */

const USAGE = `usage: npm run bench:fanout -- [--quick] [--write] [--viewers <n,n>] [--seconds <n>] [--repeat <n>] [--ways <way,way>]
  [--packets <a frame, n,n>] [--saturated] [--no-climb] [--workers <n>]
Without options it takes about 14 minutes, with --quick about 3.`;
/** What a broadcaster sends, as its encoder makes it, and as its pacer spreads it. */
const FRAMES: Pace = { name: 'frames', packets: 8, interval: 1_000 / 30 };
const SINGLES: Pace = { name: 'singles', packets: 1, interval: 4 };
const SATURATED: Pace = { name: 'saturated', packets: 8, interval: 0 };
/** Where C and the server are taken to their limit. */
const SATURATED_AT = 300;
/** A way without batches has not the time for more. */
const SLOW_WAYS: readonly Way[] = ['plain', 'js-loop', 'werift'];
const SLOW_UP_TO = 300;
/** How many the machine feeds: from so many on, by so many. */
const CLIMB = { from: 750, by: 250, to: 2_000, arrived: 0.995, seconds: 4 };

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    viewers: { type: 'string' },
    seconds: { type: 'string' },
    repeat: { type: 'string' },
    ways: { type: 'string' },
    packets: { type: 'string' },
    saturated: { type: 'boolean' },
    climb: { type: 'boolean' },
    workers: { type: 'string', default: '0' },
    help: { type: 'boolean', default: false },
  },
  allowNegative: true,
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}

const { quick } = options;
const wanted = (
  options.ways?.split(',') ?? [
    ...(quick ? ['gso', 'dgram', 'c-sendmmsg'] : [...SERVER_WAYS, ...PROGRAMS, ...RIVALS]),
  ]
).map((way) => way as Way);
const viewerCounts = (options.viewers ?? (quick ? '300,1000' : '50,300,1000')).split(',').map(Number);
const seconds = Number(options.seconds ?? 4);
const repeat = Number(options.repeat ?? (quick ? 1 : 2));
const workers = Number(options.workers);
const started = performance.now();

const ways = wanted.filter(isThere);
const results: Result[] = [];
for (let i = 0; i < repeat; i++)
  for (const viewers of viewerCounts) for (const way of ways) await measure(way, viewers, i === 0);
const climbed = (options.climb ?? ways.includes('gso')) ? await climb() : undefined;

const minutes = (performance.now() - started) / 60_000;
const markdown = report({
  machine: machine(),
  load: loadavg()[0]!,
  minutes,
  seconds,
  repeat,
  workers,
  results,
  climbed,
  aes: [...new Set(ways.map((way) => programOf(way)?.aes).filter((aes) => aes !== undefined))],
  missing: wanted.filter((way) => !ways.includes(way)),
});
console.log(markdown);
if (options.write) writeSection('fanout', markdown);
process.exit(0);

function isThere(way: Way): boolean {
  if (isServer(way)) return true;
  if (!isRival(way)) return programOf(way) !== undefined;
  if (!existsSync(join(ROOT, 'bench', 'rivals', `${way}.ts`))) return false;
  const cache = join(ROOT, 'node_modules', '.cache', 'rekeycast-rivals');
  if (way === 'janus') return existsSync('/usr/bin/janus');
  return way === 'werift' || existsSync(join(cache, way));
}

/** Which paces a way is measured at. */
function pacesOf(way: Way, viewers: number): readonly Pace[] {
  if (options.packets !== undefined)
    return options.packets
      .split(',')
      .map((packets) => (packets === '1' ? SINGLES : { ...FRAMES, packets: Number(packets) }));
  if (quick || isRival(way) || way.startsWith('debian')) return [FRAMES];
  const saturated = viewers === SATURATED_AT ? [SATURATED] : [];
  if (viewers < SATURATED_AT || SLOW_WAYS.includes(way)) return [FRAMES, ...saturated];
  const both = viewers === SATURATED_AT || way === 'gso' || way === 'c-sendmmsg' || way === 'c-gso';
  return [FRAMES, ...(both ? [SINGLES] : []), ...saturated];
}

async function measure(way: Way, viewers: number, isFirst: boolean): Promise<void> {
  if (viewers > SLOW_UP_TO && SLOW_WAYS.includes(way)) return;
  // Others' numbers stand for themselves, and take their time to come up.
  if (isRival(way) && !isFirst) return;
  const paces = [...pacesOf(way, viewers), ...(options.saturated === true ? [SATURATED] : [])];
  const note = (pace: Pace, measured: Measured): void => {
    results.push({ way, viewers, pace, ...measured });
    const { nanoseconds, perSecond, busy, waited, arrived } = measured;
    const each = nanoseconds.map(Math.round).join(' ');
    console.error(
      `${clock()} ${viewers} viewers, ${way}, ${pace.name}: ${each} ns, ${Math.round(perSecond)} packets/s, busy ${busy.toFixed(2)}, waited ${waited.toFixed(2)}, arrived ${(arrived * 100).toFixed(2)} %`,
    );
  };
  try {
    const program = programOf(way);
    if (program !== undefined) {
      for (const pace of paces) note(pace, await measureProgram(program.command, viewers, pace, seconds));
      return;
    }
    const stage = await Stage.open(way, viewers, workers);
    try {
      for (const pace of paces) note(pace, await stage.measure(pace, seconds));
    } finally {
      await stage.end();
    }
  } catch (error) {
    console.error(`${clock()} ${viewers} viewers, ${way}: ${String(error)}`);
    results.push({ way, viewers, pace: FRAMES, failed: String(error) });
  }
}

/** More and more viewers, until not all arrives. */
async function climb(): Promise<readonly Climb[]> {
  const steps: Climb[] = [];
  const stage = await Stage.open('gso', CLIMB.from, workers);
  try {
    for (let viewers = CLIMB.from; viewers <= CLIMB.to; viewers += CLIMB.by) {
      await stage.grow(viewers);
      const measured = await stage.measure(SINGLES, CLIMB.seconds);
      steps.push({ viewers, ...measured });
      console.error(
        `${clock()} ${viewers} viewers: busy ${measured.busy.toFixed(2)}, waited ${measured.waited.toFixed(2)}, arrived ${(measured.arrived * 100).toFixed(2)} %`,
      );
      if (measured.arrived < CLIMB.arrived) break;
    }
  } catch (error) {
    console.error(`${clock()} no more viewers: ${String(error)}`);
  } finally {
    await stage.end();
  }
  return steps;
}

function clock(): string {
  return `${Math.round((performance.now() - started) / 1_000)} s:`;
}

import { concat, toHex } from '../../src/util/bytes.ts';
import { type FuzzTarget, makeInput } from './fuzz.ts';
import type { Random } from './random.ts';

const SMALL_BYTES = 1_024;
const GROWTH = 16;
/** A sixteenfold input may take six times its share: what is quadratic takes sixteen times it. */
const SLACK = 6;
/** Below this, what is measured is the machine. */
const FLOOR_MICROSECONDS = 200;
const RUNS = 4;
const ATTEMPTS = 3;

/**
 * Rejects where time grows faster than the input. A part of an input is repeated up to a size and to sixteen times that size, which are run
 * by turns; only CPU time of the same process is compared with each other.
 */
export async function checkLinear(
  target: FuzzTarget,
  pool: readonly Uint8Array[],
  random: Random,
): Promise<void> {
  const base = random.chance(0.5) ? random.pick(pool) : makeInput(target, pool, random);
  const start = random.below(base.length);
  const end = Math.min(base.length, start + 1 + random.below(random.chance(0.7) ? 24 : base.length));
  const large = Math.min(SMALL_BYTES * GROWTH, target.maxBytes ?? SMALL_BYTES * GROWTH);
  const few = grown(target, base, start, end, large / GROWTH);
  const many = grown(target, base, start, end, large);
  let seen: readonly number[] = [];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const short = await cpuTime(target, few);
    const long = await cpuTime(target, many);
    if (long <= SLACK * GROWTH * Math.max(short, FLOOR_MICROSECONDS)) return;
    seen = [short, long];
  }
  throw new Error(
    `${target.id}: ${few.length} bytes take ${seen[0]} µs of CPU, ${many.length} take ${seen[1]}\n  ${toHex(base.subarray(start, end))} repeated in ${toHex(base)}`,
  );
}

function grown(
  { repair }: FuzzTarget,
  base: Uint8Array,
  start: number,
  end: number,
  size: number,
): Uint8Array {
  const part = base.subarray(start, end);
  const copies = Math.max(0, Math.floor((size - base.length) / Math.max(1, part.length)));
  const input = concat(
    base.subarray(0, end),
    ...new Array<Uint8Array>(copies).fill(part),
    base.subarray(end),
  );
  return repair === undefined ? input : repair(input);
}

/** The least of a few runs, in microseconds: collections and other tests only ever add. */
async function cpuTime(target: FuzzTarget, input: Uint8Array): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < RUNS; i++) {
    const before = process.cpuUsage();
    await target.run(input);
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, user + system);
  }
  return least;
}

import { toHex } from '../../src/util/bytes.ts';
import { minimize } from './minimize.ts';
import { mutateBytes } from './mutate.ts';
import { Random } from './random.ts';
import { countReads, readsSoFar } from './work.ts';

/** A decoder or an engine that sees bytes of others. */
export interface FuzzTarget {
  /** `fuzz-<name>`. */
  readonly id: `fuzz-${string}`;
  /** What holds for every input, as a sentence. */
  readonly claim: string;
  /** How many inputs `npm test` makes. */
  readonly inputs: number;
  /** Classes of outcomes that have to be seen: who never gets past the first check finds nothing behind it. */
  readonly reaches: readonly string[];
  /** Called once before everything else. */
  prepare?(): Promise<void>;
  /** Gives back what `prepare` took. */
  dispose?(): void;
  /** Well-formed inputs to begin with. */
  seeds(): readonly Uint8Array[];
  /** A mutation that knows the format. */
  mutate?(input: Uint8Array, random: Random): Uint8Array;
  /** Makes lengths, checksums and seals right again, after which the rest is looked at. */
  repair?(input: Uint8Array): Uint8Array;
  /** Throws where an invariant is broken. Gives the class of the outcome: an input of a new class is worth keeping. */
  run(input: Uint8Array): string | Promise<string>;
  /** Largest input. A datagram's size where nothing is said. */
  readonly maxBytes?: number;
}

export interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
  /** What to begin with: seeds, and inputs kept from earlier runs. */
  readonly pool: readonly Uint8Array[];
  /** Told of the first input of each class. */
  readonly found?: (outcome: string, input: Uint8Array) => void | Promise<void>;
  /** Told of each input that was run, by its number. */
  readonly ran?: (index: number) => void;
}

/** What was seen, by class. */
export type Outcomes = ReadonlyMap<string, number>;

const DATAGRAM_BYTES = 1_500;
/** Reads of one decoder for each byte of its input: an engine may look at a datagram a few times. */
const READS_PER_BYTE = 16;
const FREE_READS = 8_192;
/** Inputs of new classes, which are mutated further. */
const MAX_POOL = 4_096;

export const nameOf = ({ id }: FuzzTarget): string => id.slice('fuzz-'.length);

/** Runs kept inputs as they are. */
export async function replay(target: FuzzTarget, inputs: readonly Uint8Array[]): Promise<Outcomes> {
  const outcomes = new Map<string, number>();
  for (const [index, input] of inputs.entries()) {
    count(outcomes, await attempt(target, input, `kept input ${index}`));
  }
  return outcomes;
}

/** Seeds and kept inputs, mutated. Rejects with the seed, the target and the smallest input that does it where an invariant breaks. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<Outcomes> {
  const { inputs, seed } = options;
  const pool = [...options.pool];
  const outcomes = new Map<string, number>();
  for (let index = 0; index < inputs; index++) {
    // Each input has a generator of its own: what the ones before drew does not change it.
    const random = new Random(seed * 1_000_003 + index);
    const input = makeInput(target, pool, random);
    const outcome = await attempt(target, input, `seed ${seed}, input ${index}`);
    if (!outcomes.has(outcome)) {
      if (pool.length < MAX_POOL) pool.push(input);
      await options.found?.(outcome, input);
    }
    count(outcomes, outcome);
    options.ran?.(index);
  }
  return outcomes;
}

/** A mutated input of a pool. */
export function makeInput(target: FuzzTarget, pool: readonly Uint8Array[], random: Random): Uint8Array {
  let input = random.pick(pool);
  if (target.mutate !== undefined && random.chance(0.6)) {
    for (let left = 1 + random.below(3); left > 0; left--) input = target.mutate(input, random);
  }
  if (target.mutate === undefined || random.chance(0.5))
    input = mutateBytes(input, random, random.pick(pool));
  const clipped = input.slice(0, target.maxBytes ?? DATAGRAM_BYTES);
  return target.repair !== undefined && random.chance(0.8) ? target.repair(clipped) : clipped;
}

/** One input. What an invariant's breach says is all that is needed to see it again. */
async function attempt(target: FuzzTarget, input: Uint8Array, where: string): Promise<string> {
  countReads();
  try {
    return await runOnce(target, input);
  } catch (cause) {
    const fails = async (candidate: Uint8Array): Promise<boolean> => {
      try {
        await runOnce(target, candidate);
        return false;
      } catch {
        return true;
      }
    };
    const smallest = await minimize(input, fails);
    throw new Error(`${target.id} (${where}): ${String(cause)}\n  input: ${toHex(smallest)}`, { cause });
  }
}

/** Deterministic as well: the number of reads is linear in what is read. */
async function runOnce(target: FuzzTarget, input: Uint8Array): Promise<string> {
  const before = readsSoFar();
  // An input is a socket's memory: a decoder that wrote to it would change what others see.
  const untouched = input.slice();
  const result = target.run(input);
  const outcome = typeof result === 'string' ? result : await result;
  const work = readsSoFar() - before;
  if (work > FREE_READS + READS_PER_BYTE * input.length)
    throw new Error(`${work} reads of ${input.length} bytes`);
  if (Buffer.compare(untouched, input) !== 0) throw new Error('the input was written to');
  return outcome;
}

function count(outcomes: Map<string, number>, outcome: string): void {
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
}

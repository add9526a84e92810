import { parseArgs } from 'node:util';
import { keep, readCorpus } from './corpus.ts';
import { type FuzzTarget, fuzz, nameOf, replay } from './fuzz.ts';
import { checkLinear } from './linear.ts';
import { minimize } from './minimize.ts';
import { Random } from './random.ts';
import { TARGETS } from './targets.ts';

const DEFAULT_INPUTS = 200_000;
/** Inputs whose time is measured against longer ones of their kind. */
const GROWN_INPUTS = 100;
const MINIMIZING_TRIES = 200;
/** So much more may be held at the end of the inputs than after the first quarter of them. */
const MAX_GROWTH_BYTES = 24 * 1024 * 1024;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { inputs: { type: 'string' }, seed: { type: 'string' } },
});
const inputs = Number(values.inputs ?? DEFAULT_INPUTS);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const unknown = positionals.filter((name) => TARGETS.every((target) => nameOf(target) !== name));
if (unknown.length > 0 || !Number.isSafeInteger(inputs) || !Number.isSafeInteger(seed)) {
  process.stderr.write(
    `usage: npm run fuzz [-- target ...] [--inputs n] [--seed s]; targets: ${TARGETS.map(nameOf).join(' ')}\n`,
  );
  process.exit(2);
}
const chosen = TARGETS.filter((target) => positionals.length === 0 || positionals.includes(nameOf(target)));
let broken = 0;
for (const target of chosen) {
  try {
    await fuzzForLong(target);
  } catch (error) {
    broken++;
    process.stdout.write(`${nameOf(target)}: ${error instanceof Error ? error.stack : String(error)}\n`);
  } finally {
    target.dispose?.();
  }
}
process.exit(broken === 0 ? 0 : 1);

async function fuzzForLong(target: FuzzTarget): Promise<void> {
  const startedAt = performance.now();
  await target.prepare?.();
  const pool = [...target.seeds(), ...readCorpus(target)];
  const known = await replay(target, pool);
  let kept = 0;
  let heldEarly = 0;
  const outcomes = await fuzz(target, {
    inputs,
    seed,
    pool,
    found: async (outcome, input) => {
      if (known.has(outcome)) return;
      kept++;
      keep(
        target,
        outcome,
        await minimize(input, async (one) => (await target.run(one)) === outcome, MINIMIZING_TRIES),
      );
    },
    ran: (index) => {
      if (index === Math.floor(inputs / 4)) heldEarly = held();
    },
  });
  const growth = held() - heldEarly;
  if (growth > MAX_GROWTH_BYTES)
    throw new Error(`${growth} bytes more are held than after a quarter of the inputs`);
  const random = new Random(seed);
  for (let i = 0; i < GROWN_INPUTS; i++) await checkLinear(target, pool, random);
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  process.stdout.write(
    `${nameOf(target)}: ${inputs} inputs, seed ${seed}, ${seconds} s, ${outcomes.size} classes, ${kept} kept, ${(growth / 1024).toFixed(0)} KiB growth\n`,
  );
}

/** Bytes that are held after a collection. */
function held(): number {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

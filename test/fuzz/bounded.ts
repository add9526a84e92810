import { describe, expect, it, onTestFinished } from 'vitest';
import { readCorpus } from './corpus.ts';
import { type FuzzTarget, fuzz, replay } from './fuzz.ts';
import { checkLinear } from './linear.ts';
import { Random } from './random.ts';

/** The same inputs each time; `npm run fuzz` takes others. */
const SEED = 20_261;
const GROWN_INPUTS = 6;

/** What `npm test` runs of each target: the kept inputs, a bounded number of new ones, and a few that grow. */
export function itHolds(targets: readonly FuzzTarget[]): void {
  describe('for every input', { timeout: 300_000 }, () => {
    for (const target of targets) it(`${target.id}: ${target.claim}`, () => holds(target));
  });
}

async function holds(target: FuzzTarget): Promise<void> {
  onTestFinished(() => target.dispose?.());
  await target.prepare?.();
  const pool = [...target.seeds(), ...readCorpus(target)];
  const kept = await replay(target, pool);
  const made = await fuzz(target, { inputs: target.inputs, seed: SEED, pool });
  expect([...kept.keys(), ...made.keys()]).toEqual(expect.arrayContaining([...target.reaches]));
  const random = new Random(SEED);
  for (let i = 0; i < GROWN_INPUTS; i++) await checkLinear(target, pool, random);
}

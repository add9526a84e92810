import type { RandomSource } from '../../src/util/rng.ts';

/** A reproducible random source (mulberry32), for tests only. */
export function seededRandom(seed: number): RandomSource {
  const next = seededNumbers(seed);
  return {
    fill: (target) => {
      for (let i = 0; i < target.length; i++) target[i] = Math.floor(next() * 256);
    },
  };
}

/** Reproducible numbers in [0, 1). */
export function seededNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

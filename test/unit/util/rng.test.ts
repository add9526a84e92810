import { describe, expect, it } from 'vitest';
import { randomBytes, randomUint32, secureRandom } from '../../../src/util/rng.ts';

describe('random numbers', () => {
  it('have the length asked for and come from the source', () => {
    const source = { fill: (target: Uint8Array) => target.fill(0xff) };
    expect(randomBytes(source, 3)).toEqual(Uint8Array.of(255, 255, 255));
    expect(randomUint32(source)).toBe(0xffffffff);
  });

  it('of the secure source do not repeat', () => {
    const seen = new Set(Array.from({ length: 100 }, () => String(randomBytes(secureRandom, 16))));
    expect(seen.size).toBe(100);
  });
});

import { describe, expect, it } from 'vitest';
import { loudnessOf } from '../../../src/client/level.ts';

const all = (value: number): Float32Array => new Float32Array(64).fill(value);

describe('loudness', () => {
  it('is nothing in silence and below what can be heard, and one at full scale', () => {
    expect(loudnessOf(all(0))).toBe(0);
    expect(loudnessOf(all(0.000_1))).toBe(0);
    expect(loudnessOf(all(1))).toBe(1);
  });

  it('is even in decibels: -30 dB is the middle', () => {
    expect(loudnessOf(all(10 ** (-30 / 20)))).toBeCloseTo(0.5, 5);
  });
});

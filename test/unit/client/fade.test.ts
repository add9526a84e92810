import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gainAfter } from '../../../src/client/fade.ts';

describe('a fade', () => {
  it('is over after 40 ms, in both directions, and half-way after 20', () => {
    expect([gainAfter(0, 1, 20), gainAfter(0, 1, 40)]).toEqual([0.5, 1]);
    expect([gainAfter(1, 0, 20), gainAfter(1, 0, 40)]).toEqual([0.5, 0]);
  });

  it('is over in one step where a timer comes late', () => {
    expect(gainAfter(0, 1, 1_000)).toBe(1);
    expect(gainAfter(1, 0, 1_000)).toBe(0);
  });

  it('goes towards its target and never beyond it, whatever the clock says', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(share, share, fc.integer({ min: -1_000, max: 1_000 }), (gain, target, elapsed) => {
        const after = gainAfter(gain, target, elapsed);
        expect(after).toBeGreaterThanOrEqual(Math.min(gain, target));
        expect(after).toBeLessThanOrEqual(Math.max(gain, target));
        expect(Math.abs(target - after)).toBeLessThanOrEqual(Math.abs(target - gain));
      }),
    );
  });
});

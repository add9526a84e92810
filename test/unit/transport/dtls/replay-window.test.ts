import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReplayWindow } from '../../../../src/transport/dtls/replay-window.ts';

describe('the replay window', () => {
  it('agrees with a plain list of what was received', () => {
    const sequence = fc.oneof(fc.nat(200), fc.integer({ min: 2 ** 47, max: 2 ** 47 + 200 }));
    fc.assert(
      fc.property(fc.array(sequence, { maxLength: 200 }), (arrivals) => {
        const window = new ReplayWindow();
        const seen = new Set<number>();
        for (const number of arrivals) {
          const highest = Math.max(-1, ...seen);
          const acceptable = !seen.has(number) && number > highest - 64;
          expect(window.check(number)).toBe(acceptable);
          if (!acceptable) continue;
          window.update(number);
          seen.add(number);
        }
      }),
    );
  });

  it('is not moved by a check', () => {
    const window = new ReplayWindow();
    window.update(1);
    expect(window.check(2 ** 47)).toBe(true);
    expect(window.check(0)).toBe(true);
    expect(window.check(1)).toBe(false);
  });

  it('takes the first number of all, zero or not, once', () => {
    const window = new ReplayWindow();
    expect(window.check(0)).toBe(true);
    window.update(0);
    expect(window.check(0)).toBe(false);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReplayWindow } from '../../../src/transport/replay-window.ts';

fc.configureGlobal({ seed: 3711 });

describe('ReplayWindow', () => {
  it('takes each index once', () => {
    const window = new ReplayWindow(64);
    expect(window.check(5)).toBe(true);
    window.update(5);
    expect(window.check(5)).toBe(false);
  });

  it('does not change when it is only asked', () => {
    const window = new ReplayWindow(64);
    window.check(1000);
    expect(window.highest).toBe(-1);
    expect(window.check(3)).toBe(true);
  });

  it('takes a late index inside the window and none below it', () => {
    const window = new ReplayWindow(64);
    window.update(100);
    expect(window.check(100 - 63)).toBe(true);
    expect(window.check(100 - 64)).toBe(false);
  });

  it('takes nothing below its floor, and the floor itself', () => {
    const window = new ReplayWindow(64, 50);
    expect(window.check(49)).toBe(false);
    expect(window.check(50)).toBe(true);
    window.update(60);
    expect(window.check(49)).toBe(false);
    expect(window.check(50)).toBe(true);
  });

  it('agrees with a set of all indices ever taken', () => {
    const step = fc.integer({ min: -80, max: 80 });
    const jump = fc.integer({ min: 60, max: 300 });
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 5, arbitrary: step }, jump), { maxLength: 200 }), (moves) => {
        const window = new ReplayWindow(64, 1000);
        const taken = new Set<number>();
        let highest = 999;
        for (const move of moves) {
          const index = Math.max(0, highest + move);
          const fresh = index >= 1000 && index > highest - 64 && !taken.has(index);
          expect(window.check(index)).toBe(fresh);
          if (!fresh) continue;
          window.update(index);
          taken.add(index);
          highest = Math.max(highest, index);
        }
      }),
    );
  });

  it('agrees with a plain list where numbers begin anywhere and leap (the records of an epoch)', () => {
    const sequence = fc.oneof(fc.nat(200), fc.integer({ min: 2 ** 47, max: 2 ** 47 + 200 }));
    fc.assert(
      fc.property(fc.array(sequence, { maxLength: 200 }), (arrivals) => {
        const window = new ReplayWindow(64);
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

  it('takes the first number of all, zero or not, once', () => {
    const window = new ReplayWindow(64);
    expect(window.check(0)).toBe(true);
    window.update(0);
    expect(window.check(0)).toBe(false);
  });

  it('works at the end of the 48-bit indices', () => {
    const end = 2 ** 48 - 1;
    const window = new ReplayWindow(64, end - 10);
    window.update(end);
    expect(window.check(end)).toBe(false);
    expect(window.check(end - 1)).toBe(true);
  });
});

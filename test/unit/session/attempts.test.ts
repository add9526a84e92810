import { describe, expect, it } from 'vitest';
import { Attempts } from '../../../src/session/attempts.ts';

describe('attempts', () => {
  it('are repeated at once at first, then with more and more time between, up to a limit', () => {
    const attempts = new Attempts();
    expect(attempts.retryAt).toBeUndefined();
    const waits = Array.from({ length: 20 }, (_, i) => {
      attempts.fail(i, false, i);
      return attempts.retryAt! - i;
    });
    expect(waits.slice(0, 4)).toEqual([0, 1_000, 2_000, 3_000]);
    expect(waits.at(-1)).toBe(15_000);
    attempts.begin();
    expect(attempts.retryAt).toBeUndefined();
    attempts.succeed();
    attempts.fail(90, false, 100);
    expect(attempts.retryAt).toBe(100);
  });

  it('have failed since the first of them began, less what was no time to try', () => {
    const attempts = new Attempts();
    expect(attempts.failingFor(1_000)).toBe(0);
    attempts.discount(500);
    attempts.fail(1_000, false, 2_000);
    attempts.fail(3_000, false, 4_000);
    expect(attempts.failingFor(5_000)).toBe(4_000);
    attempts.discount(1_500);
    expect(attempts.failingFor(5_000)).toBe(2_500);
  });

  it('that fail beside a connection that works, or before one that does, count for nothing', () => {
    const attempts = new Attempts();
    attempts.fail(1_000, false, 2_000);
    attempts.fail(3_000, true, 4_000);
    expect(attempts.failingFor(9_000)).toBe(0);
    attempts.fail(5_000, false, 6_000);
    attempts.succeed();
    expect(attempts.failingFor(9_000)).toBe(0);
  });
});

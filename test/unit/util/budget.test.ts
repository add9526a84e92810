import { describe, expect, it } from 'vitest';
import { Budget } from '../../../src/util/budget.ts';

describe('a budget', () => {
  it('gives a burst and not one more', () => {
    const budget = new Budget(3, 10);
    expect([1, 1, 1, 1, 1].map((now) => budget.take(now))).toEqual([true, true, true, false, false]);
  });

  it('earns as time passes, up to the burst', () => {
    const budget = new Budget(2, 10);
    budget.take(0);
    budget.take(0);
    expect(budget.take(99)).toBe(false);
    expect(budget.take(200)).toBe(true);
    expect([10_000, 10_000, 10_000].map((now) => budget.take(now))).toEqual([true, true, false]);
  });
});

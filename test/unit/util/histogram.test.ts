import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundOf, countOf, Histogram } from '../../../src/util/histogram.ts';

const of = (bounds: readonly number[], values: readonly number[]) => {
  const histogram = new Histogram(bounds);
  for (const value of values) histogram.observe(value);
  return histogram.capture();
};

describe('Histogram', () => {
  it('counts each value in the first bucket that it fits into, and what fits into none behind them', () => {
    expect(of([1, 10], [0, 1, 1.1, 10, 11, 5_000])).toEqual({
      bounds: [1, 10],
      counts: [2, 2, 2],
      sum: 5_023.1,
    });
  });

  it('loses no value and no amount', () => {
    const values = fc.array(fc.integer({ min: 0, max: 100 }));
    fc.assert(
      fc.property(values, (list) => {
        const captured = of([5, 50], list);
        expect(countOf(captured)).toBe(list.length);
        expect(captured.sum).toBe(list.reduce((sum, value) => sum + value, 0));
      }),
    );
  });

  it('gives what it holds now: a capture does not change behind its back', () => {
    const histogram = new Histogram([1]);
    const before = histogram.capture();
    histogram.observe(1);
    expect(before.counts).toEqual([0, 0]);
  });

  it('tells the bound that a share of the values does not pass', () => {
    const captured = of([1, 2, 4], [...Array(98).fill(1), 3, 9]);
    expect(boundOf(captured, 0.5)).toBe(1);
    expect(boundOf(captured, 0.99)).toBe(4);
    expect(boundOf(captured, 1)).toBe(Number.POSITIVE_INFINITY);
    expect(boundOf(of([1], []), 0.5)).toBeUndefined();
  });
});

import { describe, expect, it } from 'vitest';
import { earliest } from '../../../src/util/clock.ts';

describe('earliest', () => {
  it.each([
    [[], undefined],
    [[undefined, undefined], undefined],
    [[3, undefined, 2], 2],
    [[0, 5], 0],
    [[Number.POSITIVE_INFINITY, 7], 7],
  ])('of %j is %j', (deadlines, first) => {
    expect(earliest(...deadlines)).toBe(first);
  });
});

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { modulo, modulo32, nearestToZero } from '../../../src/util/modular.ts';

describe('numbers on a circle', () => {
  it('are the same after any number of turns, from zero up', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 16 - 1), fc.integer({ min: -1000, max: 1000 }), (value, turns) => {
        expect(modulo(value + turns * 2 ** 16, 2 ** 16)).toBe(value);
      }),
    );
    expect([modulo32(-1), modulo32(2 ** 32)]).toEqual([2 ** 32 - 1, 0]);
  });

  it('differ from zero by less than half a turn in either direction', () => {
    expect(nearestToZero(2 ** 23 - 1, 2 ** 24)).toBe(2 ** 23 - 1);
    expect(nearestToZero(2 ** 23, 2 ** 24)).toBe(-(2 ** 23));
    expect(nearestToZero(-5, 2 ** 24)).toBe(-5);
    expect(nearestToZero(0.25 - 2 ** 24, 2 ** 24)).toBe(0.25);
  });
});

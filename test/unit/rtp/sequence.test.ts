import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nearestExtended, SequenceUnwrapper } from '../../../src/rtp/sequence.ts';

fc.configureGlobal({ seed: 3711 });

describe('SequenceUnwrapper', () => {
  it('goes on past 2^16', () => {
    const unwrapper = new SequenceUnwrapper();
    expect([65534, 65535, 0, 1].map((n) => unwrapper.unwrap(n))).toEqual([65534, 65535, 65536, 65537]);
    expect(unwrapper.highest).toBe(65537);
  });

  it('places a late packet from before the wrap below it and keeps the highest', () => {
    const unwrapper = new SequenceUnwrapper();
    unwrapper.unwrap(65535);
    unwrapper.unwrap(2);
    expect(unwrapper.unwrap(65534)).toBe(65534);
    expect(unwrapper.highest).toBe(65538);
  });

  it('goes on from a given highest number', () => {
    const unwrapper = new SequenceUnwrapper(3 * 65536 + 65530);
    expect(unwrapper.unwrap(5)).toBe(4 * 65536 + 5);
  });

  it('numbers what is older than a first packet near zero below zero', () => {
    const unwrapper = new SequenceUnwrapper();
    unwrapper.unwrap(1);
    expect(unwrapper.unwrap(65535)).toBe(-1);
    expect(unwrapper.highest).toBe(1);
    expect(unwrapper.unwrap(2)).toBe(2);
  });

  it('finds every number that is less than 2^15 away from the highest', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2 ** 15, max: 2 ** 47 }),
        fc.integer({ min: -(2 ** 15) + 1, max: 2 ** 15 - 1 }),
        (highest, distance) => {
          const extended = highest + distance;
          expect(nearestExtended(extended % 65536, highest)).toBe(extended);
        },
      ),
    );
  });

  it('cannot find a number that is more than 2^15 away', () => {
    const far = 3 * 65536 + 2 ** 15 + 1;
    expect(nearestExtended(far % 65536, 3 * 65536)).not.toBe(far);
  });
});

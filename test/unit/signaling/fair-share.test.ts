import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairShare, ownerOf } from '../../../src/signaling/fair-share.ts';

describe('places', () => {
  it('may all be of one owner while there are some', () => {
    const share = new FairShare<number>(3);
    expect([1, 2, 3].map((place) => share.take('a', place))).toEqual([undefined, undefined, undefined]);
    expect(share.taken).toBe(3);
  });

  it('that run out are refused to who holds most', () => {
    const share = new FairShare<number>(2);
    for (const place of [1, 2]) share.take('a', place);
    expect(share.take('a', 3)).toBe(3);
    expect(share.taken).toBe(2);
  });

  it('that run out go from who holds most, the newest first, to who holds fewer', () => {
    const share = new FairShare<number>(4);
    for (const place of [1, 2, 3, 4]) share.take('a', place);
    expect(share.take('b', 5)).toBe(4);
    expect(share.take('b', 6)).toBe(3);
    // Two each: a newcomer may not take from equals.
    expect(share.take('b', 7)).toBe(7);
    expect(share.take('a', 8)).toBe(8);
  });

  it('are given back once', () => {
    const share = new FairShare<number>(2);
    share.take('a', 1);
    share.release(1);
    share.release(1);
    share.release(2);
    expect(share.taken).toBe(0);
  });

  it('move to another owner without one more being taken', () => {
    const share = new FairShare<number>(2);
    for (const place of [1, 2]) share.take('a', place);
    share.hold('b', 2);
    expect(share.take('c', 3)).toBe(3);
    expect(share.taken).toBe(2);
    share.release(2);
    expect([share.take('b', 4), share.take('b', 5)]).toEqual([undefined, 5]);
  });

  it('are refused to an owner who has as many as one may have, and to nobody else', () => {
    const share = new FairShare<number>(9, (owner) => (owner === 'many' ? 3 : 2));
    expect([1, 2, 3].map((place) => share.take('a', place))).toEqual([undefined, undefined, 3]);
    expect([share.isAtLimit('a'), share.isAtLimit('b')]).toEqual([true, false]);
    expect(share.take('b', 4)).toBeUndefined();
    share.release(1);
    expect(share.take('a', 5)).toBeUndefined();
    expect(share.taken).toBe(3);
    expect([6, 7, 8, 9].map((place) => share.take('many', place))).toEqual([
      undefined,
      undefined,
      undefined,
      9,
    ]);
  });

  it('that are held already stay, where there are fewer than that', () => {
    const share = new FairShare<number>(2, () => 1);
    for (const place of [1, 2, 3]) share.hold('a', place);
    share.hold('a', 3);
    expect(share.taken).toBe(3);
    expect(share.take('a', 4)).toBe(4);
    // One goes for one that comes: no more than there were.
    expect(share.take('b', 5)).toBe(3);
    expect(share.taken).toBe(3);
  });

  it('are never more than there are, and nobody with an equal share is evicted', () => {
    const steps = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.boolean()), { maxLength: 60 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 9 }), (list, limit) => {
        const share = new FairShare<number>(limit);
        const held: { owner: string; place: number }[] = [];
        const count = (owner: string) => held.filter((one) => one.owner === owner).length;
        for (const [place, [owner, takes]] of list.entries()) {
          if (takes) {
            held.push({ owner, place });
            const goes = share.take(owner, place);
            if (goes === undefined) continue;
            const [lost] = held.splice(
              held.findIndex((one) => one.place === goes),
              1,
            );
            expect(lost!.owner === owner || count(lost!.owner) >= count(owner)).toBe(true);
          } else {
            const at = held.findIndex((one) => one.owner === owner);
            if (at >= 0) share.release(held.splice(at, 1)[0]!.place);
          }
          expect(share.taken).toBe(held.length);
          expect(share.taken).toBeLessThanOrEqual(limit);
        }
      }),
      { seed: 8 },
    );
  });
});

describe('whose a visit is', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '20010db800010002'],
    ['2001:db8:1:2::1', '20010db800010002'],
    ['fe80::1%eth0', 'fe80000000000000'],
  ])('of %s', (address, owner) => {
    expect(ownerOf(address)).toBe(owner);
  });
});

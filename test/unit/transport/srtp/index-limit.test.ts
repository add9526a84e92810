import { describe, expect, it } from 'vitest';
import { IndexLimit } from '../../../../src/transport/srtp/index-limit.ts';

const CEILING = 2 ** 31;

describe('IndexLimit', () => {
  it('limits nothing before the first proposal', () => {
    expect(new IndexLimit(CEILING, Infinity).allows(CEILING - 1)).toBe(true);
  });

  it('binds to the first proposal at once, since a file may hold it', () => {
    const limit = new IndexLimit(CEILING, Infinity);
    expect(limit.propose(100, 10)).toBe(110);
    expect(limit.allows(109)).toBe(true);
    expect(limit.allows(110)).toBe(false);
  });

  it('does not rise by a later proposal, only by a grant', () => {
    const limit = new IndexLimit(CEILING, Infinity);
    limit.propose(100, 10);
    expect(limit.propose(105, 20)).toBe(125);
    expect(limit.allows(110)).toBe(false);
    limit.grant(125);
    expect(limit.allows(124)).toBe(true);
    expect(limit.allows(125)).toBe(false);
  });

  it('never proposes less than what is granted and never falls', () => {
    const limit = new IndexLimit(CEILING, Infinity);
    limit.propose(100, 50);
    expect(limit.propose(101, 10)).toBe(150);
    limit.grant(120);
    expect(limit.allows(149)).toBe(true);
  });

  it('has no newer file below a grant that comes late', () => {
    const limit = new IndexLimit(CEILING, Infinity);
    limit.propose(100, 10);
    const early = limit.propose(105, 50);
    const newest = limit.propose(106, 10);
    limit.grant(newest);
    limit.grant(early);
    expect(limit.allows(newest)).toBe(false);
  });

  it('is lifted where no file is left, and binds again to the next proposal', () => {
    const limit = new IndexLimit(CEILING, Infinity);
    limit.propose(100, 10);
    limit.grant(Infinity);
    expect(limit.allows(5000)).toBe(true);
    expect(limit.propose(5001, 10)).toBe(5011);
    expect(limit.allows(5011)).toBe(false);
  });

  it('reserves a quarter more than was used since the last proposal where that is more', () => {
    const limit = new IndexLimit(CEILING, Infinity);
    for (let i = 0; i < 30; i++) limit.countUse();
    expect(limit.propose(30, 8)).toBe(68);
    expect(limit.propose(95, 8)).toBe(103);
  });

  it('stays while half of the reserve is left, and rises when less is', () => {
    const limit = new IndexLimit(CEILING, Infinity);
    expect(limit.propose(100, 10)).toBe(110);
    expect(limit.propose(105, 10)).toBe(110);
    expect(limit.propose(106, 10)).toBe(116);
  });

  it('of a busy stream rises when a quarter of what it was given is used', () => {
    const limit = new IndexLimit(CEILING, Infinity);
    expect(limit.wantsRise(0)).toBe(true);
    for (let i = 0; i < 40; i++) limit.countUse();
    expect(limit.propose(40, 8)).toBe(90);
    expect(limit.wantsRise(52)).toBe(false);
    expect(limit.propose(52, 8)).toBe(90);
    expect(limit.wantsRise(53)).toBe(true);
    expect(limit.propose(53, 8)).toBe(90);
    expect(limit.propose(86, 8)).toBe(90);
    expect(limit.propose(87, 8)).toBe(95);
  });

  it('reserves little more than an interval again some time after a burst', () => {
    const limit = new IndexLimit(CEILING, Infinity);
    let next = 0;
    const ahead: number[] = [];
    for (let interval = 0; interval < 40; interval++) {
      for (let used = interval === 5 ? 480 : 60; used > 0; used--) {
        next++;
        limit.countUse();
      }
      ahead.push(limit.propose(next, 8) - next);
    }
    expect([ahead[4], ahead[5]]).toEqual([75, 600]);
    expect(ahead.slice(30)).toEqual(Array.from({ length: 10 }, () => 75));
  });

  it('proposes an index that exists, even at the end', () => {
    expect(new IndexLimit(CEILING, 0).propose(CEILING, 100)).toBe(CEILING - 1);
  });
});

import { expect, it } from 'vitest';
import { PAGE_ERROR } from '../../../src/server/page-errors.ts';
import { Places } from '../../../src/server/places.ts';

const open = (options: { maxSessions?: number; maxSessionsPerOwner?: number; away?: string[] } = {}) =>
  new Places({
    maxSessions: options.maxSessions,
    maxSessionsPerOwner: options.maxSessionsPerOwner,
    isAway: (session) => options.away?.includes(session) === true,
  });

const IN = { left: undefined, evicted: undefined, refused: undefined };

it('a place is free until there are none, then whoever holds most gives one up, or is refused', () => {
  const places = open({ maxSessions: 2 });
  expect([places.take('a1', 'a'), places.take('a2', 'a')]).toEqual([IN, IN]);
  expect(places.take('a3', 'a')).toEqual({ ...IN, refused: PAGE_ERROR.roomFull });
  expect(places.take('b1', 'b')).toEqual({ ...IN, evicted: 'a2' });
  places.release('a1');
  expect(places.take('c1', 'c')).toEqual(IN);
});

it('an owner with as many as one may have is refused in words of their own, and others are not', () => {
  const places = open({ maxSessionsPerOwner: 1 });
  places.take('a1', 'a');
  expect(places.take('a2', 'a')).toEqual({ ...IN, refused: PAGE_ERROR.tooManyVisits });
  expect(places.take('b1', 'b')).toEqual(IN);
});

it('who opens the page again has the place that it has just left, here or elsewhere, and not one that it is still at', () => {
  const away: string[] = [];
  const places = open({ maxSessions: 2, away });
  places.take('a1', 'a');
  places.take('a2', 'a');
  places.holdElsewhere('a2', 'a');
  expect(places.take('a3', 'a').refused).toBe(PAGE_ERROR.roomFull);
  places.awayElsewhere('a2');
  expect(places.take('a3', 'a')).toEqual({ ...IN, left: 'a2' });
  expect([places.releaseElsewhere('a2'), places.releaseElsewhere('a2')]).toEqual([true, false]);
  away.push('a1');
  expect(places.take('a4', 'a')).toEqual({ ...IN, left: 'a1' });
  // Nobody's place is taken while there are others.
  const roomy = open({ maxSessions: 3, away });
  roomy.take('a1', 'a');
  expect(roomy.take('a5', 'a')).toEqual(IN);
});

it('a page that is back elsewhere is not away any more', () => {
  const places = open({ maxSessions: 1 });
  places.holdElsewhere('a1', 'a');
  places.awayElsewhere('a1');
  places.holdElsewhere('a1', 'a');
  expect(places.take('a2', 'a').left).toBeUndefined();
  places.awayElsewhere('unknown');
  expect(places.elsewhere).toBe(1);
});

it('those who are in keep their places when limits are lowered, and nobody comes in', () => {
  const places = open({ maxSessions: 1 });
  for (const session of ['x', 'y']) places.hold(session);
  expect(places.take('b1', 'b').refused).toBe(PAGE_ERROR.roomFull);
  places.release('x');
  expect(places.take('b1', 'b').refused).toBe(PAGE_ERROR.roomFull);
  places.release('y');
  expect(places.take('b1', 'b')).toEqual(IN);
});

it('a page on its way from another engine keeps one place, until it is here or gone', () => {
  const places = open({ maxSessions: 1 });
  places.holdElsewhere('a1', 'a');
  places.move(7, 'a', 'a1');
  expect([places.elsewhere, places.moving]).toEqual([0, 1]);
  expect(places.take('b1', 'b').refused).toBe(PAGE_ERROR.roomFull);
  expect([places.endMove(7), places.endMove(7), places.moving]).toEqual([true, false, 0]);
  expect(places.take('a2', 'a')).toEqual(IN);
});

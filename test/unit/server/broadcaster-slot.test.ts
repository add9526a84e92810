import { expect, it } from 'vitest';
import { BroadcasterSlot } from '../../../src/server/broadcaster-slot.ts';
import type { Session } from '../../../src/session/session.ts';

const HOLDER = { attached: false, seenAt: 1_000 } as unknown as Session;

it('is free for who asks when its holder was silent for a minute, and open to who comes where that one never sent anything', () => {
  const slot = new BroadcasterSlot();
  const holder = { ...HOLDER, attached: true, current: { role: 'broadcaster' } } as unknown as Session;
  const states = () => [slot.onAir, slot.isFree, slot.isOpen];
  slot.take(holder, 0);
  slot.handleTimeout(59_999);
  expect([states(), slot.nextTimeout()]).toEqual([[true, false, false], 60_000]);
  slot.handleTimeout(60_000);
  expect([states(), slot.nextTimeout()]).toEqual([[false, true, true], undefined]);
  slot.heard(holder, 70_000);
  expect([states(), slot.nextTimeout()]).toEqual([[true, false, false], 130_000]);
  slot.handleTimeout(130_000);
  expect(states()).toEqual([false, true, false]);
  const next = { ...holder } as unknown as Session;
  slot.take(next, 140_000);
  slot.heard(holder, 150_000);
  expect([states(), slot.nextTimeout()]).toEqual([[true, false, false], 200_000]);
});

it('counts the time on air from when its holder is connected until that one is silent, or gone', () => {
  const slot = new BroadcasterSlot();
  const holder = { ...HOLDER, attached: true } as { current?: object } & Session;
  slot.take(holder, 0);
  expect([slot.onAirSince(1_000), slot.onAir]).toEqual([undefined, false]);
  Object.assign(holder, { current: { role: 'broadcaster' } });
  expect(slot.onAirSinceOf(holder)).toBeUndefined();
  expect([slot.onAirSince(2_000), slot.onAirSince(3_000), slot.onAirSinceOf(holder)]).toEqual([
    2_000, 2_000, 2_000,
  ]);
  expect(slot.onAirSinceOf({ ...HOLDER } as unknown as Session)).toBeUndefined();
  // Its connection is being made anew: still the same broadcast.
  Object.assign(holder, { current: undefined });
  expect([slot.onAir, slot.onAirSince(4_000)]).toEqual([true, 2_000]);
  slot.handleTimeout(60_000);
  expect([slot.onAir, slot.onAirSince(61_000)]).toEqual([false, undefined]);
  Object.assign(holder, { current: { role: 'broadcaster' } });
  slot.heard(holder, 70_000);
  expect(slot.onAirSince(70_001)).toBe(70_001);
  slot.release(holder);
  expect([slot.onAir, slot.onAirSince(80_000)]).toEqual([false, undefined]);
});

it('goes on counting where the process before has begun', () => {
  const slot = new BroadcasterSlot();
  slot.take(HOLDER, 1_000, { onAirSince: -50_000 });
  expect([slot.onAir, slot.onAirSince(2_000)]).toEqual([true, -50_000]);
  slot.take({ ...HOLDER } as unknown as Session, 3_000);
  expect(slot.onAirSince(4_000)).toBeUndefined();
});

it('is given up when the page and the media of its holder are gone for fifteen seconds, and not before', () => {
  const slot = new BroadcasterSlot();
  slot.take(HOLDER, 1_000);
  // The path shows only every few seconds that somebody is there: packets that come in say so as well.
  for (let now = 1_000; now <= 60_000; now += 20) {
    slot.handleTimeout(now);
    slot.heard(HOLDER, now);
  }
  expect([slot.isEmpty, slot.nextTimeout()]).toEqual([false, 75_000]);
  slot.handleTimeout(74_999);
  expect(slot.isEmpty).toBe(false);
  slot.handleTimeout(75_000);
  expect([slot.isEmpty, slot.nextTimeout()]).toEqual([true, undefined]);
});

it('is free at first, and released by its holder only', () => {
  const slot = new BroadcasterSlot();
  expect([slot.isFree, slot.isOpen]).toEqual([true, true]);
  slot.take(HOLDER, 0);
  slot.release({ ...HOLDER } as unknown as Session);
  expect(slot.isEmpty).toBe(false);
  slot.release(HOLDER);
  expect(slot.isEmpty).toBe(true);
});

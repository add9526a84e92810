import { describe, expect, it } from 'vitest';
import { MAX_MISSING, MissingPackets } from '../../../src/room/nack.ts';

describe('missing packets', () => {
  it('are asked for at once and again until they are here', () => {
    const missing = new MissingPackets();
    missing.add(65_535, 65_538, 0);
    expect(missing.take(0).sequences).toEqual([65_535, 0, 1]);
    expect(missing.take(10).sequences).toEqual([]);
    expect(missing.arrived(65_536, true, 100)).toBe(true);
    expect(missing.take(missing.nextTimeout()!).sequences).toEqual([65_535, 1]);
    expect(missing.arrived(65_535, true, 200)).toBe(true);
    expect(missing.arrived(65_537, true, 200)).toBe(true);
    expect(missing.nextTimeout()).toBeUndefined();
    expect(missing.lost).toBe(0);
  });

  it('are not there twice', () => {
    const missing = new MissingPackets();
    missing.add(5, 6, 0);
    expect(missing.arrived(5, false, 1)).toBe(true);
    expect(missing.arrived(5, false, 1)).toBe(false);
    expect(missing.arrived(6, false, 1)).toBe(false);
  });

  it('are given up after about a second', () => {
    const missing = new MissingPackets();
    missing.add(5, 6, 0);
    let tries = 0;
    let last = 0;
    for (let now: number | undefined = 0; now !== undefined; now = missing.nextTimeout()) {
      tries += missing.take(now).sequences.length;
      last = now;
    }
    expect(tries).toBeGreaterThan(4);
    expect(tries).toBeLessThanOrEqual(10);
    expect(last).toBeGreaterThanOrEqual(1000);
    expect(last).toBeLessThan(1300);
    expect(missing.lost).toBe(1);
  });

  it('are bounded: the oldest make place', () => {
    const missing = new MissingPackets();
    missing.add(0, 600, 0);
    missing.add(700, 1300, 0);
    expect(missing.size).toBe(MAX_MISSING);
    expect(missing.has(0)).toBe(false);
    expect(missing.has(1299)).toBe(true);
    missing.add(2000, 1_000_000_000, 0);
    expect(missing.size).toBe(MAX_MISSING);
  });

  it('call for a keyframe once when repair takes too long, sooner behind fresh keys', () => {
    const patience = (urgent: boolean): number => {
      const missing = new MissingPackets();
      if (urgent) missing.hurry(0, 2000);
      missing.add(5, 7, 0);
      const calls: number[] = [];
      for (let now = 0; now < 1500; now += 10) if (missing.take(now).unrepaired) calls.push(now);
      expect(calls).toHaveLength(1);
      return calls[0]!;
    };
    expect(patience(true)).toBe(200);
    expect(patience(false)).toBe(300);
  });

  it('call for none when a keyframe has come behind them, or when they came in time', () => {
    const missing = new MissingPackets();
    missing.add(5, 7, 0);
    missing.keyframeAt(9);
    expect(missing.take(900).unrepaired).toBe(false);
    missing.add(10, 11, 900);
    missing.take(900);
    missing.arrived(10, true, 950);
    expect(missing.take(1250).unrepaired).toBe(false);
  });

  it('are asked for sooner again where the round trip is short', () => {
    const near = new MissingPackets();
    for (let packet = 0; packet < 50; packet++) {
      near.add(packet, packet + 1, packet * 10);
      near.take(packet * 10);
      near.arrived(packet, true, packet * 10 + 5);
    }
    near.add(1000, 1001, 1000);
    near.take(1000);
    expect(near.nextTimeout()).toBe(1020);
  });

  it('tell no round trip when they were asked for twice: which request was answered is not known', () => {
    const missing = new MissingPackets();
    missing.add(5, 6, 0);
    missing.take(0);
    missing.take(120);
    missing.arrived(5, true, 900);
    missing.add(7, 8, 1000);
    missing.take(1000);
    expect(missing.nextTimeout()).toBe(1120);
  });

  it('are all asked for at once when the producer has fresh keys', () => {
    const missing = new MissingPackets();
    missing.add(5, 7, 0);
    missing.take(0);
    expect(missing.take(30).sequences).toEqual([]);
    missing.hurry(30, 2000);
    expect(missing.take(30).sequences).toEqual([5, 6]);
  });
});

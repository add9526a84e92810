import { describe, expect, it } from 'vitest';
import { GapMeter } from '../../../src/client/gaps.ts';

function frames(meter: GapMeter, from: number, to: number, every = 33): void {
  for (let at = from; at <= to; at += every) meter.frame(at);
}

describe('GapMeter', () => {
  it('says nothing before the first restart', () => {
    const meter = new GapMeter();
    frames(meter, 0, 5_000, 500);
    expect(meter.longestMs).toBeUndefined();
  });

  it('measures the gap that runs when the loss is noticed', () => {
    const meter = new GapMeter();
    frames(meter, 0, 990);
    meter.handleLost(1_010);
    meter.frame(1_390);
    frames(meter, 1_423, 3_000);
    expect(meter.longestMs).toBe(1_390 - 990);
  });

  it('counts a gap that was over just before the loss was noticed', () => {
    const meter = new GapMeter();
    frames(meter, 0, 990);
    meter.frame(1_290);
    frames(meter, 1_323, 1_500);
    meter.handleLost(1_510);
    expect(meter.longestMs).toBe(300);
  });

  it('does not count a gap from long before', () => {
    const meter = new GapMeter();
    frames(meter, 0, 990);
    meter.frame(1_990);
    frames(meter, 2_023, 6_000);
    meter.handleLost(6_010);
    expect(meter.longestMs).toBe(33);
  });

  it('does not count a gap whose end is long past when the loss is noticed', () => {
    const meter = new GapMeter();
    meter.frame(0);
    meter.frame(300);
    meter.handleLost(5_000);
    expect(meter.longestMs).toBe(0);
  });

  it('waits for a picture that comes back long after signaling', () => {
    const meter = new GapMeter();
    frames(meter, 0, 990);
    meter.handleLost(1_000);
    meter.handleReturned(1_500);
    meter.frame(20_990);
    expect(meter.longestMs).toBe(20_000);
  });

  it('leaves out what begins well after the return', () => {
    const meter = new GapMeter();
    frames(meter, 0, 990);
    meter.handleLost(1_000);
    meter.handleReturned(1_500);
    frames(meter, 1_023, 9_000);
    meter.frame(30_000);
    expect(meter.longestMs).toBeLessThan(50);
  });

  it('begins anew at the next loss', () => {
    const meter = new GapMeter();
    meter.frame(0);
    meter.handleLost(10);
    meter.frame(5_000);
    meter.handleReturned(5_000);
    frames(meter, 5_033, 20_000);
    meter.handleLost(20_010);
    frames(meter, 20_030, 21_000);
    expect(meter.longestMs).toBeLessThan(50);
  });

  it('knows since when the picture has been standing, where that will be the longest gap', () => {
    const meter = new GapMeter();
    meter.frame(0);
    expect(meter.standingSince(9_000)).toBeUndefined();
    meter.handleLost(10);
    meter.frame(300);
    expect(meter.standingSince(550)).toBeUndefined();
    expect(meter.standingSince(700)).toBe(300);
    meter.handleReturned(800);
    frames(meter, 1_000, 9_000);
    expect(meter.standingSince(20_000)).toBeUndefined();
    meter.handleLost(20_000);
    meter.pause();
    expect(meter.standingSince(30_000)).toBeUndefined();
  });

  it('does not take the time on a hidden page for a gap', () => {
    const meter = new GapMeter();
    meter.frame(0);
    meter.handleLost(10);
    meter.frame(33);
    meter.pause();
    meter.frame(60_000);
    expect(meter.longestMs).toBe(33);
  });
});

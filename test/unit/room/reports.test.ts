import { describe, expect, it } from 'vitest';
import { ProducerClock, ReceptionStatistics, roundTripTime } from '../../../src/room/reports.ts';
import { compactNtp, ntpFromWall } from '../../../src/rtp/rtcp-reports.ts';

const WALL = 1_800_000_000_000;

describe('reception statistics', () => {
  it('say nothing before the first packet', () => {
    expect(new ReceptionStatistics(90_000).report(1, 0)).toBeUndefined();
  });

  it('count loss since the beginning and since the last report (RFC 3550 A.3)', () => {
    const statistics = new ReceptionStatistics(90_000);
    for (let number = 1000; number < 1100; number++) if (number % 4 !== 1) statistics.update(number, 0, 0);
    expect(statistics.report(1, 0)).toMatchObject({ lost: 25, fractionLost: 64, highestSequence: 1099 });
    for (let number = 1100; number < 1200; number++) statistics.update(number, 0, 0);
    expect(statistics.report(1, 0)).toMatchObject({ lost: 25, fractionLost: 0, highestSequence: 1199 });
    expect(statistics.report(1, 0)).toMatchObject({ fractionLost: 0 });
  });

  it('count duplicates against loss, down to a negative number', () => {
    const statistics = new ReceptionStatistics(90_000);
    for (let i = 0; i < 3; i++) statistics.update(7, 0, 0);
    expect(statistics.report(1, 0)).toMatchObject({ lost: -2, fractionLost: 0 });
  });

  it('carry the cycles in the highest sequence number', () => {
    const statistics = new ReceptionStatistics(90_000);
    statistics.update(65_535, 0, 0);
    statistics.update(65_540, 0, 0);
    expect(statistics.report(1, 0)?.highestSequence).toBe(0x0001_0004);
  });

  it('measure jitter as RFC 3550 A.8 does, also where the timestamp wraps', () => {
    const steady = new ReceptionStatistics(90_000);
    const shaky = new ReceptionStatistics(90_000);
    for (let i = 0; i < 400; i++) {
      const timestamp = (2 ** 32 - 90_000 + i * 900) % 2 ** 32;
      steady.update(i, timestamp, i * 10);
      shaky.update(i, timestamp, i * 10 + (i % 2) * 4);
    }
    expect(steady.report(1, 0)?.jitter).toBe(0);
    // Every difference is 4 ms: 360 ticks.
    expect(shaky.report(1, 0)?.jitter).toBeGreaterThan(350);
    expect(shaky.report(1, 0)?.jitter).toBeLessThanOrEqual(360);
  });

  it('return the last sender report and the time since, so that the sender finds the round trip', () => {
    const statistics = new ReceptionStatistics(90_000);
    statistics.update(1, 0, 100);
    expect(statistics.report(1, 100)).toMatchObject({ lastReport: 0, delaySinceLastReport: 0 });
    // The sender's report leaves at WALL, takes 40 ms; ours leaves 500 ms later and takes 60 ms.
    statistics.senderReported(ntpFromWall(WALL), 140);
    const report = statistics.report(1, 640)!;
    expect(report.delaySinceLastReport).toBe(32_768);
    expect(report.lastReport).toBe(compactNtp(ntpFromWall(WALL)));
    expect(roundTripTime(report, WALL + 600)).toBeCloseTo(100, 1);
  });
});

describe('a round trip', () => {
  const block = {
    ssrc: 1,
    fractionLost: 0,
    lost: 0,
    highestSequence: 0,
    jitter: 0,
    lastReport: compactNtp(ntpFromWall(WALL)),
    delaySinceLastReport: 0,
  };

  it('is not made of a report that answers none, comes from the future or is absurd', () => {
    expect(roundTripTime({ ...block, lastReport: 0 }, WALL)).toBeUndefined();
    expect(roundTripTime(block, WALL - 5)).toBeUndefined();
    expect(roundTripTime(block, WALL + 11_000)).toBeUndefined();
    expect(roundTripTime(block, WALL + 80)).toBeCloseTo(80, 1);
  });
});

describe("the producer's clock", () => {
  it('gives both streams the timestamps that belong together', () => {
    const clock = new ProducerClock();
    const producerWall = 1_600_000_000_000;
    clock.observe(ntpFromWall(producerWall), WALL);
    // The network delays the next report by another 30 ms: the streams keep to one difference.
    clock.observe(ntpFromWall(producerWall + 100), WALL + 130);
    const video = { wall: producerWall, timestamp: 2 ** 32 - 90 };
    const audio = { wall: producerWall + 100, timestamp: 4800 };
    expect(clock.timestampAt(video, WALL + 1000, 90_000)).toBe(90_000 - 90);
    expect(clock.timestampAt(audio, WALL + 1000, 48_000)).toBe(4800 + 900 * 48);
  });

  it('is unknown before it has been seen, and follows a step of the producer', () => {
    const clock = new ProducerClock();
    const mapping = { wall: WALL, timestamp: 0 };
    expect(clock.timestampAt(mapping, WALL, 90_000)).toBeUndefined();
    clock.observe(ntpFromWall(WALL), WALL);
    clock.observe(ntpFromWall(WALL + 3_600_000), WALL);
    const stepped = { wall: WALL + 3_600_000, timestamp: 5 };
    expect(clock.timestampAt(stepped, WALL, 90_000)).toBe(5);
    clock.reset();
    expect(clock.timestampAt(mapping, WALL, 90_000)).toBeUndefined();
  });
});

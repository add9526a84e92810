import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CongestionFeedback,
  type CongestionReport,
  FEEDBACK_INTERVAL_MS,
} from '../../../src/room/congestion.ts';

const WALL = 1_800_000_000_000;

/** Arrival times (ms on the wall clock, modulo the reference time's 2^24 * 64 ms) by sequence number. */
function arrivalsOf(report: CongestionReport): Map<number, number> {
  const arrivals = new Map<number, number>();
  let ticks = report.referenceTime * 256;
  report.deltas.forEach((delta, i) => {
    if (delta === undefined) return;
    ticks += delta;
    arrivals.set((report.baseSequence + i) & 0xffff, ticks / 4);
  });
  return arrivals;
}

const PERIOD = 2 ** 24 * 64;
const wrapped = (wall: number): number => {
  const value = wall % PERIOD;
  return value < PERIOD / 2 ? value : value - PERIOD;
};

describe('transport feedback to the producer', () => {
  it('tells every arrival and every loss, to a quarter of a millisecond', () => {
    const feedback = new CongestionFeedback();
    const times = new Map([
      [65_534, 0.1],
      [65_535, 3.3],
      [1, 20],
      [2, 20.4],
    ]);
    for (const [sequence, at] of times) feedback.arrived('video', 5, sequence, at, WALL + at);
    expect(feedback.take(FEEDBACK_INTERVAL_MS)).toEqual([]);
    expect(feedback.nextTimeout()).toBeCloseTo(0.1 + FEEDBACK_INTERVAL_MS);
    const [report] = feedback.take(0.1 + FEEDBACK_INTERVAL_MS);
    expect(report).toMatchObject({ baseSequence: 65_534, feedbackCount: 0, media: 5 });
    expect(report?.deltas.map((delta) => delta !== undefined)).toEqual([true, true, false, true, true]);
    for (const [sequence, at] of arrivalsOf(report!))
      expect(Math.abs(at - wrapped(WALL + times.get(sequence)!))).toBeLessThanOrEqual(0.125);
    expect(feedback.nextTimeout()).toBeUndefined();
  });

  it('goes on where it ended, counts itself, and reaches back to a late packet', () => {
    const feedback = new CongestionFeedback();
    feedback.arrived('video', 5, 10, 0, WALL);
    expect(feedback.take(50)).toMatchObject([{ baseSequence: 10, feedbackCount: 0 }]);
    feedback.arrived('video', 5, 13, 60, WALL + 60);
    expect(feedback.take(110)).toMatchObject([{ baseSequence: 11, feedbackCount: 1 }]);
    feedback.arrived('video', 5, 12, 120, WALL + 120);
    const [report] = feedback.take(170);
    expect(report?.baseSequence).toBe(12);
    // 13 had come 60 ms before 12 did: told again, not as lost.
    expect(report?.deltas.slice(1)).toEqual([-240]);
  });

  it('tells the first arrival of a packet that comes twice', () => {
    const feedback = new CongestionFeedback();
    feedback.arrived('video', 5, 10, 0, WALL);
    feedback.arrived('video', 5, 10, 30, WALL + 30);
    const [report] = feedback.take(50);
    expect([...arrivalsOf(report!).values()]).toEqual([wrapped(WALL)]);
  });

  it('counts audio, video and retransmissions of a connection together, and another connection apart', () => {
    const feedback = new CongestionFeedback();
    feedback.arrived('audio', 1, 100, 0, WALL);
    feedback.arrived('video', 2, 101, 1, WALL + 1);
    feedback.arrived('retransmission', 3, 102, 2, WALL + 2);
    feedback.arrived('audio', 11, 7, 3, WALL + 3);
    feedback.arrived('video', 12, 8, 4, WALL + 4);
    feedback.arrived('video', 2, 103, 5, WALL + 5);
    const reports = feedback.take(60);
    expect(reports.map(({ media, baseSequence, deltas }) => [media, baseSequence, deltas.length])).toEqual([
      [2, 100, 4],
      [12, 7, 2],
    ]);
  });

  it('splits what one packet cannot say: too many numbers, or an arrival 9 s behind', () => {
    const feedback = new CongestionFeedback();
    feedback.arrived('video', 5, 0, 0, WALL);
    feedback.arrived('video', 5, 600, 1, WALL + 1);
    expect(feedback.take(50).map(({ deltas }) => deltas.length)).toEqual([450, 151]);
    feedback.arrived('video', 5, 601, 100, WALL + 100);
    feedback.arrived('video', 5, 602, 9100, WALL + 9100);
    const late = feedback.take(9100);
    expect(late.map(({ deltas }) => deltas.length)).toEqual([1, 1]);
    expect([...arrivalsOf(late[1]!).values()]).toEqual([wrapped(WALL + 9100)]);
  });

  it('tells each packet at least once, whatever the order and the loss', () => {
    const step = fc.record({ loss: fc.boolean(), gap: fc.nat({ max: 40 }), swap: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 120 }),
        fc.nat({ max: 65_535 }),
        (steps, first) => {
          const feedback = new CongestionFeedback();
          const order = steps.map((_, i) => i);
          steps.forEach(({ swap }, i) => {
            if (swap && i > 0) [order[i - 1], order[i]] = [order[i]!, order[i - 1]!];
          });
          const sent = new Map<number, number>();
          const told = new Map<number, number>();
          const read = (reports: readonly CongestionReport[]) => {
            for (const report of reports) for (const [number, at] of arrivalsOf(report)) told.set(number, at);
          };
          let now = 0;
          for (const i of order) {
            now += steps[i]!.gap;
            if (!steps[i]!.loss) {
              sent.set((first + i) & 0xffff, wrapped(WALL + now));
              feedback.arrived('video', 5, (first + i) & 0xffff, now, WALL + now);
            }
            if ((feedback.nextTimeout() ?? Number.POSITIVE_INFINITY) <= now) read(feedback.take(now));
          }
          read(feedback.take(now + 1000));
          expect(told).toEqual(sent);
        },
      ),
    );
  });
});

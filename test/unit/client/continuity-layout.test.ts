import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ContinuityReading, Mark } from '../../../src/client/continuity.ts';
import { Continuity } from '../../../src/client/continuity.ts';
import { LANES, type Layout, layOut } from '../../../src/client/continuity-layout.ts';

fc.configureGlobal({ seed: 1_000 });

const widthOf = (text: string): number => text.length * 6;

function layout(reading: ContinuityReading, now: number, width = 1_200, ratio = 1): Layout {
  return layOut(reading, { width, ratio, now, widthOf });
}

function watched(seconds: number): Continuity {
  const continuity = new Continuity();
  for (let at = 0; at < seconds * 1_000; at += 33) continuity.handleFrame(at, at);
  return continuity;
}

/** A reading with these marks and nothing else. */
const marked = (marks: readonly Mark[]): ContinuityReading => {
  const { timeline, seal, version } = watched(1);
  return {
    timeline,
    seal,
    version,
    outages: [],
    marks: () => marks,
    epochAt: () => undefined,
    standingSince: () => undefined,
  };
};

function expectNoOverlap({ marks }: Layout, width: number): void {
  const labels = marks
    .filter(({ lane }) => lane !== undefined)
    .map(({ lane, labelX, label, x }) => ({ lane: lane!, from: labelX, to: labelX + widthOf(label), x }));
  for (const [i, one] of labels.entries()) {
    expect(one.from).toBeGreaterThanOrEqual(0);
    expect(one.to).toBeLessThanOrEqual(width);
    for (const other of labels.slice(i + 1)) {
      if (one.lane === other.lane) expect(one.to < other.from || other.to < one.from).toBe(true);
      // A line begins in the lane of its label and goes down.
      else if (one.lane < other.lane) expect(one.x > other.from && one.x < other.to).toBe(false);
      else expect(other.x > one.from && other.x < one.to).toBe(false);
    }
  }
}

describe('the layout of the timeline', () => {
  it('shows the whole minute where there is room, and the newest part of it on a phone', () => {
    const continuity = watched(70);
    expect(layout(continuity, 70_000)).toMatchObject({ seconds: 60 });
    expect(layout(continuity, 70_000, 336, 3).seconds).toBe(20);
    for (const width of [336, 1_200]) {
      const { bars } = layout(continuity, 70_000, width);
      expect(bars.at(-1)!.x + 2).toBeCloseTo(width, 5);
      expect(bars[0]!.x).toBeGreaterThanOrEqual(0);
    }
  });

  it('draws a gap as bars of no height, and time out of sight as something else', () => {
    const continuity = watched(2);
    continuity.handleFrame(3_050, 3_050);
    continuity.handleVisibility(true, 3_100);
    const { bars } = layout(continuity, 3_500);
    const drawn = bars
      .slice(-20)
      .map(({ level, watching }) => (level > 0 ? '#' : watching === 'picture' ? ' ' : '-'));
    expect(drawn.join('')).toBe('#####          #----');
  });

  it('leaves room above an even picture, whatever its rate is', () => {
    for (const every of [16, 33, 100, 500]) {
      const continuity = new Continuity();
      for (let at = 0; at < 10_000; at += every) continuity.handleFrame(at, at);
      const levels = layout(continuity, 10_000).bars.map(({ level }) => level);
      expect(Math.max(...levels)).toBeLessThanOrEqual(1);
      expect(Math.max(...levels)).toBeGreaterThan(0.7);
    }
  });

  it('marks the time without the server, until now where it is still away', () => {
    const continuity = watched(5);
    continuity.handleLost('viewer', 0, 5_000);
    expect(layout(continuity, 6_000).absences).toEqual([{ x: 1_180, width: 20 }]);
    continuity.handleOpen(5_500);
    continuity.handleTakenBack(true, 5_510);
    expect(layout(continuity, 6_000).absences).toEqual([{ x: 1_180, width: 10 }]);
    expect(layout(continuity, 90_000).absences).toEqual([]);
  });

  it('gives bars another tone with other keys', () => {
    const continuity = watched(4);
    const { bars } = layout(
      { ...marked([]), timeline: continuity.timeline, epochAt: (at) => (at < 2_000 ? 6 : 7) },
      4_000,
    );
    expect(bars.map(({ tone }) => tone).join('')).toBe('0'.repeat(20) + '1'.repeat(20));
  });

  it('finds room for all the labels of one restart', () => {
    const marks: Mark[] = [
      { kind: 'gone', at: 40_000 },
      { kind: 'back', at: 41_000 },
      { kind: 'keys', at: 41_040, epoch: 1 },
      { kind: 'media', at: 41_080 },
    ];
    const one = layout(marked(marks), 50_000);
    expect(one.marks.map(({ lane }) => lane)).toEqual([0, 1, 2, 3]);
    expectNoOverlap(one, 1_200);
  });

  it('puts a label to the left of its line at the right edge', () => {
    const { marks } = layout(marked([{ kind: 'gone', at: 49_500 }]), 50_000);
    expect(marks[0]).toMatchObject({ lane: 0, x: 1_190 });
    expect(marks[0]!.labelX + widthOf('server gone')).toBeLessThan(1_190);
  });

  it('never lets two labels overlap, or a line cross a label, and keeps every line', () => {
    const mark = fc.record({
      kind: fc.constantFrom<Mark['kind']>('gone', 'back', 'media', 'keys'),
      at: fc.integer({ min: 0, max: 59_999 }),
    });
    fc.assert(
      fc.property(fc.array(mark, { maxLength: 30 }), fc.integer({ min: 200, max: 1_400 }), (all, width) => {
        const marks = all.sort((one, other) => one.at - other.at);
        const one = layout(marked(marks), 60_000, width);
        const inView = marks.filter(({ at }) => at >= 60_000 - one.bars.length * 100);
        expect(one.marks).toHaveLength(inView.length);
        for (const { lane } of one.marks) expect(lane ?? 0).toBeLessThan(LANES);
        expectNoOverlap(one, width);
      }),
    );
  });

  it('counts the seconds back from now', () => {
    expect(layout(watched(1), 70_000).ticks.map(({ label }) => label)).toEqual([
      'now',
      '10 s ago',
      '20 s ago',
      '30 s ago',
      '40 s ago',
      '50 s ago',
    ]);
  });
});

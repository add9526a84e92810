import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BUCKETS, Timeline } from '../../../src/client/timeline.ts';

fc.configureGlobal({ seed: 600 });

/** Everything that it holds, oldest first, as text: a digit for frames, `.` for none, `-` hidden, `_` idle. */
function drawn(timeline: Timeline): string {
  const { newest = -1 } = timeline;
  let text = '';
  for (let number = newest - BUCKETS + 1; number <= newest; number++) {
    const bucket = timeline.bucket(number);
    if (bucket === undefined) continue;
    if (bucket.frames > 0) text += bucket.frames;
    else text += { picture: '.', hidden: '-', idle: '_' }[bucket.watching];
  }
  return text;
}

function frames(timeline: Timeline, from: number, to: number): void {
  for (let at = from; at < to; at += 50) timeline.frame(at, at);
}

describe('Timeline', () => {
  it('counts frames per tenth of a second, and shows a gap as a gap', () => {
    const timeline = new Timeline();
    expect(timeline.newest).toBeUndefined();
    expect(timeline.bucket(0)).toBeUndefined();
    frames(timeline, 0, 300);
    frames(timeline, 600, 700);
    timeline.advance(850);
    expect(drawn(timeline)).toBe('222...2..');
  });

  it('takes no time for a gap in which there is nothing to see', () => {
    const timeline = new Timeline();
    timeline.advance(0);
    frames(timeline, 200, 400);
    timeline.pause('idle', 450);
    frames(timeline, 700, 800);
    expect(drawn(timeline)).toBe('__22___2');
  });

  it('takes no time for a gap in which nobody looks, nor until the first frame after it', () => {
    const timeline = new Timeline();
    frames(timeline, 0, 200);
    timeline.handleVisibility(true, 250);
    timeline.handleVisibility(false, 500);
    frames(timeline, 700, 800);
    timeline.advance(950);
    expect(drawn(timeline)).toBe('22-----2..');
  });

  it('counts the frames of a hidden page and misses none of them', () => {
    const timeline = new Timeline();
    timeline.frame(0, 0);
    timeline.handleVisibility(true, 100);
    timeline.frame(200, 200);
    timeline.advance(400);
    expect(drawn(timeline)).toBe('1-1--');
  });

  it('stays idle through a look away', () => {
    const timeline = new Timeline();
    timeline.advance(0);
    timeline.handleVisibility(true, 0);
    timeline.handleVisibility(false, 100);
    timeline.advance(100);
    expect(drawn(timeline)).toBe('__');
  });

  it('puts a frame where it was shown, and none of them into the future', () => {
    const timeline = new Timeline();
    timeline.frame(0, 0);
    timeline.frame(90, 310);
    timeline.frame(1_000, 320);
    expect(drawn(timeline)).toBe('2..1');
  });

  it('forgets what is over a minute old, and a frame that comes too late for it', () => {
    const timeline = new Timeline();
    timeline.frame(0, 0);
    timeline.advance(BUCKETS * 100);
    timeline.frame(50, BUCKETS * 100);
    expect(timeline.bucket(0)).toBeUndefined();
    expect(drawn(timeline)).toBe('.'.repeat(BUCKETS));
  });

  it('holds a minute at most, with every frame of it, whatever comes', () => {
    const steps = fc.array(
      fc.record({
        pass: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 90_000 })),
        frames: fc.integer({ min: 0, max: 9 }),
      }),
    );
    fc.assert(
      fc.property(steps, (all) => {
        const timeline = new Timeline();
        const shown: number[] = [];
        let now = 0;
        for (const step of all) {
          now += step.pass;
          timeline.advance(now);
          for (let i = 0; i < step.frames; i++) {
            timeline.frame(now, now);
            shown.push(now);
          }
        }
        timeline.advance(now);
        const newest = Math.floor(now / 100);
        const numbers = Array.from({ length: BUCKETS + 10 }, (_, i) => newest - BUCKETS - 5 + i);
        const expected = numbers.map((number) => {
          const count = shown.filter((at) => Math.floor(at / 100) === number).length;
          return number > newest - BUCKETS ? Math.min(255, count) : 0;
        });
        expect(numbers.map((number) => timeline.bucket(number)?.frames ?? 0)).toEqual(expected);
      }),
    );
  });
});

import type { Millis } from '../util/clock.ts';
import type { ContinuityReading, Mark } from './continuity.ts';
import { describeMark } from './continuity-words.ts';
import { BUCKET_MS, BUCKETS, type Watching } from './timeline.ts';

/** Where everything of the timeline lies, in CSS pixels from the top left; drawn by `continuity-chart.ts`. */
export interface Layout {
  readonly bars: readonly Bar[];
  /** Times without the server. */
  readonly absences: readonly { readonly x: number; readonly width: number }[];
  readonly marks: readonly Flag[];
  readonly ticks: readonly { readonly x: number; readonly label: string }[];
  /** The time that fits in. */
  readonly seconds: number;
}

interface Bar {
  readonly x: number;
  readonly width: number;
  /** Of the whole height; 0 is a tenth of a second without a frame. */
  readonly level: number;
  readonly watching: Watching;
  /** Changes with every replacement of the keys: 0 and 1 in turns. */
  readonly tone: 0 | 1;
}

export interface Flag {
  readonly x: number;
  readonly kind: Mark['kind'];
  /** Row of its label from the top, or `undefined` where there is no room for one. */
  readonly lane: number | undefined;
  readonly label: string;
  /** Left edge of the label. */
  readonly labelX: number;
}

export interface LayoutOptions {
  readonly width: number;
  /** Device pixels in a CSS pixel: bars begin and end on them. */
  readonly ratio: number;
  readonly now: Millis;
  readonly widthOf: (text: string) => number;
}

export const LANES = 4;
const LANE_NUMBERS = Array.from({ length: LANES }, (_, lane) => lane);
/** A bar with its space, in CSS pixels: the last minute where it fits, and less of it otherwise. */
const NARROWEST_PITCH = 1.6;
/** Between two bars. */
const MOST_SPACE = 0.6;
const TICK_SECONDS = 10;
const LABEL_GAP = 10;
const LABEL_INDENT = 4;

export function layOut(reading: ContinuityReading, options: LayoutOptions): Layout {
  const { width, ratio, now } = options;
  const pitch = Math.max(2, Math.round(Math.max(NARROWEST_PITCH, width / BUCKETS) * ratio)) / ratio;
  const count = Math.min(BUCKETS, Math.floor(width / pitch));
  // The newest tenth of a second is not over: it would flicker.
  const end = Math.floor(now / BUCKET_MS);
  const from = (end - count) * BUCKET_MS;
  const xOf = (at: Millis): number => width - ((end * BUCKET_MS - at) / BUCKET_MS) * pitch;
  const marks = reading.marks(now).filter(({ at }) => at >= from && at < end * BUCKET_MS);
  return {
    bars: bars(reading, { end, count, pitch, xOf }),
    absences: absences(reading, from, end * BUCKET_MS).map(({ from, to }) => ({
      x: xOf(from),
      width: xOf(to) - xOf(from),
    })),
    marks: flags(marks, xOf, options),
    ticks: ticks(count, pitch, options),
    seconds: Math.round((count * BUCKET_MS) / 1_000),
  };
}

interface Scale {
  readonly end: number;
  readonly count: number;
  readonly pitch: number;
  readonly xOf: (at: Millis) => number;
}

function bars(reading: ContinuityReading, { end, count, pitch, xOf }: Scale): Bar[] {
  const { timeline } = reading;
  const numbers = Array.from({ length: count }, (_, i) => end - count + i);
  const space = Math.min(MOST_SPACE, pitch / 3);
  const peak = peakOf(numbers.map((number) => timeline.bucket(number)?.frames ?? 0));
  return numbers.flatMap((number) => {
    const bucket = timeline.bucket(number);
    if (bucket === undefined) return [];
    const at = number * BUCKET_MS;
    return [
      {
        x: xOf(at),
        width: pitch - space,
        level: Math.min(1, bucket.frames / peak),
        watching: bucket.watching,
        tone: (reading.epochAt(at) ?? 0) % 2 === 0 ? 0 : 1,
      },
    ];
  });
}

/** An even picture fills three quarters of the height, so that its small unevenness shows: like a voice. */
function peakOf(frames: readonly number[]): number {
  const some = frames.filter((count) => count > 0).sort((one, other) => one - other);
  const median = some[some.length >> 1] ?? 3;
  return (median * 4) / 3;
}

function absences({ outages }: ContinuityReading, from: Millis, to: Millis): { from: Millis; to: Millis }[] {
  return outages
    .map(({ lostAt, backAt }) => ({ from: Math.max(from, lostAt), to: Math.min(to, backAt ?? to) }))
    .filter((absence) => absence.to > absence.from);
}

/** Labels stand to the right of their line, or to its left at the right edge, each in the first lane where it meets no other label or line. */
function flags(
  marks: readonly Mark[],
  xOf: (at: Millis) => number,
  { width, widthOf }: LayoutOptions,
): Flag[] {
  const placed: (Flag & { readonly to: number })[] = [];
  for (const mark of marks) {
    const { kind, at } = mark;
    const label = describeMark(mark);
    const x = xOf(at);
    const labelWidth = widthOf(label);
    const fits = x + LABEL_INDENT + labelWidth <= width;
    const labelX = fits ? x + LABEL_INDENT : x - LABEL_INDENT - labelWidth;
    const to = labelX + labelWidth;
    const isFree = (lane: number): boolean =>
      placed.every((other) => {
        if (other.lane === undefined) return true;
        // A line goes down from its label through the lanes below.
        if (other.lane > lane) return x < other.labelX - LABEL_INDENT || x > other.to + LABEL_INDENT;
        if (other.lane < lane && (other.x < labelX - LABEL_INDENT || other.x > to + LABEL_INDENT))
          return true;
        if (other.lane < lane) return other.x === x;
        return to + LABEL_GAP <= other.labelX || labelX >= other.to + LABEL_GAP;
      });
    const lane = labelX < 0 ? undefined : LANE_NUMBERS.find(isFree);
    placed.push({ x, kind, lane, label, labelX, to });
  }
  return placed.map(({ to: _to, ...flag }) => flag);
}

function ticks(
  count: number,
  pitch: number,
  { width, widthOf }: LayoutOptions,
): { x: number; label: string }[] {
  const found = [{ x: width, label: 'now' }];
  const perSecond = (1_000 / BUCKET_MS) * pitch;
  for (let seconds = TICK_SECONDS; seconds <= (count * BUCKET_MS) / 1_000; seconds += TICK_SECONDS) {
    const label = `${seconds} s ago`;
    const x = width - seconds * perSecond;
    if (x - widthOf(label) / 2 >= 0) found.push({ x, label });
  }
  return found;
}

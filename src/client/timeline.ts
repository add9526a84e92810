import type { Millis } from '../util/clock.ts';

export const BUCKET_MS = 100;
/** The last minute. */
export const BUCKETS = 600;

/**
 * - `picture`: frames are to be expected, and a time without any is a gap
 * - `hidden`: nobody looks at the page, and the browser presents no frames
 * - `idle`: there is nothing to show
 */
export type Watching = 'picture' | 'hidden' | 'idle';

export interface Bucket {
  readonly frames: number;
  readonly watching: Watching;
}

/** What is to be seen on a timeline. */
export interface TimelineReading {
  /** Number of the newest bucket with something in it, or `undefined` where nothing has happened yet. */
  readonly newest: number | undefined;
  readonly watching: Watching;
  /** The bucket of this number, counted from the clock's zero. `undefined` where it is over a minute old. */
  bucket(number: number): Bucket | undefined;
}

const CODES = ['idle', 'hidden', 'picture'] as const satisfies readonly Watching[];
const MOST_FRAMES = 255;

/** Frames per tenth of a second for the last minute, in memory that does not grow. Buckets are numbered from the clock's zero. */
export class Timeline implements TimelineReading {
  readonly #frames = new Uint8Array(BUCKETS);
  readonly #watching = new Uint8Array(BUCKETS);
  #oldest = 0;
  #newest: number | undefined;
  #state: Watching = 'idle';
  #looksAway = false;

  get newest(): number | undefined {
    return this.#newest;
  }

  get watching(): Watching {
    return this.#state;
  }

  bucket(number: number): Bucket | undefined {
    if (this.#newest === undefined || number < this.#oldest) return undefined;
    if (number > this.#newest) return { frames: 0, watching: this.#state };
    const slot = slotOf(number);
    return { frames: this.#frames[slot]!, watching: CODES[this.#watching[slot]!]! };
  }

  /** Opens the buckets up to `now`. */
  advance(now: Millis): void {
    const to = Math.floor(now / BUCKET_MS);
    if (this.#newest === undefined) this.#oldest = to;
    // After a sleep of an hour there is only a minute to write.
    for (let number = Math.max((this.#newest ?? to - 1) + 1, to - BUCKETS + 1); number <= to; number++) {
      this.#frames[slotOf(number)] = 0;
      this.#watching[slotOf(number)] = CODES.indexOf(this.#state);
    }
    this.#newest = Math.max(this.#newest ?? to, to);
    this.#oldest = Math.max(this.#oldest, this.#newest - BUCKETS + 1);
  }

  /** A frame was shown at `at`: from here on they are expected, unless nobody looks. */
  frame(at: Millis, now: Millis): void {
    this.advance(now);
    if (!this.#looksAway) this.#state = 'picture';
    const number = Math.min(Math.floor(at / BUCKET_MS), this.#newest!);
    if (number < this.#oldest) return;
    const slot = slotOf(number);
    this.#frames[slot] = Math.min(MOST_FRAMES, this.#frames[slot]! + 1);
    if (!this.#looksAway) this.#watching[slot] = CODES.indexOf('picture');
  }

  /** No frames are expected until the next one is there: what lies between is no gap. */
  pause(why: Exclude<Watching, 'picture'>, now: Millis): void {
    this.advance(now);
    this.#state = why;
    this.#watching[slotOf(this.#newest!)] = CODES.indexOf(why);
  }

  handleVisibility(hidden: boolean, now: Millis): void {
    this.#looksAway = hidden;
    // A page that is looked at again takes a moment to its first frame.
    if (this.#state !== 'idle') this.pause('hidden', now);
  }
}

const slotOf = (number: number): number => number % BUCKETS;

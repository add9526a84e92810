import type { Millis } from '../util/clock.ts';

/** A time without a frame. */
export interface Gap {
  readonly from: Millis;
  readonly to: Millis;
}

/** No frame is this late while all is well. */
const NOTICED_MS = 200;
/** A gap that ended this shortly before the loss was noticed belongs to it. */
const BEFORE_NOTICED_MS = 1_000;
/** New keys are in use well before this; gaps that begin later are the network's own. */
const AFTER_RETURN_MS = 5_000;

/**
 * The longest time without a picture (or, for a broadcaster, without a connection) around the last restart. A gap counts when
 * it begins before the window ends, so that a picture that comes back late is not missed.
 */
export class GapMeter {
  #last: Millis | undefined;
  #largestOfLate: Gap | undefined;
  #windowEnd: Millis | undefined;
  #longest: Gap | undefined;

  /** In milliseconds, and 0 where no gap has ended yet; `undefined` before the first restart. */
  get longestMs(): number | undefined {
    if (this.#windowEnd === undefined) return undefined;
    return this.#longest === undefined ? 0 : lengthOf(this.#longest);
  }

  get longest(): Gap | undefined {
    return this.#longest;
  }

  /** Since when there has been no frame, where that is longer already than the longest gap and will count as that when it ends. */
  standingSince(now: Millis): Millis | undefined {
    if (this.#last === undefined || this.#windowEnd === undefined || this.#last > this.#windowEnd)
      return undefined;
    return now - this.#last > Math.max(NOTICED_MS, this.longestMs ?? 0) ? this.#last : undefined;
  }

  /** A frame was shown at `at`. */
  frame(at: Millis): void {
    const before = this.#last;
    this.#last = at;
    if (before !== undefined && at > before) this.gap(before, at);
  }

  /** Nothing was there between these two moments. */
  gap(from: Millis, to: Millis): void {
    const gap = { from, to };
    if (this.#windowEnd !== undefined && from <= this.#windowEnd) this.#longest = longer(this.#longest, gap);
    const late = this.#largestOfLate;
    if (late === undefined || lengthOf(gap) >= lengthOf(late) || to - late.to > BEFORE_NOTICED_MS) {
      this.#largestOfLate = gap;
    }
  }

  /** Frames are not shown for a reason of our own (hidden page, other role): what comes next ends no gap. */
  pause(): void {
    this.#last = undefined;
  }

  handleLost(now: Millis): void {
    const late = this.#largestOfLate;
    this.#windowEnd = Number.POSITIVE_INFINITY;
    this.#longest = late !== undefined && now - late.to <= BEFORE_NOTICED_MS ? late : undefined;
  }

  handleReturned(now: Millis): void {
    if (this.#windowEnd !== undefined) this.#windowEnd = now + AFTER_RETURN_MS;
  }
}

export const lengthOf = ({ from, to }: Gap): number => to - from;

const longer = (one: Gap | undefined, other: Gap): Gap =>
  one === undefined || lengthOf(other) > lengthOf(one) ? other : one;

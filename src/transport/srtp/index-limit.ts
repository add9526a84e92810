/** A capture that is a little late finds its stream still below the limit. */
const MARGIN = 1.25;
/** The part of what a busy stream was given that is left at the latest when it is given more. */
const BUSY_LEFT = 3 / 4;

/**
 * How far the indices of one stream may go before a snapshot with a higher limit has been written: nothing at or above the limit in a file is
 * ever used, so a successor that starts at that limit repeats nothing.
 *
 * What stands in no file cannot be resumed, so it needs no limit: it is `Infinity` until the first capture, which makes its proposal binding at
 * once, because from then on a file may hold it. After that only {@link grant} raises it.
 */
export class IndexLimit {
  readonly #ceiling: number;
  #granted: number;
  #proposed = 0;
  /** It rises where less than this is left; no proposal has been made yet. */
  #risesBelow = Infinity;
  #usedSinceRise = 0;

  /**
   * @param ceiling the number of indices there are.
   * @param granted `Infinity`, or 0 where a file says by its silence that nothing was used.
   */
  constructor(ceiling: number, granted: number) {
    this.#ceiling = ceiling;
    this.#granted = granted;
  }

  /** The last proposal. */
  get proposed(): number {
    return this.#proposed;
  }

  allows(index: number): boolean {
    return index < this.#granted;
  }

  /** An index was used. Counts for how far ahead the next proposal reaches. */
  countUse(): void {
    this.#usedSinceRise++;
  }

  /** Whether enough of what was reserved is used: a stream whose next index is `next` has a higher limit written by the next snapshot. */
  wantsRise(next: number): boolean {
    return this.#proposed - next < this.#risesBelow;
  }

  /**
   * The limit to write for a stream whose next index is `next`: at least `reserve` ahead, or a little more than what was used since it rose last. It
   * stays until half of the reserve is used, so that a stream that is used little need not be written anew each time, or a quarter of what a busy
   * stream was given: were it half, what a keyframe has raised would stay two capture intervals. So both get about one, and a successor, which accepts
   * nothing below the limit, loses no more than that.
   */
  propose(next: number, reserve: number): number {
    if (this.#proposed - next < Math.max(reserve / 2, this.#risesBelow)) {
      const interval = Math.ceil(MARGIN * this.#usedSinceRise);
      const reserved = Math.max(reserve, interval);
      this.#risesBelow = interval > reserve ? interval * BUSY_LEFT : reserve / 2;
      this.#usedSinceRise = 0;
      // Never less than before: a grant may come late, when a newer file has been written already.
      this.#proposed = Math.max(this.#proposed, Math.min(this.#ceiling - 1, next + reserved));
    }
    if (this.#granted === Infinity) this.#granted = this.#proposed;
    return this.#proposed;
  }

  /** A snapshot with this limit has been written; `Infinity` where none is left. */
  grant(limit: number): void {
    this.#granted = Math.max(this.#granted, limit);
  }
}

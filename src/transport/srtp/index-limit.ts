/** A capture that is a little late finds its stream still below the limit. */
const MARGIN = 1.25;

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
  /** How far ahead the last proposal was; none has been made yet. */
  #reserved = Infinity;
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

  /** Whether half of what was reserved is used: a stream whose next index is `next` has a higher limit written by the next snapshot. */
  wantsRise(next: number): boolean {
    return this.#proposed - next < this.#reserved / 2;
  }

  /**
   * The limit to write for a stream whose next index is `next`: at least `reserve` ahead, or a little more than what was used since it rose last. It
   * stays until half of that is used. So a quiet and a busy stream both get about a capture interval, a successor, which accepts nothing below
   * the limit, loses no more than that, and a stream that is used little need not be written anew each time.
   */
  propose(next: number, reserve: number): number {
    if (this.#proposed - next < Math.max(reserve, this.#reserved) / 2) {
      this.#reserved = Math.max(reserve, Math.ceil(MARGIN * this.#usedSinceRise));
      this.#usedSinceRise = 0;
      // Never less than before: a grant may come late, when a newer file has been written already.
      this.#proposed = Math.max(this.#proposed, Math.min(this.#ceiling - 1, next + this.#reserved));
    }
    if (this.#granted === Infinity) this.#granted = this.#proposed;
    return this.#proposed;
  }

  /** A snapshot with this limit has been written; `Infinity` where none is left. */
  grant(limit: number): void {
    this.#granted = Math.max(this.#granted, limit);
  }
}

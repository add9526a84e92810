import type { Millis } from './clock.ts';

/** So much in a burst, and so much in each further second. */
export class Budget {
  readonly #burst: number;
  readonly #perSecond: number;
  #left: number;
  #at: Millis | undefined;

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#left = burst;
  }

  /** True where one more is within the budget; it is spent then. */
  take(now: Millis): boolean {
    const earned = ((now - (this.#at ?? now)) / 1_000) * this.#perSecond;
    this.#left = Math.min(this.#burst, this.#left + earned);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}

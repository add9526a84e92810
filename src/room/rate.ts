import type { Millis } from '../util/clock.ts';

const WINDOW_MS = 500;

/** Events a second: the higher of the window that is running and the one before. */
export class RateMeter {
  #startedAt: Millis | undefined;
  #count = 0;
  #before = 0;

  add(now: Millis): void {
    this.#turn(now);
    this.#count++;
  }

  /** As of the last event. */
  get perSecond(): number {
    return (Math.max(this.#count, this.#before) * 1000) / WINDOW_MS;
  }

  #turn(now: Millis): void {
    this.#startedAt ??= now;
    const windows = Math.floor((now - this.#startedAt) / WINDOW_MS);
    if (windows === 0) return;
    this.#before = windows === 1 ? this.#count : 0;
    this.#count = 0;
    this.#startedAt += windows * WINDOW_MS;
  }
}

import type { Millis } from '../util/clock.ts';

/** The first retry is immediate, each further one waits this much longer. */
const RETRY_STEP: Millis = 1_000;
const MAX_RETRY_DELAY: Millis = 15_000;

/** Attempts at a connection: when another one is due, and for how long none has succeeded. */
export class Attempts {
  #failures = 0;
  #retryAt: Millis | undefined;
  #failingSince: Millis | undefined;

  /** `undefined` while none has to follow one that has failed. */
  get retryAt(): Millis | undefined {
    return this.#retryAt;
  }

  /** One is under way: no other is due. */
  begin(): void {
    this.#retryAt = undefined;
  }

  succeed(): void {
    this.#failures = 0;
    this.#failingSince = undefined;
  }

  /** One has failed that began at `since`; where another connection `works`, nothing is lost by it. */
  fail(since: Millis, works: boolean, now: Millis): void {
    this.#retryAt = now + Math.min(this.#failures * RETRY_STEP, MAX_RETRY_DELAY);
    this.#failures++;
    this.#failingSince = works ? undefined : (this.#failingSince ?? since);
  }

  failingFor(now: Millis): Millis {
    return now - (this.#failingSince ?? now);
  }

  /** Time in which nothing could be tried. */
  discount(duration: Millis): void {
    if (this.#failingSince !== undefined) this.#failingSince += duration;
  }
}

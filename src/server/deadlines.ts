import type { Millis } from '../util/clock.ts';

/**
 * The next of many deadlines that move with each datagram: nobody looks through all of them for one. What {@link next} gives may be early, where the
 * earliest has moved away, and is never late.
 */
export class Deadlines<Key> {
  readonly #times = new Map<Key, Millis>();
  #next: Millis = Number.POSITIVE_INFINITY;

  get next(): Millis {
    return this.#next;
  }

  set(key: Key, at: Millis): void {
    this.#times.set(key, at);
    if (at < this.#next) this.#next = at;
  }

  delete(key: Key): void {
    this.#times.delete(key);
  }

  /** Calls `handle` for each that has passed, which may set others; then {@link next} is exact. */
  pass(now: Millis, handle: (key: Key) => void): void {
    if (this.#next > now) return;
    for (const [key, at] of this.#times) if (at <= now) handle(key);
    this.#next = Number.POSITIVE_INFINITY;
    for (const at of this.#times.values()) if (at < this.#next) this.#next = at;
  }
}

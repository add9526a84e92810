import type { Millis } from '../util/clock.ts';

/**
 * Handshakes with pages that come back which are under way at a time. After a restart all of them come within a moment, and each costs some
 * milliseconds of arithmetic between its two flights: begun all at once, the last flight of the first would wait for the first flight of the last, and all
 * of them would be retransmitted meanwhile.
 */
export const MAX_HANDSHAKES = 64;
/** Round trips that a handshake takes, and not more: a browser that does not answer keeps nobody waiting for longer. */
const LEASE: Millis = 500;

/**
 * Who may begin a handshake: so many at a time, in the order in which they came. To be asked for {@link next} until there is none, after each change
 * and when {@link nextTimeout} has passed.
 */
export class HandshakeQueue<Key> {
  readonly #limit: number;
  /** Until when each counts. */
  readonly #running = new Map<Key, Millis>();
  readonly #waiting = new Set<Key>();

  constructor(limit = MAX_HANDSHAKES) {
    this.#limit = limit;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Who waits already keeps the place. */
  add(key: Key): void {
    this.#running.delete(key);
    this.#waiting.add(key);
  }

  /** Who may begin now. */
  next(now: Millis): Key | undefined {
    for (const [key, until] of this.#running) if (until <= now) this.#running.delete(key);
    if (this.#running.size >= this.#limit) return undefined;
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      this.#running.set(key, now + LEASE);
      return key;
    }
    return undefined;
  }

  /** It has gone. */
  leave(key: Key): void {
    this.#running.delete(key);
    this.#waiting.delete(key);
  }

  /** It has its keys, or will not get them now; who waits goes on waiting. */
  done(key: Key): void {
    this.#running.delete(key);
  }

  /** When a place becomes free that nobody gives back. */
  nextTimeout(): Millis | undefined {
    if (this.#waiting.size === 0) return undefined;
    return this.#running.size < this.#limit ? 0 : Math.min(...this.#running.values());
  }
}

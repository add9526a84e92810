import type { Millis } from '../util/clock.ts';

/**
 * Handshakes with pages that come back which are under way at a time, at most. After a restart all of them come within a moment, and each costs some
 * milliseconds of arithmetic between its two flights: begun all at once, the last flight of the first would wait for the first flight of the last, and all
 * of them would be retransmitted meanwhile.
 */
export const MAX_HANDSHAKES = 64;
/** As many begin at first. */
export const FIRST_HANDSHAKES = 32;
/** As many are under way however long they take. */
const MIN_HANDSHAKES = 16;
/** A viewer sees nothing while its handshake waits in line behind others: what takes this much longer than the shortest has waited. */
const WAITED_FACTOR = 2;
const WAITED: Millis = 50;
/** Round trips that a handshake takes, and not more: a browser that does not answer keeps nobody waiting for longer. */
const LEASE: Millis = 500;
/** Or so many times what the others take, where that is longer: where all are slow it is not the browser. */
const LEASE_FACTOR = 3;
/** But never longer than this, or those who always answer at the last moment would have the others wait for longer and longer. */
const LONGEST_LEASE: Millis = 2_000;
/** How much of the average is the newest. */
const SMOOTHING = 1 / 8;

/**
 * Who may begin a handshake: so many at a time, in the order in which they came. To be asked for {@link next} until there is none, after each change
 * and when {@link nextTimeout} has passed.
 */
export class HandshakeQueue<Key> {
  readonly #most: number;
  readonly #least: number;
  /** How many at a time: grows as long as they do not wait for each other. */
  #limit: number;
  /** When each began. */
  readonly #running = new Map<Key, Millis>();
  readonly #waiting = new Set<Key>();
  #shortest: Millis = Number.POSITIVE_INFINITY;
  #average: Millis = 0;

  constructor(most = MAX_HANDSHAKES) {
    this.#most = most;
    this.#least = Math.min(most, MIN_HANDSHAKES);
    this.#limit = Math.min(most, FIRST_HANDSHAKES);
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
    const lease = this.#lease;
    // In the order in which they began.
    for (const [key, began] of this.#running) {
      if (began + lease > now) break;
      this.#running.delete(key);
      // It was not the arithmetic that took its time.
      this.#limit = Math.min(this.#most, this.#limit + 1);
    }
    if (this.#running.size >= this.#limit) return undefined;
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      this.#running.set(key, now);
      return key;
    }
    return undefined;
  }

  /** It has gone. */
  leave(key: Key): void {
    this.#running.delete(key);
    this.#waiting.delete(key);
  }

  /** It is not under way any more; who waits goes on waiting. `keyedAt`: when the newest of its keys were there, if any are. */
  done(key: Key, keyedAt: Millis | undefined): void {
    const began = this.#running.get(key);
    if (began === undefined) return;
    this.#running.delete(key);
    // It had nothing to do, or has failed: that says nothing of how long a handshake takes, and whoever likes fails at once.
    if (keyedAt === undefined || keyedAt <= began) return;
    const took = keyedAt - began;
    this.#shortest = Math.min(this.#shortest, took);
    this.#average += (took - this.#average) * SMOOTHING;
    const waited = took > this.#shortest * WAITED_FACTOR + WAITED;
    this.#limit = Math.min(this.#most, Math.max(this.#least, this.#limit + (waited ? -1 : 1)));
  }

  /** When a place becomes free that nobody gives back. */
  nextTimeout(): Millis | undefined {
    if (this.#waiting.size === 0) return undefined;
    if (this.#running.size < this.#limit) return 0;
    const [oldest = 0] = this.#running.values();
    return oldest + this.#lease;
  }

  get #lease(): Millis {
    return Math.min(LONGEST_LEASE, Math.max(LEASE, this.#average * LEASE_FACTOR));
  }
}

import type { Millis } from '../../util/clock.ts';

/** How often a worker is asked for a sign of life. */
export const ASK_INTERVAL: Millis = 1_000;
/**
 * Who has given none for so long hangs. One that is out of breath comes to its messages a quarter of a second late, or some seconds where it has much before
 * it, and one may wait for a disk for as long as anybody here does (5 s). After fifteen seconds browsers give the connection up, and after `MEDIA_TTL` nobody
 * goes on with what the worker has written last.
 */
export const HANGS_AFTER: Millis = 10_000;

export type WatchdogOutput =
  | { readonly kind: 'ask'; readonly worker: number }
  /** Said once. */
  | { readonly kind: 'hangs'; readonly worker: number; readonly silentMs: Millis };

interface Watched {
  /** It owes an answer. */
  asked: boolean;
  silentMs: Millis;
}

/**
 * Tells a worker that hangs from one that has much to do. Of the time it counts what the main thread was there for: however late that looks again, an interval
 * has passed. So a machine that was suspended, a process that was stopped and a main thread that stood still count for nothing, since the answers that came
 * meanwhile are read before it looks the next time.
 */
export class Watchdog {
  readonly #watched = new Map<number, Watched>();
  readonly #outputs: WatchdogOutput[] = [];
  #lookedAt: Millis = Number.NEGATIVE_INFINITY;

  watch(worker: number, now: Millis): void {
    if (this.#watched.size === 0) this.#lookedAt = now;
    this.#watched.set(worker, { asked: false, silentMs: 0 });
  }

  forget(worker: number): void {
    this.#watched.delete(worker);
  }

  /** A sign of life. */
  hear(worker: number): void {
    const watched = this.#watched.get(worker);
    if (watched !== undefined) [watched.asked, watched.silentMs] = [false, 0];
  }

  handleTimeout(now: Millis): void {
    const passed = this.#passedAt(now);
    this.#lookedAt = now;
    for (const [worker, watched] of this.#watched) {
      if (!watched.asked) {
        watched.asked = true;
        this.#outputs.push({ kind: 'ask', worker });
        continue;
      }
      watched.silentMs += passed;
      if (watched.silentMs < HANGS_AFTER) continue;
      this.#watched.delete(worker);
      this.#outputs.push({ kind: 'hangs', worker, silentMs: watched.silentMs });
    }
  }

  nextTimeout(): Millis | undefined {
    return this.#watched.size === 0 ? undefined : this.#lookedAt + ASK_INTERVAL;
  }

  pollOutput(): WatchdogOutput | undefined {
    return this.#outputs.shift();
  }

  /** For how long it has owed an answer. */
  silenceOf(worker: number, now: Millis): Millis {
    const watched = this.#watched.get(worker);
    return watched?.asked === true ? watched.silentMs + this.#passedAt(now) : 0;
  }

  #passedAt(now: Millis): Millis {
    return Math.min(ASK_INTERVAL, Math.max(0, now - this.#lookedAt));
  }
}

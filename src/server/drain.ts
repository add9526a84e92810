import type { DrainProgress } from '../keyring/admin-protocol.ts';
import type { ServerFacts } from '../observability/facts.ts';
import { type Millis, monotonicNow, wallNow } from '../util/clock.ts';
import { deferred } from './waiting.ts';

/** Why a server has had enough: the last visitor has left, or some have stayed for too long. */
export type DrainEnd = 'drained' | 'drain-timeout';

/** Waits for the visitors to leave, once it has begun. */
export class Drain {
  readonly #countSessions: () => number;
  readonly #ended = deferred<DrainEnd>();
  /** When it ends, whoever is left. */
  #until: Millis | undefined;
  /** How many were here when it began. */
  #from = 0;

  constructor(countSessions: () => number) {
    this.#countSessions = countSessions;
  }

  /** Stays pending while there is no end to it. */
  get ended(): Promise<DrainEnd> {
    return this.#ended.promise;
  }

  get hasBegun(): boolean {
    return this.#until !== undefined;
  }

  /** Gives how many are here. */
  begin(maxWait: Millis): number {
    this.#until = monotonicNow() + maxWait;
    this.#from = this.#countSessions();
    return this.#from;
  }

  check(): void {
    const left = this.progress();
    if (left?.sessions === 0) this.#ended.resolve('drained');
    else if (left?.leftMs === 0) this.#ended.resolve('drain-timeout');
  }

  /** `undefined` while it has not begun. */
  progress(): DrainProgress | undefined {
    if (this.#until === undefined) return undefined;
    return {
      sessions: this.#countSessions(),
      leftMs: Math.max(0, Math.round(this.#until - monotonicNow())),
    };
  }

  facts(): ServerFacts['drain'] {
    const progress = this.progress();
    return progress && { sessions: this.#from, left: progress.sessions, endsAt: wallNow() + progress.leftMs };
  }
}

/**
 * What the supervisor of a demonstration does, without processes: takes what has happened to its servers, and is drained for what is to be done.
 *
 *   1. started ─▶ spawn ─▶ ready
 *   2. kill     pressed ─▶ (the server kills itself) ─▶ ended ─▶ wait ─▶ spawn
 *   3. deploy   pressed ─▶ spawn a successor, which has the server hand over ─▶ ready: that one is the server now; the other ends
 *   4. rotate   pressed ─▶ rotate ─▶ rotated ─▶ answer
 *   5. signalled ─▶ pass ─▶ ended ─▶ end with the server's own code
 */
import { constants } from 'node:os';
import type { DemoAction, DemoOutcome } from '../signaling/protocol.ts';
import type { Millis } from '../util/clock.ts';

/** Long enough to see that the server is gone. */
export const PAUSE: Millis = 1_000;
/** A server that ends by itself again and again is waited for longer each time, up to this, */
export const LONGEST_PAUSE: Millis = 8_000;
/** and not for ever. */
export const MAX_FAILURES = 5;
/** A server that was ready for so long had started well: the end of it is the first one again. */
export const GOOD_RUN: Millis = 30_000;
/** A server that has handed over has ended by then. */
export const HANDED_OVER_END: Millis = 5_000;

/** How patient a supervisor is. */
export interface Pace {
  readonly pause: Millis;
  readonly longestPause: Millis;
  readonly goodRun: Millis;
}

const PACE: Pace = { pause: PAUSE, longestPause: LONGEST_PAUSE, goodRun: GOOD_RUN };

/** A process of the supervisor's: the first is 1. */
export type ChildId = number;
export type StopSignal = 'SIGTERM' | 'SIGINT';

/** How a process has ended. */
export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export type SupervisorInput =
  | { readonly kind: 'started' }
  /** It serves. */
  | { readonly kind: 'ready'; readonly child: ChildId }
  | ({ readonly kind: 'ended'; readonly child: ChildId } & ChildEnd)
  /** Somebody who may has pressed a button on a page of this server. */
  | { readonly kind: 'pressed'; readonly child: ChildId; readonly action: DemoAction }
  | ({ readonly kind: 'rotated' } & DemoOutcome)
  | { readonly kind: 'signalled'; readonly signal: StopSignal };

export type SupervisorOutput =
  | { readonly kind: 'spawn'; readonly child: ChildId; readonly takeover: boolean }
  | { readonly kind: 'pass'; readonly child: ChildId; readonly signal: StopSignal }
  | { readonly kind: 'rotate' }
  | ({ readonly kind: 'answer'; readonly child: ChildId; readonly action: DemoAction } & DemoOutcome)
  /** The server has ended, and is started again after `pauseMs`. */
  | ({ readonly kind: 'restarting'; readonly pauseMs: Millis } & ChildEnd)
  | ({ readonly kind: 'gaveUp'; readonly failures: number } & ChildEnd)
  | { readonly kind: 'deployed' }
  | { readonly kind: 'end'; readonly code: number };

const BUSY: DemoOutcome = { done: false, words: 'Another one is under way. Nothing was done.' };
const ENDING: DemoOutcome = { done: false, words: 'The server is being stopped. Nothing was done.' };
const NOT_DEPLOYED: DemoOutcome = {
  done: false,
  words: 'The new server could not start, and its log says why. The one that runs goes on.',
};
/** What a shell makes of a signal: 128 and its number. */
const SIGNALLED = 128;

/** One mutation, then drain {@link pollOutput}; call {@link handleTimeout} when {@link nextTimeout} has passed. */
export class Supervisor {
  readonly #pace: Pace;
  readonly #outputs: SupervisorOutput[] = [];
  readonly #alive = new Set<ChildId>();
  #children = 0;
  /** Whose ends count; the others were followed by another one. */
  #current: ChildId | undefined;
  #successor: ChildId | undefined;
  /** Until then a clean end of the server may be that of one that has handed over, to a successor that has gone since. */
  #mayHaveHandedOverUntil: Millis = 0;
  #rotating = false;
  /** Was told to end at once, by a button. */
  #asked: ChildId | undefined;
  #readySince: Millis | undefined;
  #everReady = false;
  #failures = 0;
  #restartAt: Millis | undefined;
  #ending = false;
  #code = 0;

  constructor(pace: Pace = PACE) {
    this.#pace = pace;
  }

  handle(input: SupervisorInput, now: Millis): void {
    switch (input.kind) {
      case 'started':
        this.#current = this.#spawn(false);
        break;
      case 'ready':
        this.#ready(input.child, now);
        break;
      case 'ended':
        this.#ended(input.child, input, now);
        break;
      case 'pressed':
        this.#pressed(input.child, input.action);
        break;
      case 'rotated':
        this.#rotating = false;
        this.#answer('rotate', input);
        break;
      case 'signalled':
        this.#ending = true;
        this.#restartAt = undefined;
        for (const child of this.#alive) this.#outputs.push({ kind: 'pass', child, signal: input.signal });
        this.#endIfAlone();
    }
  }

  nextTimeout(): Millis | undefined {
    return this.#restartAt;
  }

  handleTimeout(now: Millis): void {
    if (this.#restartAt === undefined || now < this.#restartAt) return;
    this.#restartAt = undefined;
    this.#current = this.#spawn(false);
  }

  pollOutput(): SupervisorOutput | undefined {
    return this.#outputs.shift();
  }

  #spawn(takeover: boolean): ChildId {
    const child = ++this.#children;
    this.#alive.add(child);
    this.#outputs.push({ kind: 'spawn', child, takeover });
    return child;
  }

  #ready(child: ChildId, now: Millis): void {
    if (child === this.#successor) {
      this.#successor = undefined;
      this.#current = child;
      this.#outputs.push({ kind: 'deployed' });
    }
    if (child !== this.#current) return;
    this.#everReady = true;
    this.#readySince = now;
  }

  #ended(child: ChildId, end: ChildEnd, now: Millis): void {
    this.#alive.delete(child);
    if (this.#ending) {
      this.#code ||= codeOf(end);
      this.#endIfAlone();
    } else if (child === this.#successor) {
      this.#successor = undefined;
      this.#mayHaveHandedOverUntil = now + HANDED_OVER_END;
      if (this.#current === undefined) this.#restart(end, this.#failed(undefined, now), now);
      else this.#answer('deploy', NOT_DEPLOYED);
    } else if (child === this.#current) this.#lost(child, end, now);
  }

  #lost(child: ChildId, end: ChildEnd, now: Millis): void {
    const readySince = this.#readySince;
    this.#current = undefined;
    this.#readySince = undefined;
    // It has handed over, or has gone before it could: its successor takes what it left, in both cases.
    if (this.#successor !== undefined) return;
    // It was told to end from elsewhere, or nothing of what it needs was there: then it would be so again.
    const wasTold = end.code === 0 && now >= this.#mayHaveHandedOverUntil;
    if (wasTold || !this.#everReady) this.#outputs.push({ kind: 'end', code: codeOf(end) });
    else this.#restart(end, child === this.#asked ? this.#pace.pause : this.#failed(readySince, now), now);
  }

  /** Counts an end that nobody has asked for. Gives how long to wait now; `undefined` where that was one too many. */
  #failed(readySince: Millis | undefined, now: Millis): Millis | undefined {
    const { pause, longestPause, goodRun } = this.#pace;
    if (readySince !== undefined && now - readySince >= goodRun) this.#failures = 0;
    this.#failures++;
    return this.#failures >= MAX_FAILURES
      ? undefined
      : Math.min(pause * 2 ** (this.#failures - 1), longestPause);
  }

  #restart({ code, signal }: ChildEnd, pauseMs: Millis | undefined, now: Millis): void {
    if (pauseMs === undefined) {
      this.#outputs.push(
        { kind: 'gaveUp', failures: this.#failures, code, signal },
        { kind: 'end', code: 1 },
      );
      return;
    }
    this.#restartAt = now + pauseMs;
    this.#outputs.push({ kind: 'restarting', pauseMs, code, signal });
  }

  #pressed(child: ChildId, action: DemoAction): void {
    if (child !== this.#current) return;
    if (this.#ending || this.#successor !== undefined || this.#rotating) {
      this.#answer(action, this.#ending ? ENDING : BUSY);
      return;
    }
    switch (action) {
      case 'kill':
        this.#asked = child;
        break;
      case 'deploy':
        this.#successor = this.#spawn(true);
        break;
      case 'rotate':
        this.#rotating = true;
        this.#outputs.push({ kind: 'rotate' });
    }
  }

  #answer(action: DemoAction, { done, words }: DemoOutcome): void {
    if (this.#current !== undefined)
      this.#outputs.push({ kind: 'answer', child: this.#current, action, done, words });
  }

  #endIfAlone(): void {
    if (this.#alive.size === 0) this.#outputs.push({ kind: 'end', code: this.#code });
  }
}

const codeOf = ({ code, signal }: ChildEnd): number =>
  code ?? SIGNALLED + (signal === null ? 0 : (constants.signals[signal] ?? 0));

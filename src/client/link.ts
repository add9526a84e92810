import {
  ACCESS_SUBPROTOCOL_PREFIX,
  CLOSE_CODE,
  formatPosition,
  type PagePosition,
  SUBPROTOCOL,
  TOKEN_SUBPROTOCOL_PREFIX,
} from '../signaling/protocol.ts';
import type { Millis } from '../util/clock.ts';

/**
 * When to open the WebSocket, when to ask whether the server is back, when to give up on a silent one.
 *
 *   1. start ─▶ open
 *   2. opened ─▶ up
 *   3. closed or silent ─▶ lost ─▶ (wait) ─▶ probe ─▶ ready ─▶ open
 *      in doubt ─▶ ping ─▶ any message: not silent; none: lost
 *
 * A restarted server is looked for over plain HTTP: browsers hold a WebSocket's next attempt back for seconds after a few refused ones
 * (RFC 6455 §7.2.3 asks them to), and never a fetch.
 */
export type LinkOutput =
  | { readonly kind: 'probe'; readonly attempt: number }
  | { readonly kind: 'openSocket'; readonly attempt: number; readonly protocols: readonly string[] }
  | { readonly kind: 'closeSocket'; readonly attempt: number }
  | { readonly kind: 'ping' }
  | { readonly kind: 'up' }
  | { readonly kind: 'lost' }
  | { readonly kind: 'stopped'; readonly code: number };

export interface LinkOptions {
  /** Numbers in [0, 1): spreads the pages of one room over the moments after a restart. */
  readonly jitter: () => number;
  /** Whether the media shows that the server is there: then a silent WebSocket is a quiet one. */
  readonly mediaAlive: () => boolean;
  /** Where the page stands, for the server's next offer. */
  readonly position: () => PagePosition | undefined;
}

/** A WebSocket that has not opened by then is abandoned. */
export const OPEN_TIMEOUT_MS = 2_000;
/** A probe that has not been answered by then counts as a refusal. */
export const PROBE_TIMEOUT_MS = 1_000;
/** A script cannot see pings, so silence is suspicious only where the media is not connected either. */
export const SILENCE_LIMIT_MS = 45_000;
/** Who has spoken so lately is there. */
const FRESH_MS = 2_000;
/** A server that is asked whether it is there has said so by then. */
export const PING_TIMEOUT_MS = 5_000;
/** How long to look for the server in quick steps before the steps grow. */
export const QUICK_PHASE_MS = 20_000;
export const SLOWEST_STEP_MS = 1_000;
/** A server that says it is ready and then refuses the WebSocket this often is asked in slow steps. */
const REFUSALS_BEFORE_SLOW = 3;

type LinkState = 'idle' | 'waiting' | 'probing' | 'opening' | 'open' | 'stopped';

const STOPPING_CODES: ReadonlySet<number> = new Set(Object.values(CLOSE_CODE));

export class Link {
  readonly #options: LinkOptions;
  readonly #outputs: LinkOutput[] = [];
  #state: LinkState = 'idle';
  #attempt = 0;
  #deadline: Millis | undefined;
  #replyBy: Millis | undefined;
  #heardAt: Millis = Number.NEGATIVE_INFINITY;
  #lookingSince: Millis | undefined;
  #refusals = 0;
  #token: string | undefined;
  #access: string | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  get token(): string | undefined {
    return this.#token;
  }

  /**
   * The token is held here only: in memory, never in a URL. The one exception is the moment between two documents of a tab (`place.ts`), for
   * which the browser's storage has it.
   */
  setToken(token: string | undefined): void {
    this.#token = token;
  }

  /** What lets the page in, as a subprotocol can carry it. From the next WebSocket on; where the link has stopped, it starts again. */
  setAccess(access: string | undefined, now: Millis): void {
    this.#access = access;
    if (this.#state === 'open') this.comeBackIn(0, now);
    if (this.#state !== 'stopped') return;
    this.#state = 'idle';
    this.start(now);
  }

  start(now: Millis): void {
    if (this.#state !== 'idle') return;
    this.#lookingSince = now;
    this.#open(now);
  }

  handleProbe(attempt: number, ready: boolean, now: Millis): void {
    if (this.#state !== 'probing' || attempt !== this.#attempt) return;
    if (ready) this.#open(now);
    else this.#wait(this.#nextStep(now), now);
  }

  handleOpen(attempt: number, now: Millis): void {
    if (this.#state !== 'opening' || attempt !== this.#attempt) return;
    this.#state = 'open';
    this.#heard(now);
    this.#outputs.push({ kind: 'up' });
  }

  /** True when the message belongs to the link in use. */
  handleMessage(attempt: number, now: Millis): boolean {
    if (this.#state !== 'open' || attempt !== this.#attempt) return false;
    this.#heard(now);
    return true;
  }

  handleClose(attempt: number, code: number, now: Millis): void {
    if (attempt !== this.#attempt) return;
    if (this.#state === 'open' && STOPPING_CODES.has(code)) {
      this.#state = 'stopped';
      this.#deadline = undefined;
      this.#replyBy = undefined;
      this.#outputs.push({ kind: 'stopped', code });
    } else if (this.#state === 'open') {
      this.#lose(this.#firstStep(), now);
    } else if (this.#state === 'opening') {
      this.#refused(now);
    }
  }

  /** The server has taken the page in: only now is the next loss a new one. A server that opens and closes at once is not back. */
  established(): void {
    this.#lookingSince = undefined;
    this.#refusals = 0;
  }

  /** Something was asked that has an answer. A connection of a host that is gone does not close by itself. */
  expectReply(withinMs: number, now: Millis): void {
    if (this.#state === 'open') this.#replyBy ??= now + withinMs;
  }

  /** The network or the page is back: do not sit out the wait. */
  wake(now: Millis): void {
    if (this.#state === 'waiting') this.#probe(now);
    else this.check(now);
  }

  /**
   * Something gives reason to doubt that the server can be heard. The WebSocket of a host that has slept, or that has another address now, does
   * not close by itself for minutes.
   */
  check(now: Millis): void {
    if (this.#state !== 'open' || this.#replyBy !== undefined || now - this.#heardAt < FRESH_MS) return;
    this.#outputs.push({ kind: 'ping' });
    this.expectReply(PING_TIMEOUT_MS, now);
  }

  /** Closes the WebSocket and comes back after `delayMs`. */
  comeBackIn(delayMs: number, now: Millis): void {
    if (this.#state !== 'open') return;
    this.#outputs.push({ kind: 'closeSocket', attempt: this.#attempt });
    this.#lose(delayMs, now);
  }

  leave(): void {
    if (this.#state === 'open' || this.#state === 'opening') {
      this.#outputs.push({ kind: 'closeSocket', attempt: this.#attempt });
    }
    this.#state = 'stopped';
    this.#deadline = undefined;
    this.#replyBy = undefined;
  }

  nextTimeout(): Millis | undefined {
    if (this.#replyBy === undefined || this.#deadline === undefined) return this.#replyBy ?? this.#deadline;
    return Math.min(this.#replyBy, this.#deadline);
  }

  handleTimeout(now: Millis): void {
    const due = this.nextTimeout();
    if (due === undefined || now < due) return;
    if (this.#state === 'waiting') this.#probe(now);
    else if (this.#state === 'probing') this.#wait(this.#nextStep(now), now);
    else if (this.#state === 'opening') {
      this.#outputs.push({ kind: 'closeSocket', attempt: this.#attempt });
      this.#refused(now);
    } else if (this.#replyBy !== undefined && now >= this.#replyBy) this.comeBackIn(this.#firstStep(), now);
    else if (this.#options.mediaAlive()) this.#deadline = now + SILENCE_LIMIT_MS;
    else this.comeBackIn(this.#firstStep(), now);
  }

  pollOutput(): LinkOutput | undefined {
    return this.#outputs.shift();
  }

  #open(now: Millis): void {
    this.#state = 'opening';
    this.#deadline = now + OPEN_TIMEOUT_MS;
    this.#outputs.push({ kind: 'openSocket', attempt: ++this.#attempt, protocols: this.#protocols() });
  }

  #protocols(): string[] {
    const protocols: string[] = [SUBPROTOCOL];
    if (this.#access !== undefined) protocols.push(ACCESS_SUBPROTOCOL_PREFIX + this.#access);
    if (this.#token === undefined) return protocols;
    protocols.push(TOKEN_SUBPROTOCOL_PREFIX + this.#token);
    const at = this.#options.position();
    if (at !== undefined) protocols.push(formatPosition(at));
    return protocols;
  }

  #probe(now: Millis): void {
    this.#state = 'probing';
    this.#deadline = now + PROBE_TIMEOUT_MS;
    this.#outputs.push({ kind: 'probe', attempt: ++this.#attempt });
  }

  #wait(delayMs: number, now: Millis): void {
    this.#state = 'waiting';
    this.#deadline = now + delayMs;
  }

  #lose(delayMs: number, now: Millis): void {
    this.#lookingSince ??= now;
    this.#replyBy = undefined;
    this.#outputs.push({ kind: 'lost' });
    this.#wait(this.#refusals === 0 ? delayMs : Math.max(delayMs, this.#nextStep(now)), now);
    this.#refusals++;
  }

  #refused(now: Millis): void {
    this.#refusals++;
    this.#wait(this.#nextStep(now), now);
  }

  #heard(now: Millis): void {
    this.#heardAt = now;
    this.#deadline = now + SILENCE_LIMIT_MS;
    this.#replyBy = undefined;
  }

  #firstStep(): number {
    return 25 + 50 * this.#options.jitter();
  }

  #nextStep(now: Millis): number {
    const beyond = now - (this.#lookingSince ?? now) - QUICK_PHASE_MS;
    const slow = this.#refusals >= REFUSALS_BEFORE_SLOW ? SLOWEST_STEP_MS : 150 + Math.max(0, beyond) / 10;
    const ceiling = Math.min(SLOWEST_STEP_MS, slow);
    return ceiling * (2 / 3 + this.#options.jitter() / 3);
  }
}

import { earliest, type Millis } from '../util/clock.ts';

/** No more packets of a source than these are asked for at the same time. */
export const MAX_MISSING = 1000;
/** How long a broadcaster can be expected to hold a packet for retransmission. */
const REPAIR_SPAN_MS = 1000;
const MAX_TRIES = 10;
const DEFAULT_RTT_MS = 100;
const MIN_INTERVAL_MS = 20;
const MAX_INTERVAL_MS = 200;

interface Missing {
  readonly since: Millis;
  tries: number;
  nextAt: Millis;
  /** Whether a keyframe has already been asked for on its account, or has come since. */
  settled: boolean;
}

/** Numbers in [first, end) that the source may have used, and when they were asked for. */
interface Presumed {
  readonly first: number;
  readonly end: number;
  readonly askedAt: Millis | undefined;
}

/**
 * The packets of a source that have not arrived, by extended sequence number: which to ask for again (RFC 4585
 * §6.2.1), and when to ask for a keyframe instead.
 */
export class MissingPackets {
  readonly #missing = new Map<number, Missing>();
  #presumed: Presumed | undefined;
  #rtt: Millis = DEFAULT_RTT_MS;
  #urgentUntil: Millis = Number.NEGATIVE_INFINITY;
  #next: Millis | undefined;
  #lost = 0;

  /** Packets given up. */
  get lost(): number {
    return this.#lost;
  }

  get size(): number {
    return this.#missing.size;
  }

  /** Whether an answer to a request may bring this packet. */
  has(extended: number): boolean {
    return this.#missing.has(extended) || this.#isPresumed(extended);
  }

  /** The numbers in [first, end) were passed over. The oldest make place where there are too many. */
  add(first: number, end: number, now: Millis): void {
    for (let extended = Math.max(first, end - MAX_MISSING); extended < end; extended++) {
      this.#missing.set(extended, this.#askedAhead(extended, now) ?? unasked(now));
    }
    for (const extended of this.#missing.keys()) {
      if (this.#missing.size <= MAX_MISSING) break;
      this.#missing.delete(extended);
      this.#lost++;
    }
    this.#next = now;
  }

  /**
   * So many numbers from `first` on may have been used by a source that had no keys. They are asked for once, before anything shows which of them
   * there are: who has not used one ignores it, and the others come a round trip sooner. Up to {@link shown}.
   */
  presume(first: number, count: number): void {
    this.#presumed = { first, end: first + count, askedAt: undefined };
  }

  /** The source goes on: from here on it shows by its numbers what is missing. */
  shown(): void {
    this.#presumed = undefined;
  }

  /** True when the packet was missing. A first answer to a request shows the round-trip time. */
  arrived(extended: number, retransmitted: boolean, now: Millis): boolean {
    const entry = this.#missing.get(extended);
    if (entry === undefined) return false;
    this.#missing.delete(extended);
    if (retransmitted && entry.tries === 1) this.#rtt += (now - entry.since - this.#rtt) / 8;
    return true;
  }

  /** A keyframe starts here: what is missing before it can no longer freeze a picture for long. */
  keyframeAt(extended: number): void {
    for (const [number, entry] of this.#missing) if (number < extended) entry.settled = true;
  }

  /** The source has fresh keys: what is missing is asked for again at once, and a keyframe sooner. */
  hurry(now: Millis, until: Millis): void {
    this.#urgentUntil = until;
    for (const entry of this.#missing.values()) entry.nextAt = now;
    if (this.#missing.size > 0) this.#next = now;
  }

  /** Numbers to ask for now, ascending as they were found, and whether repair has taken too long for one of them. */
  take(now: Millis): { readonly sequences: readonly number[]; readonly unrepaired: boolean } {
    const sequences: number[] = this.#askAhead(now);
    let unrepaired = false;
    if (this.#next === undefined || now < this.#next) return { sequences, unrepaired };
    let next: Millis | undefined;
    for (const [extended, entry] of this.#missing) {
      const patienceEnds = entry.since + this.#patience(now);
      if (!entry.settled && now >= patienceEnds) {
        entry.settled = true;
        unrepaired = true;
      }
      if (now >= entry.since + REPAIR_SPAN_MS || (entry.tries >= MAX_TRIES && now >= entry.nextAt)) {
        this.#missing.delete(extended);
        this.#lost++;
        continue;
      }
      if (now >= entry.nextAt) {
        entry.tries++;
        entry.nextAt = now + this.#interval();
        sequences.push(extended & 0xffff);
      }
      const deadline = entry.settled ? entry.nextAt : Math.min(entry.nextAt, patienceEnds);
      next = earliest(next, deadline);
    }
    this.#next = next;
    return { sequences, unrepaired };
  }

  clear(): void {
    this.#lost += this.#missing.size;
    this.#missing.clear();
    this.#presumed = undefined;
    this.#next = undefined;
  }

  nextTimeout(): Millis | undefined {
    return this.#missing.size === 0 ? undefined : this.#next;
  }

  #askAhead(now: Millis): number[] {
    if (this.#presumed === undefined || this.#presumed.askedAt !== undefined) return [];
    this.#presumed = { ...this.#presumed, askedAt: now };
    const { first, end } = this.#presumed;
    return Array.from({ length: end - first }, (_, i) => (first + i) & 0xffff);
  }

  /** Of a number that was asked for before it was known to be missing, and whose answer may be on its way. */
  #askedAhead(extended: number, now: Millis): Missing | undefined {
    const askedAt = this.#presumed?.askedAt;
    if (askedAt === undefined || !this.#isPresumed(extended)) return undefined;
    const nextAt = askedAt + this.#interval();
    return now < nextAt ? { since: askedAt, tries: 1, nextAt, settled: false } : undefined;
  }

  #isPresumed(extended: number): boolean {
    return this.#presumed !== undefined && extended >= this.#presumed.first && extended < this.#presumed.end;
  }

  #interval(): Millis {
    return Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, this.#rtt * 1.2));
  }

  /** In calm times a retransmission gets a second try before a keyframe is made, which costs every viewer. */
  #patience(now: Millis): Millis {
    return now < this.#urgentUntil ? Math.max(100, 2 * this.#rtt) : Math.max(250, 3 * this.#rtt);
  }
}

const unasked = (now: Millis): Missing => ({ since: now, tries: 0, nextAt: now, settled: false });

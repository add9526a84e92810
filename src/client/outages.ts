import type { Role } from '../signaling/protocol.ts';
import type { Millis } from '../util/clock.ts';
import { type Gap, GapMeter, lengthOf } from './gaps.ts';

/** How new keys came: on the same connection, on a second one, or with a session that was begun anew. */
export type RekeyWay = 'in-place' | 'second-connection' | 'anew';

/** New keys, as this browser has seen them come. */
export interface Rekey {
  /** When its offer was there. */
  readonly from: Millis;
  /** When the handshake was complete and the server had said that it has the keys. */
  readonly to: Millis;
  readonly way: RekeyWay;
  readonly epoch: number;
}

/** The way that packets take to the server. */
export interface NetworkPath {
  /** Of the selected candidate pair. */
  readonly roundTripMs: number;
  /** The server is on this machine: a round trip says nothing. */
  readonly local: boolean;
}

/** A time without the server. */
export interface Outage {
  /** Counts from 1. */
  readonly number: number;
  readonly role: Role;
  readonly lostAt: Millis;
  /** When the WebSocket was open again. */
  readonly backAt: Millis | undefined;
  /** Another run of the server took the page back, or the same one; `undefined` while neither has. */
  readonly restarted: boolean | undefined;
  /** The longest time without a frame around it; for a broadcaster, without a connection. */
  readonly gap: Gap | undefined;
  /** Some of it was not looked at, or there was nothing to see: frames tell only a part. */
  readonly unwatched: boolean;
  /** As it was last measured before. */
  readonly path: NetworkPath | undefined;
  readonly epochBefore: number | undefined;
  readonly rekey: Rekey | undefined;
}

/** So many are kept. */
const KEPT = 20;

type Open = { -readonly [Field in keyof Outage]: Outage[Field] } & {
  /** A frame was shown since. */
  seen: boolean;
};

/** One record for each time without the server; the last ones are kept. */
export class Outages {
  readonly #meter = new GapMeter();
  readonly #all: Open[] = [];
  #count = 0;

  /** Oldest first. */
  get all(): readonly Outage[] {
    return this.#all;
  }

  get latest(): Outage | undefined {
    return this.#all.at(-1);
  }

  /** Around the last one; `undefined` before the first. */
  get longestGapMs(): number | undefined {
    return this.#meter.longestMs;
  }

  /** Since when the picture has been standing, where the last outage has brought that about. */
  standingSince(now: Millis): Millis | undefined {
    return this.#meter.standingSince(now);
  }

  frame(at: Millis): void {
    this.#meter.frame(at);
    const latest = this.#all.at(-1);
    if (latest !== undefined && at > latest.lostAt) latest.seen = true;
    this.#takeGap();
  }

  gap(from: Millis, to: Millis): void {
    this.#meter.gap(from, to);
    this.#takeGap();
  }

  /** What is not seen from now on, or was not until now, is no gap. */
  pause(): void {
    this.#meter.pause();
    const latest = this.#all.at(-1);
    if (latest?.role !== 'viewer') return;
    if (latest.restarted === undefined || !latest.seen) latest.unwatched = true;
  }

  handleLost(before: Pick<Outage, 'role' | 'epochBefore' | 'path' | 'unwatched'>, now: Millis): void {
    const latest = this.#all.at(-1);
    // A server that opened and closed at once was not back.
    if (latest !== undefined && latest.restarted === undefined) {
      latest.backAt = undefined;
      return;
    }
    this.#meter.handleLost(now);
    this.#all.push({
      number: ++this.#count,
      lostAt: now,
      backAt: undefined,
      restarted: undefined,
      gap: undefined,
      seen: false,
      rekey: undefined,
      ...before,
    });
    if (this.#all.length > KEPT) this.#all.shift();
    this.#takeGap();
  }

  handleOpen(now: Millis): void {
    const latest = this.#all.at(-1);
    if (latest?.restarted === undefined && latest !== undefined) latest.backAt = now;
  }

  handleTakenBack(restarted: boolean, now: Millis): void {
    const latest = this.#all.at(-1);
    if (latest !== undefined) latest.restarted ??= restarted;
    this.#meter.handleReturned(now);
  }

  /** The first new keys since the server was lost belong to the outage. */
  handleRekey(rekey: Rekey): void {
    const latest = this.#all.at(-1);
    if (latest !== undefined && latest.rekey === undefined && rekey.from >= latest.lostAt)
      latest.rekey = rekey;
  }

  #takeGap(): void {
    const latest = this.#all.at(-1);
    if (latest !== undefined) latest.gap = this.#meter.longest;
  }
}

export const downtimeOf = ({ lostAt, backAt }: Outage): number | undefined =>
  backAt === undefined ? undefined : backAt - lostAt;

/** The part of the gap in which the server was there. */
export function beyondOf({ gap, lostAt, backAt }: Outage): number | undefined {
  if (gap === undefined || backAt === undefined) return undefined;
  const overlap = Math.max(0, Math.min(gap.to, backAt) - Math.max(gap.from, lostAt));
  return lengthOf(gap) - overlap;
}

export const durationOf = ({ from, to }: Rekey): number => to - from;

/** `undefined` where the server is too near for round trips to mean anything. */
export function roundTripsOf({ path, rekey }: Outage): number | undefined {
  if (path === undefined || rekey === undefined || path.local) return undefined;
  return path.roundTripMs < SHORTEST_ROUND_TRIP_MS ? undefined : durationOf(rekey) / path.roundTripMs;
}

/** Browsers give it in whole milliseconds, and their own scheduling takes as long as this. */
const SHORTEST_ROUND_TRIP_MS = 3;

import { nearestExtended } from '../rtp/sequence.ts';
import type { Millis } from '../util/clock.ts';
import type { MediaPacket } from './media.ts';

export interface HistoryEntry {
  readonly media: MediaPacket;
  readonly sentAt: Millis;
}

/**
 * The last packets of one stream, by room index, bounded by their number and age. It also knows which indices of its
 * window have been used, so that no index is given to a second packet.
 */
export class History {
  readonly #capacity: number;
  readonly #span: Millis;
  readonly #entries: (HistoryEntry | undefined)[];
  /** The index that used each slot last; stays when the packet itself has aged out. */
  readonly #used: Float64Array;
  #newest = -1;
  #oldest = 0;
  #bytes = 0;

  constructor(capacity: number, span: Millis) {
    this.#capacity = capacity;
    this.#span = span;
    this.#entries = new Array<HistoryEntry | undefined>(capacity).fill(undefined);
    this.#used = new Float64Array(capacity).fill(-1);
  }

  /** Bytes of media held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the index has not been used yet, as far as the window reaches back. */
  admits(index: number): boolean {
    return index > this.#newest - this.#capacity && this.#used[index % this.#capacity] !== index;
  }

  /** Takes a packet whose index is admitted. */
  insert(media: MediaPacket, now: Millis): void {
    const slot = media.index % this.#capacity;
    this.#drop(slot);
    this.#entries[slot] = { media, sentAt: now };
    this.#used[slot] = media.index;
    this.#bytes += media.bytes.length;
    if (this.#newest < 0) this.#oldest = media.index;
    this.#newest = Math.max(this.#newest, media.index);
    this.#oldest = Math.min(this.#oldest, media.index);
    this.prune(now);
  }

  get(index: number, now: Millis): MediaPacket | undefined {
    if (index < 0) return undefined;
    const entry = this.#entries[index % this.#capacity];
    return entry !== undefined && entry.media.index === index && !this.#expired(entry, now)
      ? entry.media
      : undefined;
  }

  /** The packet with this 16-bit sequence number that is nearest to the newest one. */
  bySequence(sequenceNumber: number, now: Millis): MediaPacket | undefined {
    return this.#newest < 0 ? undefined : this.get(nearestExtended(sequenceNumber, this.#newest), now);
  }

  /** What is held from an index on, in the order of the indices. */
  from(index: number, now: Millis): readonly HistoryEntry[] {
    this.prune(now);
    const found: HistoryEntry[] = [];
    for (let at = Math.max(index, this.#oldest); at <= this.#newest; at++) {
      const entry = this.#entries[at % this.#capacity];
      if (entry !== undefined && entry.media.index === at && !this.#expired(entry, now)) found.push(entry);
    }
    return found;
  }

  /** The lowest index of what was sent at this time or later. */
  firstSince(time: Millis, now: Millis): number | undefined {
    return this.from(0, now).find(({ sentAt }) => sentAt >= time)?.media.index;
  }

  /** Forgets what is too old. */
  prune(now: Millis): void {
    this.#oldest = Math.max(this.#oldest, this.#newest - this.#capacity + 1);
    while (this.#oldest <= this.#newest) {
      const slot = this.#oldest % this.#capacity;
      const entry = this.#entries[slot];
      if (entry !== undefined && entry.media.index === this.#oldest) {
        if (!this.#expired(entry, now)) return;
        this.#drop(slot);
      }
      this.#oldest++;
    }
  }

  #expired(entry: HistoryEntry, now: Millis): boolean {
    return now - entry.sentAt > this.#span;
  }

  #drop(slot: number): void {
    this.#bytes -= this.#entries[slot]?.media.bytes.length ?? 0;
    this.#entries[slot] = undefined;
  }
}

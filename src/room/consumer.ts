import { RTP_FIXED_HEADER_BYTES } from '../rtp/packet.ts';
import { Budget } from '../util/budget.ts';
import type { Millis } from '../util/clock.ts';
import { type RandomSource, randomUint32 } from '../util/rng.ts';
import { type MediaPacket, rtxOf } from './media.ts';
import type { CountedAt } from './viewer-reports.ts';

/** Retransmissions to one viewer, a second and in a burst: a flood of NACKs gets no more out of us. */
const BUDGET_PER_SECOND = 500;
const BUDGET_BURST = 300;
/** The same packet is not sent again sooner, nor sooner than half a round trip. */
const MIN_REPEAT_MS = 20;
const MAX_REPEAT_MS = 200;
const MAX_REMEMBERED = 1024;

/** One connection of a viewer, as the room sees it. */
export class Consumer {
  readonly id: string;
  /** Its SRTP context has never been written: every index may go to it, and retransmissions. */
  fresh: boolean;
  /** For each stream (by SSRC) the first index that the re-key under way may have cost; `undefined` while there is none. */
  marks: ReadonlyMap<number, number> | undefined;
  rtt: Millis | undefined;
  lastFirSequence: number | undefined;
  readonly reportsCountedAt: CountedAt = new Map();
  readonly #rng: RandomSource;
  #rtxIndex: number;
  readonly #budget = new Budget(BUDGET_BURST, BUDGET_PER_SECOND);
  readonly #resentAt = new Map<number, Millis>();

  constructor(id: string, fresh: boolean, rng: RandomSource) {
    this.id = id;
    this.fresh = fresh;
    this.#rng = rng;
    this.#rtxIndex = initialSequence(rng);
  }

  /**
   * Fresh keys. The retransmission stream goes on in a new cycle, far from its end: a receiver that misses the first packets
   * of a stream and then its wrap never finds the rollover counter (RFC 3711 §3.3.1).
   */
  rekeyed(): void {
    this.fresh = true;
    this.marks = undefined;
    this.#rtxIndex = (Math.floor(this.#rtxIndex / 2 ** 16) + 1) * 2 ** 16 + initialSequence(this.#rng);
    this.#resentAt.clear();
  }

  /** The packet as a retransmission (RFC 4588 §4), or `undefined` where this one was just sent or too many were. */
  retransmit(media: MediaPacket, rtxSsrc: number, now: Millis): MediaPacket | undefined {
    const payloadType = rtxOf(media.bytes[1]! & 0x7f);
    if (payloadType === undefined || !this.#mayResend(media.index, now)) return undefined;
    const index = this.#rtxIndex++;
    return { ssrc: rtxSsrc, index, bytes: encodeRetransmission(media, payloadType, rtxSsrc, index) };
  }

  #mayResend(index: number, now: Millis): boolean {
    const repeat = Math.min(MAX_REPEAT_MS, Math.max(MIN_REPEAT_MS, (this.rtt ?? 0) / 2));
    const last = this.#resentAt.get(index);
    if (last !== undefined && now - last < repeat) return false;
    if (!this.#budget.take(now)) return false;
    this.#resentAt.delete(index);
    this.#resentAt.set(index, now);
    if (this.#resentAt.size > MAX_REMEMBERED) {
      for (const oldest of this.#resentAt.keys()) {
        this.#resentAt.delete(oldest);
        break;
      }
    }
    return true;
  }
}

/** A random start in the lower half: 2^15 packets must be lost in a row before a wrap is missed. */
export const initialSequence = (rng: RandomSource): number => randomUint32(rng) % 2 ** 15;

/** RFC 4588 §4: the original's header with payload type, SSRC and sequence number of the retransmission, then its own number. */
function encodeRetransmission(
  media: MediaPacket,
  payloadType: number,
  ssrc: number,
  index: number,
): Uint8Array {
  const bytes = new Uint8Array(media.bytes.length + 2);
  bytes.set(media.bytes.subarray(0, RTP_FIXED_HEADER_BYTES));
  bytes.set(media.bytes.subarray(RTP_FIXED_HEADER_BYTES), RTP_FIXED_HEADER_BYTES + 2);
  const view = new DataView(bytes.buffer);
  view.setUint8(1, (media.bytes[1]! & 0x80) | payloadType);
  view.setUint16(2, index % 2 ** 16);
  view.setUint32(8, ssrc);
  view.setUint16(RTP_FIXED_HEADER_BYTES, media.index % 2 ** 16);
  return bytes;
}

import type { RtpFields } from '../rtp/packet.ts';
import { nearestExtended, SequenceUnwrapper } from '../rtp/sequence.ts';
import { modulo32 } from '../util/modular.ts';
import { CLOCK_RATE, type MediaKind } from './media.ts';
import { MissingPackets } from './nack.ts';
import { type ClockMapping, ReceptionStatistics } from './reports.ts';
import type { RoomSourceState } from './state.ts';

/** A source that has been silent may come back this much further on, or this much disordered, and still be followed. */
const MAX_LEAP = 2 ** 14;
const MAX_DISORDER = 512;

type SourceMapping = Omit<RoomSourceState, 'highest'>;

/** The broadcaster's stream behind one stream of the room, and how its numbering maps to the room's. */
export class Source {
  readonly ssrc: number;
  readonly indexOffset: number;
  readonly timestampOffset: number;
  /** Nothing below this room index is this source's. */
  readonly firstIndex: number;
  readonly missing = new MissingPackets();
  readonly reception: ReceptionStatistics;
  readonly #unwrapper: SequenceUnwrapper;
  /** The SSRC of its retransmissions (RFC 4588 §4), once one has answered a request. */
  rtxSsrc: number | undefined;
  /** From its last sender report. */
  clock: ClockMapping | undefined;
  /** Taken over from an earlier process, and nothing has arrived since. */
  resumed: boolean;

  private constructor(
    kind: MediaKind,
    mapping: SourceMapping,
    firstIndex: number,
    highest: number | undefined,
  ) {
    this.ssrc = mapping.ssrc;
    this.indexOffset = mapping.indexOffset;
    this.timestampOffset = mapping.timestampOffset;
    this.firstIndex = firstIndex;
    this.resumed = highest !== undefined;
    this.reception = new ReceptionStatistics(CLOCK_RATE[kind]);
    this.#unwrapper = new SequenceUnwrapper(highest);
  }

  /** A source whose first packet becomes the room's packet `index` at `timestamp`. */
  static startingAt(kind: MediaKind, packet: RtpFields, index: number, timestamp: number): Source {
    const mapping = {
      ssrc: packet.ssrc,
      indexOffset: index - packet.sequenceNumber,
      timestampOffset: modulo32(timestamp - packet.timestamp),
    };
    return new Source(kind, mapping, index, undefined);
  }

  /** The source of an earlier process; what that process had seen is not taken again. */
  static resume(kind: MediaKind, state: RoomSourceState): Source {
    return new Source(kind, state, state.highest + 1 + state.indexOffset, state.highest);
  }

  get highest(): number | undefined {
    return this.#unwrapper.highest;
  }

  /** The packet's extended sequence number; a new highest one moves the source on. */
  unwrap(sequenceNumber: number): number {
    return this.#unwrapper.unwrap(sequenceNumber);
  }

  /**
   * Whether a packet after a long silence cannot be told from an old one: the source has gone on so far that its 16 bits do not say how far
   * (RFC 3550 appendix A.1 starts anew there, too).
   */
  isTornOffBy(sequenceNumber: number): boolean {
    if (this.highest === undefined) return false;
    const ahead = nearestExtended(sequenceNumber, this.highest) - this.highest;
    return ahead > MAX_LEAP || ahead < -MAX_DISORDER;
  }

  /** The extended number of a packet that is missing, from a retransmission's original number (RFC 4588 §4). */
  missingNumber(original: number, retransmissionSsrc: number): number | undefined {
    if (this.highest === undefined) return undefined;
    if (this.rtxSsrc !== undefined && this.rtxSsrc !== retransmissionSsrc) return undefined;
    const extended = nearestExtended(original, this.highest);
    if (!this.missing.has(extended)) return undefined;
    this.rtxSsrc = retransmissionSsrc;
    return extended;
  }

  /** Whether the source, as it was written, goes on with the same numbers. */
  isMappedAs(state: RoomSourceState | undefined): boolean {
    return (
      state !== undefined &&
      state.ssrc === this.ssrc &&
      state.indexOffset === this.indexOffset &&
      state.timestampOffset === this.timestampOffset
    );
  }

  capture(): RoomSourceState | undefined {
    const { ssrc, highest, indexOffset, timestampOffset } = this;
    return highest === undefined ? undefined : { ssrc, highest, indexOffset, timestampOffset };
  }
}

import { rtpHeaderLength } from '../../rtp/packet.ts';
import { nearestExtended } from '../../rtp/sequence.ts';
import { readUint16 } from '../../util/bytes.ts';
import { Counters } from '../../util/counters.ts';
import { ReplayWindow } from '../replay-window.ts';
import { DirectionKeys } from './direction-keys.ts';
import { IndexLimit } from './index-limit.ts';
import { SRTP_PROFILES, type SrtpMasterKey, type SrtpProfile } from './profile.ts';
import type { SrtpPersistence, SrtpReceiveState } from './state.ts';
import { ssrcOfRtcp, ssrcOfRtp } from './transform.ts';

/** Indices remembered for each SSRC. RFC 3711 §3.3.2 asks for at least 64; video loses its order by more. */
export const REPLAY_WINDOW_PACKETS = 1024;
/** Most SSRCs of a peer, counted for RTP and RTCP each. Only the peer itself, authenticated, can use them up. */
export const MAX_STREAMS = 16;

/**
 * How many indices a capture reserves for each quiet SSRC. A resume drops what it skips, so of media it is little. Of RTCP it is what a viewer sends in some
 * seconds: whoever comes to a limit has everybody written, and under stale keys nothing can be sent again that a viewer asks for.
 */
interface ReceiveReserve {
  readonly rtp: number;
  readonly rtcp: number;
}
const RECEIVE_RESERVE: ReceiveReserve = { rtp: 8, rtcp: 16 };

export interface UnprotectedRtp {
  readonly packet: Uint8Array;
  /** The 48-bit SRTP index. */
  readonly index: number;
}

export type SrtpDropReason =
  | 'malformed'
  | 'unencrypted'
  | 'unauthenticated'
  | 'replayed'
  | 'belowFloor'
  | 'aboveLimit'
  | 'unknownStream'
  | 'tooManyStreams';

const SRTP_INDICES = 2 ** 48;
const SRTCP_INDICES = 2 ** 31;
const SEQUENCE_NUMBERS = 2 ** 16;

/**
 * Unprotects what one peer sends, each index at most once: also across a restart, where a resumed context accepts nothing below the limits of
 * the last written snapshot.
 *
 * An authentic packet at or above its stream's limit makes the context call `reserve` before it accepts it. `reserve` is expected to capture, write
 * and call `granted` before it returns; the packet is dropped where that did not help. A context that is never captured has no limits.
 *
 * New streams: the first packet of an RTP stream after the first capture is reserved for like any other, so nothing has ever been
 * accepted from an SSRC that a snapshot does not know. RTCP comes from every viewer and a write for each would make joining quadratic, so there it is
 * the other way round: new SSRCs are free, and a resumed context refuses those that its snapshot does not know.
 */
export class SrtpReceiveContext {
  readonly drops = new Counters<SrtpDropReason>();
  readonly #keys: DirectionKeys;
  readonly #reserve: () => void;
  readonly #changed: () => void;
  readonly #rtp = new Map<number, ReceiveStream>();
  readonly #rtcp = new Map<number, ReceiveStream>();
  readonly #resumed: boolean;
  #captured = false;
  /** The last capture, which stays the same until something in it changes. */
  #state: SrtpReceiveState | undefined;

  private constructor(
    state: SrtpReceiveState,
    { reserve = nothing, changed = nothing }: SrtpPersistence,
    resumed: boolean,
  ) {
    this.#keys = new DirectionKeys(state.profile, state.master);
    this.#reserve = reserve;
    this.#changed = changed;
    this.#resumed = resumed;
    for (const { ssrc, limit } of state.streams) {
      this.#rtp.set(ssrc, new ReceiveStream(SRTP_INDICES, limit, Infinity));
    }
    for (const { ssrc, limit } of state.srtcp) {
      this.#rtcp.set(ssrc, new ReceiveStream(SRTCP_INDICES, limit, Infinity));
    }
  }

  /** Takes ownership of the master key. */
  static create(
    profile: SrtpProfile,
    master: SrtpMasterKey,
    persistence: SrtpPersistence = {},
  ): SrtpReceiveContext {
    return new SrtpReceiveContext({ profile, master, streams: [], srtcp: [] }, persistence, false);
  }

  /** Goes on from a snapshot, which must not be there to be read a second time. Takes ownership of the master key. */
  static restore(state: SrtpReceiveState, persistence: SrtpPersistence = {}): SrtpReceiveContext {
    return new SrtpReceiveContext(state, persistence, true);
  }

  /** `undefined` (and counted) where the datagram is dropped. */
  unprotectRtp(datagram: Uint8Array): UnprotectedRtp | undefined {
    this.#keys.assertLive();
    const headerLength = rtpHeaderLength(datagram);
    const { tagBytes } = SRTP_PROFILES[this.#keys.profile];
    if (headerLength === undefined || datagram.length < headerLength + tagBytes) {
      return this.#drop('malformed');
    }
    const ssrc = ssrcOfRtp(datagram);
    const stream = this.#rtp.get(ssrc);
    const sequenceNumber = readUint16(datagram, 2);
    for (const index of indexCandidates(sequenceNumber, stream)) {
      if (stream !== undefined && !this.#isFresh(stream, index)) return undefined;
      const packet = this.#keys.transform.openRtp(datagram, headerLength, index);
      if (packet === undefined) continue;
      const accepted = this.#accept(this.#rtp, ssrc, index);
      return accepted ? { packet, index } : undefined;
    }
    return this.#drop('unauthenticated');
  }

  /** A compound RTCP packet; `undefined` (and counted) where the datagram is dropped. */
  unprotectRtcp(datagram: Uint8Array): Uint8Array | undefined {
    this.#keys.assertLive();
    const trailer = this.#keys.transform.readRtcpTrailer(datagram);
    if (trailer === undefined || datagram[0]! >> 6 !== 2) return this.#drop('malformed');
    if (!trailer.encrypted) return this.#drop('unencrypted');
    const ssrc = ssrcOfRtcp(datagram);
    const stream = this.#rtcp.get(ssrc);
    if (stream === undefined && this.#resumed) return this.#drop('unknownStream');
    if (stream !== undefined && !this.#isFresh(stream, trailer.index)) return undefined;
    const packet = this.#keys.transform.openRtcp(datagram);
    if (packet === undefined) return this.#drop('unauthenticated');
    return this.#accept(this.#rtcp, ssrc, trailer.index) ? packet : undefined;
  }

  /** What a successor needs, with proposed limits: they count as soon as they are {@link granted}. The keys are shared, not copied. */
  capture(reserve = RECEIVE_RESERVE): SrtpReceiveState {
    this.#keys.assertLive();
    const { profile, master } = this.#keys;
    this.#captured = true;
    const streams = proposals(this.#rtp, reserve.rtp, this.#state?.streams);
    const srtcp = proposals(this.#rtcp, reserve.rtcp, this.#state?.srtcp);
    if (this.#state === undefined || streams !== this.#state.streams || srtcp !== this.#state.srtcp)
      this.#state = Object.freeze({ profile, master, streams, srtcp });
    return this.#state;
  }

  /** The captured state has been written. */
  granted(state: SrtpReceiveState): void {
    for (const { ssrc, limit } of state.streams) this.#rtp.get(ssrc)?.limit.grant(limit);
    for (const { ssrc, limit } of state.srtcp) this.#rtcp.get(ssrc)?.limit.grant(limit);
  }

  /** Wipes the keys. Using the context afterwards throws `SECRET_DISPOSED`. */
  dispose(): void {
    this.#keys.dispose();
  }

  /** Looks only: what the datagram claims is not authenticated yet. */
  #isFresh(stream: ReceiveStream, index: number): boolean {
    if (stream.window.check(index)) return true;
    this.#drop(index < stream.window.floor ? 'belowFloor' : 'replayed');
    return false;
  }

  /** The packet of this index is authentic and fresh. */
  #accept(streams: Map<number, ReceiveStream>, ssrc: number, index: number): boolean {
    let stream = streams.get(ssrc);
    if (stream === undefined) {
      if (streams.size >= MAX_STREAMS) {
        this.#drop('tooManyStreams');
        return false;
      }
      stream =
        streams === this.#rtp
          ? new ReceiveStream(SRTP_INDICES, 0, this.#captured ? 0 : Infinity)
          : new ReceiveStream(SRTCP_INDICES, 0, Infinity);
      streams.set(ssrc, stream);
    }
    stream.wanted = Math.max(stream.wanted, index);
    if (stream.limit.wantsRise(stream.wanted + 1)) this.#changed();
    if (!stream.limit.allows(index)) this.#reserve();
    if (!stream.limit.allows(index)) {
      this.#drop('aboveLimit');
      return false;
    }
    stream.window.update(index);
    stream.limit.countUse();
    return true;
  }

  #drop(reason: SrtpDropReason): undefined {
    this.drops.add(reason);
  }
}

type Limits = SrtpReceiveState['streams'];

/** The same list as `before` where nothing has changed. */
function proposals(
  streams: ReadonlyMap<number, ReceiveStream>,
  reserve: number,
  before: Limits | undefined,
): Limits {
  let same = before?.length === streams.size;
  let at = 0;
  // Streams keep their order, and none ever goes.
  for (const stream of streams.values()) {
    const limit = stream.propose(reserve);
    if (same && before?.[at++]?.limit !== limit) same = false;
  }
  if (same && before !== undefined) return before;
  return Object.freeze(
    Array.from(streams, ([ssrc, { limit }]) => Object.freeze({ ssrc, limit: limit.proposed })),
  );
}

class ReceiveStream {
  readonly window: ReplayWindow;
  readonly limit: IndexLimit;
  /** The highest authentic index, accepted or waiting for a higher limit. */
  wanted: number;

  constructor(ceiling: number, floor: number, granted: number) {
    this.window = new ReplayWindow(REPLAY_WINDOW_PACKETS, floor);
    this.limit = new IndexLimit(ceiling, granted);
    this.wanted = floor - 1;
  }

  propose(reserve: number): number {
    return this.limit.propose(this.wanted + 1, reserve);
  }
}

/**
 * The indices that a sequence number may stand for, the likeliest first.
 *
 * RFC 3711 appendix A, with two more rules. A stream begins with a rollover counter of zero; where its first packets are lost just before a wrap,
 * the first to arrive has a counter of one, and without a second try none would ever authenticate. And there is no index below zero.
 */
function indexCandidates(sequenceNumber: number, stream: ReceiveStream | undefined): readonly number[] {
  if (stream === undefined || stream.window.highest < 0) {
    const wrapped = sequenceNumber < SEQUENCE_NUMBERS / 2;
    return wrapped ? [sequenceNumber, sequenceNumber + SEQUENCE_NUMBERS] : [sequenceNumber];
  }
  const nearest = nearestExtended(sequenceNumber, stream.window.highest);
  if (nearest < 0) return [nearest + SEQUENCE_NUMBERS];
  return nearest < SRTP_INDICES ? [nearest] : [];
}

const nothing = (): void => {};

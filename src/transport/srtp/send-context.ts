import { RekeycastError } from '../../errors.ts';
import { rtpHeaderLength } from '../../rtp/packet.ts';
import { readUint16 } from '../../util/bytes.ts';
import { Counters } from '../../util/counters.ts';
import { ReplayWindow } from '../replay-window.ts';
import type { CryptoKernel, KernelKeys } from './crypto-kernel.ts';
import { DirectionKeys } from './direction-keys.ts';
import { IndexLimit } from './index-limit.ts';
import type { SrtpMasterKey, SrtpProfile } from './profile.ts';
import type { SrtpPersistence, SrtpSendState } from './state.ts';
import { RTCP_CLEAR_BYTES, ssrcOfRtp } from './transform.ts';

/** How many SRTCP indices a capture reserves at least. Indices that a resume skips cost nothing on the way out. */
const SRTCP_SEND_RESERVE = 128;
/** How far behind the newest a packet may be and still be protected, once. */
export const SEND_WINDOW_PACKETS = 4096;

/** Indices there are under one master key (RFC 3711 §9.2). */
const SRTP_INDICES = 2 ** 48;
const SRTCP_INDICES = 2 ** 31;
const SEQUENCE_NUMBERS = 2 ** 16;

/** Why a packet cannot be sent under these keys. */
export type SrtpSendDropReason = 'belowBase' | 'belowFloor' | 'unknownStream' | 'aboveLimit' | 'exhausted';

/**
 * Protects what is sent to one peer, each (SSRC, index) and each SRTCP index at most once.
 *
 * 1. `protectRtp` takes the room's 48-bit index. The SRTP index is that less the stream's base, because a receiver starts with a rollover
 *    counter of zero. The room keeps its indices below the written limits (`RoomState`).
 * 2. `protectRtcp` numbers by itself. At the limit of the last written snapshot it calls `reserve`, which is expected to capture, write and call
 *    `granted` before it returns; the packet is dropped where that did not help.
 * 3. `capture` proposes the limits of the next snapshot; `granted` makes them valid. Writes must not overtake each other: the newest
 *    file must hold the newest capture. A context that is never captured (no persistence) has no limits.
 */
export class SrtpSendContext {
  readonly drops = new Counters<SrtpSendDropReason>();
  readonly #keys: DirectionKeys;
  readonly #reserve: () => void;
  readonly #changed: () => void;
  readonly #streams = new Map<number, SendStream>();
  readonly #srtcpLimit: IndexLimit;
  readonly #resumed: boolean;
  #srtcpNext: number;
  /** The last capture, which stays the same until something in it changes. */
  #state: SrtpSendState | undefined;

  private constructor(
    state: SrtpSendState,
    { reserve = nothing, changed = nothing }: SrtpPersistence,
    resumed: boolean,
  ) {
    this.#keys = new DirectionKeys(state.profile, state.master);
    this.#reserve = reserve;
    this.#changed = changed;
    this.#resumed = resumed;
    this.#srtcpNext = state.srtcpLimit;
    this.#srtcpLimit = new IndexLimit(SRTCP_INDICES, Infinity);
  }

  /** Takes ownership of the master key. */
  static create(
    profile: SrtpProfile,
    master: SrtpMasterKey,
    persistence: SrtpPersistence = {},
  ): SrtpSendContext {
    return new SrtpSendContext({ profile, master, streams: [], srtcpLimit: 0 }, persistence, false);
  }

  /**
   * Goes on from a snapshot, which must not be there to be read a second time. Takes ownership of the master key.
   *
   * A stream that the snapshot does not know is refused: its predecessor may have fixed another base since. So is one that `floors`, the room's limits
   * in the snapshot, do not hold: how far its indices were used, nobody knows (retransmissions: they begin again with the next keys).
   */
  static restore(
    state: SrtpSendState,
    persistence: SrtpPersistence = {},
    floors: readonly { readonly ssrc: number; readonly limit: number }[] = [],
  ): SrtpSendContext {
    const context = new SrtpSendContext(state, persistence, true);
    for (const { ssrc, base } of state.streams) {
      const floor = floors.find((stream) => stream.ssrc === ssrc)?.limit;
      if (floor === undefined) continue;
      context.#streams.set(ssrc, { base, used: new ReplayWindow(SEND_WINDOW_PACKETS, floor) });
    }
    return context;
  }

  /**
   * Protects `packet`, a whole RTP packet, whose 48-bit room index is `index`. `undefined` (and counted) where that index cannot be sent under
   * these keys. Throws `NONCE_REUSE` where (SSRC, index) was protected before, or so long ago that nobody knows, and
   * `RangeError` where `packet` is no RTP packet or not the one of this index.
   */
  protectRtp(packet: Uint8Array, index: number): Uint8Array | undefined {
    const claimed = this.claimRtp(packet, index);
    if (claimed === undefined) return undefined;
    return this.#keys.transform.sealRtp(packet, rtpHeaderLength(packet)!, claimed);
  }

  /**
   * The first half of {@link protectRtp}, for who seals the packet with {@link kernelKeys}: gives the SRTP index, which is spent, whether that
   * is done or not.
   *
   * @internal
   */
  claimRtp(packet: Uint8Array, index: number): number | undefined {
    this.#keys.assertLive();
    if (rtpHeaderLength(packet) === undefined) throw new RangeError('not an RTP packet');
    const sequenceNumber = readUint16(packet, 2);
    if (sequenceNumber !== index % SEQUENCE_NUMBERS) throw new RangeError('index is not of this packet');

    const stream = this.#stream(ssrcOfRtp(packet), index);
    if (stream === undefined) return this.#drop('unknownStream');
    const { base } = stream;
    if (index < base) return this.#drop('belowBase');
    // RFC 3711 §9.2: no more than 2^48 packets under one key, or keystream repeats.
    if (index - base >= SRTP_INDICES) return this.#drop('exhausted');
    stream.used ??= new ReplayWindow(SEND_WINDOW_PACKETS, base);
    if (index < stream.used.floor) return this.#drop('belowFloor');
    if (!stream.used.check(index)) {
      throw new RekeycastError('NONCE_REUSE', `index ${index} was protected before under these keys`);
    }
    // Before the cipher runs: whatever happens there, this index is spent.
    stream.used.update(index);
    return index - base;
  }

  /** The keys of these packets in a kernel, which go with the context; `undefined` where it has none for them. @internal */
  kernelKeys(kernel: CryptoKernel): KernelKeys | undefined {
    this.#keys.assertLive();
    return this.#keys.transform.kernelKeys(kernel);
  }

  /** @internal */
  get disposed(): boolean {
    return this.#keys.disposed;
  }

  /**
   * Protects a compound RTCP packet; `undefined` (and counted) where no index is left. Throws `RangeError` where `packet` is shorter than the head
   * of one.
   */
  protectRtcp(packet: Uint8Array): Uint8Array | undefined {
    this.#keys.assertLive();
    if (packet.length < RTCP_CLEAR_BYTES) throw new RangeError('not an RTCP packet');
    // RFC 3711 §9.2: at most 2^31 SRTCP packets under one key.
    if (this.#srtcpNext >= SRTCP_INDICES) return this.#drop('exhausted');
    if (!this.#srtcpLimit.allows(this.#srtcpNext)) this.#reserve();
    if (!this.#srtcpLimit.allows(this.#srtcpNext)) return this.#drop('aboveLimit');
    this.#srtcpLimit.countUse();
    const index = this.#srtcpNext++;
    if (this.#srtcpLimit.wantsRise(this.#srtcpNext)) this.#changed();
    return this.#keys.transform.sealRtcp(packet, index);
  }

  /** What a successor needs, with proposed limits: they count as soon as they are {@link granted}. The keys are shared, not copied. */
  capture(srtcpReserve = SRTCP_SEND_RESERVE): SrtpSendState {
    this.#keys.assertLive();
    const srtcpLimit = this.#srtcpLimit.propose(this.#srtcpNext, srtcpReserve);
    if (this.#state?.srtcpLimit === srtcpLimit && this.#state.streams.length === this.#streams.size)
      return this.#state;
    // A base is fixed with its stream, and no stream ever goes.
    const streams = Object.freeze(
      [...this.#streams].map(([ssrc, { base }]) => Object.freeze({ ssrc, base })),
    );
    const { profile, master } = this.#keys;
    this.#state = Object.freeze({ profile, master, streams, srtcpLimit });
    return this.#state;
  }

  /** The captured state has been written. */
  granted(state: SrtpSendState): void {
    this.#srtcpLimit.grant(state.srtcpLimit);
  }

  /** Wipes the keys. Using the context afterwards throws `SECRET_DISPOSED`. */
  dispose(): void {
    this.#keys.dispose();
  }

  #stream(ssrc: number, index: number): SendStream | undefined {
    const known = this.#streams.get(ssrc);
    if (known !== undefined || this.#resumed) return known;
    const stream = { base: index - (index % SEQUENCE_NUMBERS), used: undefined };
    this.#streams.set(ssrc, stream);
    this.#changed();
    return stream;
  }

  #drop(reason: SrtpSendDropReason): undefined {
    this.drops.add(reason);
  }
}

interface SendStream {
  /** The room index that has SRTP index zero. */
  readonly base: number;
  /** Room indices protected under these keys; `undefined` before the first. */
  used: ReplayWindow | undefined;
}

const nothing = (): void => {};

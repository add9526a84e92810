import { type RtpFields, writeRtp } from '../rtp/packet.ts';
import type { Millis, WallMillis } from '../util/clock.ts';
import { modulo32, nearestToZero } from '../util/modular.ts';
import { History } from './history.ts';
import { isKeyframeStart, KeyframeRequests } from './keyframe.ts';
import { CLOCK_RATE, type MediaKind, type MediaPacket } from './media.ts';
import { RateMeter } from './rate.ts';
import type { ProducerClock } from './reports.ts';
import { Source } from './source.ts';
import type { RoomStreamState } from './state.ts';

export type RouteResult =
  | { readonly kind: 'packet'; readonly media: MediaPacket; readonly recovered: boolean }
  | { readonly kind: 'drop'; readonly reason: RouterDrop };

export type RouterDrop =
  /** Its index has been used, or is too old to know. */
  | 'duplicate'
  /** From before its source was taken up: the index belongs to the source before. */
  | 'beforeSource'
  /** Of a new source, whose keyframe is awaited. */
  | 'awaitingKeyframe'
  /** Of a source that another has replaced, and which goes on. */
  | 'retiredSource'
  /** A third source, while a new one is already awaited. */
  | 'surplusSource'
  /** A retransmission nobody is waiting for: a probe, or an answer that came twice. */
  | 'unexpectedRetransmission';

const HISTORY: Readonly<Record<MediaKind, { packets: number; span: Millis }>> = {
  audio: { packets: 256, span: 3000 },
  video: { packets: 1024, span: 3000 },
};

/** The largest gap that is worth asking for: what the broadcaster can be expected to hold. */
const REPAIRABLE = { packets: 300, span: 1000 } as const;
/** The same for the first packet after a restart: part of that gap has been sent before the crash. */
const REPAIRABLE_RESUMED = { packets: 100, span: 500 } as const;
/** What a broadcaster that got new keys is taken to have sent without any, at most: in libwebrtc the encoder goes on meanwhile. */
const PRESUMED_LOST = 128;
/** A repair that freezes everybody, behind a restart or a re-key of the broadcaster, is given up sooner. */
const URGENT_SPAN_MS = 2000;
/** A source that has been silent this long makes way for another: a new one for any, the one in use for one that it had replaced. */
const CANDIDATE_SILENCE_MS = 1000;
const MAX_RETIRED = 8;
/** Bounds of the time between the last packet of a source and the first of its successor. */
const MIN_SUCCESSION_MS = 10;
const MAX_SUCCESSION_MS = 24 * 3600 * 1000;
/** A source with no packet for this long is not reported on. */
const ACTIVE_SPAN_MS = 5000;
/** What a capture reserves at least, for a burst out of silence. */
export const MIN_RESERVE_PACKETS = 8;

/**
 * One stream of the room: whoever sends, the viewers see one SSRC whose sequence numbers and timestamps go on.
 */
export class StreamRouter {
  readonly kind: MediaKind;
  readonly ssrc: number;
  readonly rtxSsrc: number;
  readonly clockRate: number;
  /** Indices below this one may have been used by an earlier process. */
  readonly floor: number;
  readonly history: History;
  readonly keyframes = new KeyframeRequests();
  readonly #rate = new RateMeter();
  #source: Source | undefined;
  #candidate: { readonly ssrc: number; seenAt: Millis } | undefined;
  #retired: number[] = [];
  #nextIndex: number;
  #proposed: number;
  #timestamp: number;
  #timestampAt: Millis;
  #activeAt: Millis | undefined;
  #sourceSince: Millis | undefined;
  #generation = 0;
  #packets = 0;
  #octets = 0;
  readonly #ended = { lost: 0, unrepaired: 0 };
  #mostLost = 0;

  /** @param wall our wall-clock time at `now`. */
  constructor(state: RoomStreamState, now: Millis, wall: WallMillis) {
    this.kind = state.kind;
    this.ssrc = state.ssrc;
    this.rtxSsrc = state.rtxSsrc;
    this.clockRate = CLOCK_RATE[state.kind];
    this.floor = state.limit;
    this.history = new History(HISTORY[state.kind].packets, HISTORY[state.kind].span);
    this.#source = state.source === undefined ? undefined : Source.resume(state.kind, state.source);
    this.#nextIndex = state.limit;
    this.#proposed = state.limit;
    this.#timestamp = state.timestamp;
    this.#timestampAt = now - (wall - state.timestampAt);
  }

  get source(): Source | undefined {
    return this.#source;
  }

  /** Above every index used so far. */
  get nextIndex(): number {
    return this.#nextIndex;
  }

  /** Counts the sources: a packet belongs to the generation that was current when it was routed. */
  get generation(): number {
    return this.#generation;
  }

  /** When the first packet of the source arrived here. */
  get sourceSince(): Millis {
    return this.#sourceSince ?? Number.POSITIVE_INFINITY;
  }

  get packets(): number {
    return this.#packets;
  }

  get octets(): number {
    return this.#octets;
  }

  /** Packets of all its sources that did not come by themselves. One that is late has counted: the number never falls. */
  get lost(): number {
    this.#mostLost = Math.max(this.#mostLost, this.#ended.lost + (this.#source?.reception.lost ?? 0));
    return this.#mostLost;
  }

  /** Packets of all its sources that were given up. */
  get unrepaired(): number {
    return this.#ended.unrepaired + (this.#source?.missing.lost ?? 0);
  }

  /** SSRCs that a keyframe is asked of: the source's, and that of the source to come. */
  get keyframeTargets(): readonly number[] {
    return [this.#source?.ssrc, this.#candidate?.ssrc].filter((ssrc) => ssrc !== undefined);
  }

  isActive(now: Millis, span: Millis = ACTIVE_SPAN_MS): boolean {
    return this.#activeAt !== undefined && now - this.#activeAt <= span;
  }

  /** Takes a packet of the producer, not a retransmission. */
  route(packet: RtpFields, now: Millis): RouteResult {
    const silent = this.#source?.resumed === true || !this.isActive(now);
    if (silent && this.#source?.ssrc === packet.ssrc && this.#source.isTornOffBy(packet.sequenceNumber)) {
      this.endSource();
    }
    const source = this.#source;
    if (source?.ssrc === packet.ssrc) return this.#continue(source, packet, now);
    const reason = this.#refuseSource(packet, now);
    return reason === undefined ? this.#switchTo(packet, now) : { kind: 'drop', reason };
  }

  /** Takes the original of a retransmission (RFC 4588 §4): `packet` has its number and the payload type it had. */
  recover(packet: RtpFields | undefined, retransmissionSsrc: number, now: Millis): RouteResult {
    const source = this.#source;
    const extended = packet && source?.missingNumber(packet.sequenceNumber, retransmissionSsrc);
    if (packet === undefined || source === undefined || extended === undefined)
      return { kind: 'drop', reason: 'unexpectedRetransmission' };
    const before = source.highest;
    source.unwrap(packet.sequenceNumber);
    // Where it was asked for ahead, it is the first to show that there are such numbers: those before it are missing, too.
    if (before !== undefined && extended > before) source.missing.add(before + 1, extended, now);
    source.missing.arrived(extended, true, now);
    return this.#forward(source, extended, packet, true, now);
  }

  /** No source any more; the next one, whatever its SSRC, begins where this one ends. */
  endSource(): void {
    this.#settleLosses();
    this.#source = undefined;
    this.#sourceSince = undefined;
    this.#candidate = undefined;
    this.#retired = [];
    this.keyframes.satisfied();
  }

  /** The producer has fresh keys: what was lost meanwhile is asked for at once, as far as it can be guessed, and is worth a short wait only. */
  rekeyed(now: Millis): void {
    this.#hurry(now);
    const { highest, resumed, missing } = this.#source ?? {};
    if (highest === undefined || resumed === true || !this.isActive(now, REPAIRABLE.span)) return;
    missing?.presume(highest + 1, PRESUMED_LOST);
  }

  /** The stream's timestamp at `now`: by the producer's clock where it is known, else by its newest packet. */
  timestampAt(now: Millis, wall: WallMillis, clock: ProducerClock | undefined): number {
    const mapping = this.#source?.clock;
    const mapped = mapping && clock?.timestampAt(mapping, wall, this.clockRate);
    if (this.#source !== undefined && mapped !== undefined)
      return modulo32(mapped + this.#source.timestampOffset);
    return modulo32(this.#timestamp + this.#ticks(now - this.#timestampAt));
  }

  /**
   * `limit` is above every index used, by what is expected in `reserve` and no less than a handful.
   *
   * @param wallAtZero our wall-clock time at monotonic zero.
   */
  capture(reserve: Millis, wallAtZero: WallMillis): RoomStreamState {
    const expected = Math.ceil((this.#rate.perSecond * reserve) / 1000);
    // Never less than before: a grant may come late, when a newer file has been written already.
    this.#proposed = Math.max(this.#proposed, this.#nextIndex + Math.max(MIN_RESERVE_PACKETS, expected));
    return {
      kind: this.kind,
      ssrc: this.ssrc,
      rtxSsrc: this.rtxSsrc,
      limit: this.#proposed,
      timestamp: this.#timestamp,
      timestampAt: Math.round(wallAtZero + this.#timestampAt),
      source: this.#source?.capture(),
    };
  }

  #continue(source: Source, packet: RtpFields, now: Millis): RouteResult {
    const before = source.highest;
    const extended = source.unwrap(packet.sequenceNumber);
    source.reception.update(extended, packet.timestamp, now);
    if (before !== undefined && extended > before + 1)
      this.#passedOver(source, before + 1, extended, packet, now);
    source.missing.shown();
    source.resumed = false;
    const recovered = source.missing.arrived(extended, false, now);
    return this.#forward(source, extended, packet, recovered, now);
  }

  #hurry(now: Millis): void {
    this.#source?.missing.hurry(now, now + URGENT_SPAN_MS);
  }

  /** Audio is not asked for again: Opus conceals, and no NACK is offered for it. */
  #passedOver(source: Source, first: number, end: number, packet: RtpFields, now: Millis): void {
    if (this.kind === 'audio') return;
    const bound = source.resumed ? REPAIRABLE_RESUMED : REPAIRABLE;
    const ticks = nearestToZero(packet.timestamp + source.timestampOffset - this.#timestamp, 2 ** 32);
    if (end - first > bound.packets || (ticks * 1000) / this.clockRate > bound.span) {
      source.missing.clear();
      this.keyframes.request(now);
      return;
    }
    if (source.resumed) this.#hurry(now);
    source.missing.add(first, end, now);
  }

  #forward(
    source: Source,
    extended: number,
    packet: RtpFields,
    recovered: boolean,
    now: Millis,
  ): RouteResult {
    const index = extended + source.indexOffset;
    if (index < source.firstIndex) return { kind: 'drop', reason: 'beforeSource' };
    if (!this.history.admits(index)) return { kind: 'drop', reason: 'duplicate' };
    const timestamp = modulo32(packet.timestamp + source.timestampOffset);
    const bytes = writeRtp({
      marker: packet.marker,
      payloadType: packet.payloadType,
      sequenceNumber: index % 2 ** 16,
      timestamp,
      ssrc: this.ssrc,
      payload: packet.payload,
    });
    const media: MediaPacket = { ssrc: this.ssrc, index, bytes };
    this.history.insert(media, now);
    if (isKeyframeStart(packet.payloadType, packet.payload)) {
      this.keyframes.satisfied();
      source.missing.keyframeAt(extended);
    }
    if (index >= this.#nextIndex || nearestToZero(timestamp - this.#timestamp, 2 ** 32) > 0) {
      this.#timestamp = timestamp;
      this.#timestampAt = now;
    }
    this.#nextIndex = Math.max(this.#nextIndex, index + 1);
    this.#activeAt = now;
    this.#sourceSince ??= now;
    this.#packets++;
    this.#octets += packet.payload.length;
    this.#rate.add(now);
    return { kind: 'packet', media, recovered };
  }

  /** Why the room does not change to the packet's source, or not yet; `undefined` where it does. */
  #refuseSource(packet: RtpFields, now: Millis): RouterDrop | undefined {
    // Unless the source has fallen silent: then it was a packet of the past, held back on its way, that has retired the one of now.
    if (this.#retired.includes(packet.ssrc) && this.isActive(now, CANDIDATE_SILENCE_MS))
      return 'retiredSource';
    if (this.#candidate?.ssrc !== packet.ssrc) {
      if (this.#candidate !== undefined && now - this.#candidate.seenAt <= CANDIDATE_SILENCE_MS)
        return 'surplusSource';
      this.#candidate = { ssrc: packet.ssrc, seenAt: now };
      if (this.kind === 'video') this.keyframes.request(now);
    }
    this.#candidate.seenAt = now;
    const startsHere =
      this.kind === 'audio' ? packet.payload.length > 0 : isKeyframeStart(packet.payloadType, packet.payload);
    return startsHere ? undefined : 'awaitingKeyframe';
  }

  #switchTo(packet: RtpFields, now: Millis): RouteResult {
    this.#retired = this.#retired.filter((ssrc) => ssrc !== packet.ssrc);
    if (this.#source !== undefined) this.#retired = [...this.#retired, this.#source.ssrc].slice(-MAX_RETIRED);
    const elapsed = Math.min(MAX_SUCCESSION_MS, Math.max(MIN_SUCCESSION_MS, now - this.#timestampAt));
    const timestamp = modulo32(this.#timestamp + this.#ticks(elapsed));
    const source = Source.startingAt(this.kind, packet, this.#nextIndex, timestamp);
    this.#settleLosses();
    this.#source = source;
    this.#sourceSince = undefined;
    this.#generation++;
    this.#candidate = undefined;
    return this.#continue(source, packet, now);
  }

  /** The source ends: what it has lost stays lost. */
  #settleLosses(): void {
    this.#ended.lost += this.#source?.reception.lost ?? 0;
    this.#ended.unrepaired += this.#source?.missing.lost ?? 0;
  }

  #ticks(span: Millis): number {
    return Math.round((span * this.clockRate) / 1000);
  }
}

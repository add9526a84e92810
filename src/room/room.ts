import { parseRtp, type RtpPacket } from '../rtp/packet.ts';
import { parseRtcp, type RtcpPacket } from '../rtp/rtcp.ts';
import { type ReportBlock, type SenderReport, wallFromNtp } from '../rtp/rtcp-reports.ts';
import { readUint16 } from '../util/bytes.ts';
import { earliest, type Millis, type WallMillis } from '../util/clock.ts';
import { Counters } from '../util/counters.ts';
import type { RandomSource } from '../util/rng.ts';
import { compoundToConsumers, compoundToProducer } from './compounds.ts';
import { CongestionFeedback, type SourceClass } from './congestion.ts';
import { Consumer } from './consumer.ts';
import type { HistoryEntry } from './history.ts';
import { classifyIngress } from './ingress.ts';
import { EXTENSION_ID, type MediaKind } from './media.ts';
import { newStream } from './new-stream.ts';
import { Outbox, type RoomOutput } from './outbox.ts';
import { ProducerClock, roundTripTime } from './reports.ts';
import { type RouteResult, type RouterDrop, StreamRouter } from './router.ts';
import type { RoomState } from './state.ts';
import { type ViewerReportCounts, ViewerReports } from './viewer-reports.ts';

export type { RoomOutput } from './outbox.ts';

/** How much of the near future `capture` reserves indices for, unless told otherwise. */
export const DEFAULT_RESERVE_MS = 250;

export type RoomDrop =
  | RouterDrop
  | 'notTheProducer'
  | 'malformedRtp'
  | 'unknownPayloadType'
  | 'malformedRtcp'
  | 'unknownConsumer'
  /** A packet asked for again that history no longer holds, or that has not arrived yet. */
  | 'notInHistory'
  /** Asked for again too soon or too often. */
  | 'retransmissionRefused'
  /** Asked for by a viewer on a context from an earlier process, which gets no retransmissions. */
  | 'notFresh'
  | 'outboxFull';

export interface RoomStats {
  readonly packetsIn: number;
  readonly packetsOut: number;
  /** Packets of the sources that did not come by themselves, and those given up. */
  readonly lost: number;
  readonly unrepaired: number;
  readonly recovered: number;
  readonly retransmitted: number;
  readonly resent: number;
  readonly keyframeRequests: number;
  readonly nacked: number;
  readonly historyBytes: number;
  readonly drops: Record<string, number>;
}

const REPORT_INTERVAL_MS = 1000;
/** Media that pauses for longer does not flow. */
const FLOWING_SPAN_MS = 1000;
const FIRST_REPORT_MS = 500;
/** What has left so long before a re-key offer may come behind it: media and signaling wait in different queues, and take different ways. */
const REKEY_OVERLAP_MS = 200;
/** What one viewer is sent again behind a re-key, at most. */
const MAX_RESENT = 512;
/** Keeps a NACK below an MTU even where no two numbers are near each other. */
const MAX_NACKED_AT_ONCE = 250;

/**
 * One broadcaster, many viewers. Takes decrypted packets and `now`; drained with {@link pollOutput} after every call.
 *
 *   producer ── RTP ──▶ router (one a stream) ──▶ history ──▶ broadcast
 *            ◀── RR, NACK, PLI, transport feedback
 *   consumer ── NACK ──▶ history ──▶ RTX      PLI, FIR ──▶ keyframe request      re-key ──▶ resend from history
 *            ◀── SR
 */
export class Room {
  readonly #rng: RandomSource;
  /** Wall-clock time at monotonic zero: the engine sees no steps of the wall clock while it lives. */
  readonly #wallAtZero: WallMillis;
  readonly #audio: StreamRouter;
  readonly #video: StreamRouter;
  readonly #routers: readonly StreamRouter[];
  readonly #consumers = new Map<string, Consumer>();
  readonly #outbox: Outbox;
  readonly #congestion = new CongestionFeedback();
  readonly #producerClock = new ProducerClock();
  readonly #viewerReports = new ViewerReports();
  readonly #drops = new Counters<RoomDrop>();
  #producer: string;
  #receiverReportAt: Millis | undefined;
  #senderReportAt: Millis | undefined;
  #packetsIn = 0;
  #recovered = 0;
  #retransmitted = 0;
  #resent = 0;
  #keyframeRequests = 0;
  #nacked = 0;

  constructor(options: { rng: RandomSource; now: Millis; wall: WallMillis; state?: RoomState }) {
    const { rng, now, wall, state } = options;
    this.#rng = rng;
    this.#wallAtZero = wall - now;
    this.#producer = state?.producer ?? '';
    const known = (kind: MediaKind) => state?.streams.find((stream) => stream.kind === kind);
    this.#audio = new StreamRouter(known('audio') ?? newStream('audio', rng, wall), now, wall);
    this.#video = new StreamRouter(known('video') ?? newStream('video', rng, wall), now, wall);
    this.#routers = [this.#audio, this.#video];
    this.#outbox = new Outbox(() => this.#drops.add('outboxFull'));
  }

  /** Id of the broadcaster's connection, `undefined` where there is none. */
  get producer(): string | undefined {
    return this.#producer === '' ? undefined : this.#producer;
  }

  /** The CNAME of both streams, as in their sender reports: the same in every process that continues them. */
  get cname(): string {
    return `rekeycast-${this.#audio.ssrc.toString(16)}-${this.#video.ssrc.toString(16)}`;
  }

  /** Changes the broadcaster. Viewers see the same streams go on; video waits for the new source's keyframe. */
  setProducer(id: string | undefined): void {
    if (id === this.producer) return;
    this.#producer = id ?? '';
    for (const router of this.#routers) router.endSource();
    this.#congestion.reset();
    this.#producerClock.reset();
  }

  /** A decrypted RTP packet from the producer; from anybody else it is dropped. */
  handleProducerRtp(id: string, packet: Uint8Array, now: Millis): void {
    if (id !== this.producer) {
      this.#drops.add('notTheProducer');
      return;
    }
    const parsed = parseRtp(packet);
    if (parsed === undefined) {
      this.#drops.add('malformedRtp');
      return;
    }
    const ingress = classifyIngress(parsed);
    if (ingress === undefined) {
      this.#drops.add('unknownPayloadType');
      return;
    }
    const { kind, retransmission, original } = ingress;
    this.#packetsIn++;
    this.#noteArrival(parsed, retransmission ? 'retransmission' : kind, now);
    const router = kind === 'audio' ? this.#audio : this.#video;
    const result = retransmission ? router.recover(original, parsed.ssrc, now) : router.route(parsed, now);
    this.#deliver(router, result);
    this.#receiverReportAt ??= now + FIRST_REPORT_MS;
    this.#senderReportAt ??= now;
    this.#requestRepairs(now);
  }

  /** A decrypted RTCP compound from the producer. */
  handleProducerRtcp(id: string, compound: Uint8Array, now: Millis): void {
    if (id !== this.producer) {
      this.#drops.add('notTheProducer');
      return;
    }
    const packets = parseRtcp(compound);
    if (packets === undefined) {
      this.#drops.add('malformedRtcp');
      return;
    }
    for (const packet of packets) if (packet.type === 'senderReport') this.#mapClock(packet, now);
  }

  /**
   * A viewer's connection. `resumed`: its contexts come from an earlier process; nothing below that process's limits and no
   * retransmission goes to it until {@link consumerKeyed}, which then sends what it has not had.
   */
  addConsumer(id: string, now: Millis, options?: { resumed: boolean }): void {
    const resumed = options?.resumed ?? false;
    this.#outbox.forget(id);
    this.#consumers.set(id, new Consumer(id, !resumed, this.#rng));
    if (resumed) return;
    this.requestKeyframe(now);
    this.#sendSenderReport(id, now);
  }

  /** The viewer has keys that no earlier process had: a new one joins, one that is here is sent again what the re-key has cost it. */
  consumerKeyed(id: string, now: Millis): void {
    const consumer = this.#consumers.get(id);
    if (consumer === undefined) this.addConsumer(id, now);
    else this.#resend(consumer, now);
  }

  removeConsumer(id: string): void {
    this.#consumers.delete(id);
    this.#outbox.forget(id);
  }

  /** A decrypted RTCP compound from a viewer. */
  handleConsumerRtcp(id: string, compound: Uint8Array, now: Millis): void {
    const consumer = this.#consumers.get(id);
    if (consumer === undefined) {
      this.#drops.add('unknownConsumer');
      return;
    }
    const packets = parseRtcp(compound);
    if (packets === undefined) {
      this.#drops.add('malformedRtcp');
      return;
    }
    for (const packet of packets) this.#handleConsumerPacket(consumer, packet, now);
    this.#requestRepairs(now);
  }

  /**
   * The viewer's re-key offer leaves now: what is sent from here on may reach it under keys it no longer has. `served`: it has those that were sent
   * under until now. Else all that history holds will be sent again: behind a restart, what may have gone out under keys of before.
   */
  consumerRekeyStarted(id: string, served: boolean, now: Millis): void {
    const consumer = this.#consumers.get(id);
    if (consumer === undefined || !(consumer.fresh || served)) return;
    consumer.marks ??= new Map(
      this.#routers.map(({ ssrc, history, nextIndex }) => [
        ssrc,
        history.firstSince(now - REKEY_OVERLAP_MS, now) ?? nextIndex,
      ]),
    );
  }

  /** The broadcaster has fresh keys: what was lost meanwhile is asked for at once, before its next packet shows what that is. */
  producerRekeyed(now: Millis): void {
    this.#video.rekeyed(now);
    this.#requestRepairs(now);
  }

  /** Asks the broadcaster for a keyframe, soon and not too often. */
  requestKeyframe(now: Millis): void {
    this.#video.keyframes.request(now);
    this.#requestRepairs(now);
  }

  /** A state that {@link capture} gave has been written: the indices below its limits may be used. */
  granted(limits: RoomState): void {
    this.#outbox.granted(limits, this.#routers);
  }

  handleTimeout(now: Millis): void {
    if (isDue(this.#receiverReportAt, now)) this.#sendReceiverReport(now);
    if (isDue(this.#senderReportAt, now)) {
      this.#sendSenderReport(undefined, now);
      this.#senderReportAt = this.#isActive(now) ? now + REPORT_INTERVAL_MS : undefined;
      for (const router of this.#routers) router.history.prune(now);
    }
    for (const report of this.#congestion.take(now)) {
      this.#toProducer({ ...report, sender: this.#video.ssrc });
    }
    this.#requestRepairs(now);
  }

  nextTimeout(): Millis | undefined {
    const { source, keyframes, keyframeTargets } = this.#video;
    return earliest(
      this.#receiverReportAt,
      this.#senderReportAt,
      this.#congestion.nextTimeout(),
      source?.missing.nextTimeout(),
      keyframeTargets.length === 0 ? undefined : keyframes.nextTimeout(),
    );
  }

  pollOutput(): RoomOutput | undefined {
    return this.#outbox.poll();
  }

  /** What another process needs to go on, with room for what is sent until the next capture. */
  capture(reserve: Millis = DEFAULT_RESERVE_MS): RoomState {
    return {
      producer: this.#producer,
      streams: this.#routers.map((router) => router.capture(reserve, this.#wallAtZero)),
    };
  }

  get stats(): RoomStats {
    const sum = (of: (router: StreamRouter) => number) =>
      this.#routers.reduce((total, router) => total + of(router), 0);
    return {
      packetsIn: this.#packetsIn,
      packetsOut: sum((router) => router.packets),
      lost: sum((router) => router.lost),
      unrepaired: sum((router) => router.unrepaired),
      recovered: this.#recovered,
      retransmitted: this.#retransmitted,
      resent: this.#resent,
      keyframeRequests: this.#keyframeRequests,
      nacked: this.#nacked,
      historyBytes: sum((router) => router.history.bytes),
      drops: this.#drops.toJSON(),
    };
  }

  /** What viewers have reported. */
  get viewerReports(): ViewerReportCounts {
    return this.#viewerReports.capture();
  }

  #wall(now: Millis): WallMillis {
    return this.#wallAtZero + now;
  }

  /** Whether the producer's media arrives at this time. */
  isFlowing(now: Millis): boolean {
    return this.#routers.some((router) => router.isActive(now, FLOWING_SPAN_MS));
  }

  #isActive(now: Millis): boolean {
    return this.producer !== undefined && this.#routers.some((router) => router.isActive(now));
  }

  #noteArrival(packet: RtpPacket, source: SourceClass, now: Millis): void {
    const number = packet.extension(EXTENSION_ID.transportSequence);
    if (number?.length !== 2) return;
    this.#congestion.arrived(source, packet.ssrc, readUint16(number, 0), now, this.#wall(now));
  }

  #deliver(router: StreamRouter, result: RouteResult): void {
    if (result.kind === 'drop') {
      this.#drops.add(result.reason);
      return;
    }
    const { media } = result;
    if (result.recovered) this.#recovered++;
    if (media.index >= router.floor) {
      this.#outbox.media(router, { kind: 'broadcast', media });
      return;
    }
    // An earlier process may have used this index in the contexts that were resumed: fresh ones only.
    for (const consumer of this.#consumers.values()) {
      if (consumer.fresh) this.#outbox.media(router, { kind: 'send', consumer: consumer.id, media });
    }
  }

  #mapClock(report: SenderReport, now: Millis): void {
    for (const { source } of this.#routers) {
      if (source?.ssrc !== report.ssrc) continue;
      source.reception.senderReported(report.ntp, now);
      source.clock = { wall: wallFromNtp(report.ntp), timestamp: report.rtpTimestamp };
      this.#producerClock.observe(report.ntp, this.#wall(now));
    }
  }

  #handleConsumerPacket(consumer: Consumer, packet: RtcpPacket, now: Millis): void {
    switch (packet.type) {
      case 'nack':
        if (packet.media === this.#video.ssrc) this.#retransmit(consumer, packet.sequences, now);
        return;
      case 'pli':
        if (packet.media === this.#video.ssrc) this.#video.keyframes.request(now);
        return;
      case 'fir':
        for (const { ssrc, sequence } of packet.entries) {
          // RFC 5104 §4.3.1.2: the same number again is a repetition, not another command.
          if (ssrc !== this.#video.ssrc || sequence === consumer.lastFirSequence) continue;
          consumer.lastFirSequence = sequence;
          this.#video.keyframes.request(now);
        }
        return;
      case 'senderReport':
      case 'receiverReport':
        this.#noteRoundTrip(consumer, packet.reports, now);
    }
  }

  #noteRoundTrip(consumer: Consumer, reports: readonly ReportBlock[], now: Millis): void {
    for (const report of reports) {
      if (this.#routers.every((router) => router.ssrc !== report.ssrc)) continue;
      const roundTrip = roundTripTime(report, this.#wall(now));
      consumer.rtt = roundTrip ?? consumer.rtt;
      this.#viewerReports.note(report, roundTrip, consumer.reportsCountedAt, now);
    }
  }

  #retransmit(consumer: Consumer, sequences: readonly number[], now: Millis): void {
    if (!consumer.fresh) {
      this.#drops.add('notFresh');
      return;
    }
    for (const sequence of sequences) {
      const media = this.#video.history.bySequence(sequence, now);
      if (media === undefined || this.#outbox.holdsBroadcast(media)) {
        this.#drops.add('notInHistory');
        continue;
      }
      const again = consumer.retransmit(media, this.#video.rtxSsrc, now);
      if (again === undefined) {
        this.#drops.add('retransmissionRefused');
        continue;
      }
      this.#retransmitted++;
      this.#outbox.immediate({ kind: 'send', consumer: consumer.id, media: again });
    }
  }

  /** A new send context: what may have come under keys that the browser has no more, or has never had, is sent again. */
  #resend(consumer: Consumer, now: Millis): void {
    const { id, marks, fresh } = consumer;
    consumer.rekeyed();
    this.#outbox.forget(id);
    const packets = this.#routers
      .flatMap((router) => {
        const mark = marks?.get(router.ssrc) ?? 0;
        // Below the floor nothing could be sent under an earlier process's keys.
        const isOwed = ({ media }: HistoryEntry) =>
          media.index >= mark || (!fresh && media.index < router.floor);
        return router.history
          .from(fresh ? mark : 0, now)
          .filter(isOwed)
          .map((entry) => ({ ...entry, router }));
      })
      .filter(({ media }) => !this.#outbox.holdsBroadcast(media))
      .sort((a, b) => a.sentAt - b.sentAt);
    // The rest cannot be decoded without what is left out.
    if (packets.length > MAX_RESENT) this.requestKeyframe(now);
    for (const { media, router } of packets.slice(-MAX_RESENT)) {
      this.#outbox.media(router, { kind: 'send', consumer: id, media });
      this.#resent++;
    }
  }

  /** NACK and PLI as they are due: repair does not wait for the next timeout. */
  #requestRepairs(now: Millis): void {
    const { source, keyframes, keyframeTargets } = this.#video;
    if (this.producer === undefined) return;
    const { sequences, unrepaired } = source?.missing.take(now) ?? { sequences: [], unrepaired: false };
    for (let at = 0; at < sequences.length; at += MAX_NACKED_AT_ONCE) {
      const part = sequences.slice(at, at + MAX_NACKED_AT_ONCE);
      this.#nacked += part.length;
      this.#toProducer({ type: 'nack', sender: this.#video.ssrc, media: source?.ssrc ?? 0, sequences: part });
    }
    if (unrepaired) keyframes.request(now);
    if (keyframeTargets.length === 0 || !keyframes.take(now)) return;
    this.#keyframeRequests++;
    this.#toProducer(
      ...keyframeTargets.map((media) => ({ type: 'pli', sender: this.#video.ssrc, media }) as const),
    );
  }

  #sendReceiverReport(now: Millis): void {
    const active = this.#routers.filter((router) => router.isActive(now));
    const reports = active
      .map(({ source }) => source?.reception.report(source.ssrc, now))
      .filter((report) => report !== undefined);
    this.#receiverReportAt = this.#isActive(now) ? now + REPORT_INTERVAL_MS : undefined;
    if (reports.length > 0) this.#compound(reports, []);
  }

  #toProducer(...feedback: readonly RtcpPacket[]): void {
    this.#compound([], feedback);
  }

  #compound(reports: readonly ReportBlock[], feedback: readonly RtcpPacket[]): void {
    if (this.producer === undefined) return;
    const packet = compoundToProducer(this.#video.ssrc, this.cname, reports, feedback);
    this.#outbox.immediate({ kind: 'producerRtcp', producer: this.producer, packet });
  }

  #sendSenderReport(consumer: string | undefined, now: Millis): void {
    if (this.producer === undefined) return;
    const active = this.#routers.filter((router) => router.isActive(now));
    const packet = compoundToConsumers(active, this.cname, this.#producerClock, now, this.#wall(now));
    if (packet !== undefined) this.#outbox.immediate({ kind: 'consumerRtcp', consumer, packet });
  }
}

const isDue = (deadline: Millis | undefined, now: Millis): boolean =>
  deadline !== undefined && now >= deadline;

import { SequenceUnwrapper } from '../rtp/sequence.ts';
import {
  DELTA_TICK_MS,
  MAX_DELTA_TICKS,
  MAX_FEEDBACK_PACKETS,
  MIN_DELTA_TICKS,
  REFERENCE_TIME_MS,
  type TransportCongestion,
} from '../rtp/transport-congestion.ts';
import { earliest, type Millis, type WallMillis } from '../util/clock.ts';
import { nearestToZero } from '../util/modular.ts';

/** Feedback leaves this long after the first arrival it tells about. */
export const FEEDBACK_INTERVAL_MS = 50;
/** Arrivals are told again, when feedback reaches back to a late packet, for as many numbers as these. */
const MEMORY_PACKETS = 2 * MAX_FEEDBACK_PACKETS;
const TICKS_PER_REFERENCE = REFERENCE_TIME_MS / DELTA_TICK_MS;
/** A connection that is being replaced, and its replacement. */
const MAX_CONNECTIONS = 2;

/** What a packet is in its connection: each connection has one source of each. */
export type SourceClass = 'audio' | 'video' | 'retransmission';

export type CongestionReport = Omit<TransportCongestion, 'sender'>;

/**
 * Transport-wide feedback to the producer. The numbers count the packets of a connection; which connection a packet came on
 * is told from its SSRC: a new one belongs to the newest connection that has none of its class.
 */
export class CongestionFeedback {
  #connections: ConnectionFeedback[] = [];

  /** @param wall the time of arrival on the wall clock: a reference that goes on evenly across a restart. */
  arrived(source: SourceClass, ssrc: number, sequence: number, now: Millis, wall: WallMillis): void {
    this.#connectionOf(source, ssrc).arrived(sequence, now, wall);
  }

  take(now: Millis): readonly CongestionReport[] {
    return this.#connections.flatMap((connection) => connection.take(now));
  }

  nextTimeout(): Millis | undefined {
    return earliest(...this.#connections.map((connection) => connection.dueAt));
  }

  reset(): void {
    this.#connections = [];
  }

  #connectionOf(source: SourceClass, ssrc: number): ConnectionFeedback {
    const known = this.#connections.find((connection) => connection.sources.get(source) === ssrc);
    if (known !== undefined) return known;
    let newest = this.#connections.at(-1);
    if (newest === undefined || newest.sources.has(source)) {
      newest = new ConnectionFeedback();
      this.#connections = [...this.#connections, newest].slice(-MAX_CONNECTIONS);
    }
    newest.sources.set(source, ssrc);
    return newest;
  }
}

class ConnectionFeedback {
  readonly sources = new Map<SourceClass, number>();
  readonly #unwrapper = new SequenceUnwrapper();
  /** Arrival by extended number, in ticks of the wall clock. */
  readonly #arrivals = new Map<number, number>();
  /** The lowest number that the next feedback begins with. */
  #start: number | undefined;
  #count = 0;
  dueAt: Millis | undefined;

  arrived(sequence: number, now: Millis, wall: WallMillis): void {
    const extended = this.#unwrapper.unwrap(sequence);
    const highest = this.#unwrapper.highest ?? extended;
    if (extended <= highest - MEMORY_PACKETS || this.#arrivals.has(extended)) return;
    this.#arrivals.set(extended, Math.round(wall / DELTA_TICK_MS));
    this.#start = Math.min(this.#start ?? extended, extended);
    this.dueAt ??= now + FEEDBACK_INTERVAL_MS;
  }

  take(now: Millis): CongestionReport[] {
    const highest = this.#unwrapper.highest;
    if (this.dueAt === undefined || now < this.dueAt || this.#start === undefined || highest === undefined)
      return [];
    this.dueAt = undefined;
    const reports: CongestionReport[] = [];
    for (let at = Math.max(this.#start, highest - MEMORY_PACKETS + 1); at <= highest; ) {
      const report = this.#reportFrom(at, highest);
      reports.push(report);
      at += report.deltas.length;
    }
    this.#start = highest + 1;
    this.#forgetBefore(highest - MEMORY_PACKETS);
    return reports;
  }

  /** One feedback packet: as many numbers from the first on as fit, in count and in their deltas' range. */
  #reportFrom(first: number, highest: number): CongestionReport {
    const end = Math.min(highest + 1, first + MAX_FEEDBACK_PACKETS);
    const referenceTime = Math.floor((this.#firstArrival(first, highest) ?? 0) / TICKS_PER_REFERENCE);
    const deltas: (number | undefined)[] = [];
    let before = referenceTime * TICKS_PER_REFERENCE;
    for (let extended = first; extended < end; extended++) {
      const arrival = this.#arrivals.get(extended);
      const delta = arrival === undefined ? undefined : arrival - before;
      if (delta !== undefined && (delta < MIN_DELTA_TICKS || delta > MAX_DELTA_TICKS)) break;
      deltas.push(delta);
      before = arrival ?? before;
    }
    return {
      type: 'transportCongestion',
      media:
        this.sources.get('video') ?? this.sources.get('audio') ?? this.sources.get('retransmission') ?? 0,
      baseSequence: first & 0xffff,
      // On the wire it is a signed 24-bit number.
      referenceTime: nearestToZero(referenceTime, 2 ** 24),
      feedbackCount: this.#count++ & 0xff,
      deltas,
    };
  }

  #firstArrival(first: number, highest: number): number | undefined {
    for (let extended = first; extended <= highest; extended++) {
      const arrival = this.#arrivals.get(extended);
      if (arrival !== undefined) return arrival;
    }
    return undefined;
  }

  #forgetBefore(end: number): void {
    for (const extended of this.#arrivals.keys()) if (extended <= end) this.#arrivals.delete(extended);
  }
}

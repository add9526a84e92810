import { compactNtp, type NtpTime, ntpFromWall, type ReportBlock, wallFromNtp } from '../rtp/rtcp-reports.ts';
import type { Millis, WallMillis } from '../util/clock.ts';
import { modulo32, nearestToZero } from '../util/modular.ts';

/** What we say about a source to its sender (RFC 3550 §6.4.1, appendices A.3 and A.8). */
export class ReceptionStatistics {
  readonly #clockRate: number;
  #base: number | undefined;
  #highest = 0;
  #received = 0;
  #expectedBefore = 0;
  #receivedBefore = 0;
  #jitter = 0;
  #transit: number | undefined;
  #lastReport: { readonly compact: number; readonly at: Millis } | undefined;

  constructor(clockRate: number) {
    this.#clockRate = clockRate;
  }

  get received(): number {
    return this.#received;
  }

  /** Packets of the source that its own stream did not bring; what a retransmission brought counts as lost. */
  get lost(): number {
    return this.#base === undefined ? 0 : Math.max(0, this.#expected(this.#base) - this.#received);
  }

  update(extended: number, timestamp: number, now: Millis): void {
    if (this.#base === undefined) {
      this.#base = extended;
      this.#highest = extended;
    }
    this.#highest = Math.max(this.#highest, extended);
    this.#received++;
    const transit = (now * this.#clockRate) / 1000 - timestamp;
    if (this.#transit !== undefined) {
      // The timestamp wraps: its difference is taken modulo 2^32, nearest to zero.
      const difference = Math.abs(nearestToZero(transit - this.#transit, 2 ** 32));
      this.#jitter += (difference - this.#jitter) / 16;
    }
    this.#transit = transit;
  }

  senderReported(ntp: NtpTime, now: Millis): void {
    this.#lastReport = { compact: compactNtp(ntp), at: now };
  }

  /** `undefined` before the first packet. */
  report(ssrc: number, now: Millis): ReportBlock | undefined {
    if (this.#base === undefined) return undefined;
    const expected = this.#expected(this.#base);
    const expectedInterval = expected - this.#expectedBefore;
    const lostInterval = expectedInterval - (this.#received - this.#receivedBefore);
    this.#expectedBefore = expected;
    this.#receivedBefore = this.#received;
    const last = this.#lastReport;
    return {
      ssrc,
      fractionLost:
        lostInterval <= 0 ? 0 : Math.min(255, Math.floor((lostInterval * 256) / expectedInterval)),
      lost: Math.max(-(2 ** 23), Math.min(2 ** 23 - 1, expected - this.#received)),
      highestSequence: modulo32(this.#highest),
      jitter: Math.min(2 ** 32 - 1, Math.floor(this.#jitter)),
      lastReport: last?.compact ?? 0,
      delaySinceLastReport:
        last === undefined ? 0 : Math.min(2 ** 32 - 1, Math.round(((now - last.at) * 65536) / 1000)),
    };
  }

  #expected(base: number): number {
    return this.#highest - base + 1;
  }
}

/** The pair of clocks in a source's sender report (RFC 3550 §6.4.1). */
export interface ClockMapping {
  readonly wall: WallMillis;
  readonly timestamp: number;
}

/** A jump of the producer's clock beyond this moves our idea of it; less is jitter of the network. */
const CLOCK_STEP_MS = 1000;

/**
 * How the producer's wall clock stands to ours. One difference serves all streams: what the viewer aligns (lip sync) are the
 * streams to each other.
 */
export class ProducerClock {
  #offset: Millis | undefined;

  observe(ntp: NtpTime, ours: WallMillis): void {
    const offset = ours - wallFromNtp(ntp);
    if (this.#offset === undefined || Math.abs(offset - this.#offset) > CLOCK_STEP_MS) this.#offset = offset;
  }

  reset(): void {
    this.#offset = undefined;
  }

  /** The source's timestamp at a moment of our clock; `undefined` until the producer's clock is known. */
  timestampAt(mapping: ClockMapping, ours: WallMillis, clockRate: number): number | undefined {
    if (this.#offset === undefined) return undefined;
    const elapsed = ours - this.#offset - mapping.wall;
    return modulo32(mapping.timestamp + Math.round((elapsed * clockRate) / 1000));
  }
}

/** Round-trip time from a report on one of our streams (RFC 3550 §6.4.1), or `undefined` where it tells none. */
export function roundTripTime(report: ReportBlock, ours: WallMillis): Millis | undefined {
  if (report.lastReport === 0) return undefined;
  const arrival = compactNtp(ntpFromWall(ours));
  const units = nearestToZero(arrival - report.lastReport - report.delaySinceLastReport, 2 ** 32);
  return units < 0 || units > 10 * 65536 ? undefined : (units * 1000) / 65536;
}

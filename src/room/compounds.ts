import { type RtcpPacket, writeRtcp } from '../rtp/rtcp.ts';
import { ntpFromWall, type ReportBlock } from '../rtp/rtcp-reports.ts';
import type { Millis, WallMillis } from '../util/clock.ts';
import { modulo32 } from '../util/modular.ts';
import type { ProducerClock } from './reports.ts';
import type { StreamRouter } from './router.ts';

/** A producer that has not reported on all its streams by now never will: browsers take 5 s at most. */
const ALIGNMENT_WAIT_MS = 6000;

/** RFC 3550 §6.1: a compound starts with a report and has a CNAME. */
export function compoundToProducer(
  ssrc: number,
  cname: string,
  reports: readonly ReportBlock[],
  feedback: readonly RtcpPacket[],
): Uint8Array {
  return writeRtcp([{ type: 'receiverReport', ssrc, reports }, describe([ssrc], cname), ...feedback]);
}

/**
 * The sender reports of the active streams: by the producer's clock, once it has reported on them all. `undefined` where no
 * stream is active, or where a guess would tear sound and picture apart that the viewer has aligned.
 */
export function compoundToConsumers(
  active: readonly StreamRouter[],
  cname: string,
  clock: ProducerClock,
  now: Millis,
  wall: WallMillis,
): Uint8Array | undefined {
  const aligned = active.every(({ source }) => source?.clock !== undefined);
  const guessing = !aligned && active.some((router) => now - router.sourceSince < ALIGNMENT_WAIT_MS);
  if (active.length === 0 || guessing) return undefined;
  const reports = active.map((router) => ({
    type: 'senderReport' as const,
    ssrc: router.ssrc,
    ntp: ntpFromWall(wall),
    rtpTimestamp: router.timestampAt(now, wall, aligned ? clock : undefined),
    packets: modulo32(router.packets),
    octets: modulo32(router.octets),
    reports: [],
  }));
  const ssrcs = active.map((router) => router.ssrc);
  return writeRtcp([...reports, describe(ssrcs, cname)]);
}

const describe = (ssrcs: readonly number[], cname: string): RtcpPacket => ({
  type: 'sourceDescription',
  chunks: ssrcs.map((ssrc) => ({ ssrc, cname })),
});

import { ByteReader, ByteWriter, decodeUtf8, paddingTo4, utf8 } from '../util/bytes.ts';
import type { WallMillis } from '../util/clock.ts';

/** RFC 3550 §6.4 to §6.6. */
export type ReportPacket = SenderReport | ReceiverReport | SourceDescription | Bye;

/** RFC 3550 §6.4.1. */
export interface SenderReport {
  readonly type: 'senderReport';
  readonly ssrc: number;
  readonly ntp: NtpTime;
  readonly rtpTimestamp: number;
  readonly packets: number;
  readonly octets: number;
  readonly reports: readonly ReportBlock[];
}

/** RFC 3550 §6.4.2. */
export interface ReceiverReport {
  readonly type: 'receiverReport';
  readonly ssrc: number;
  readonly reports: readonly ReportBlock[];
}

export interface ReportBlock {
  /** The source that this block reports on. */
  readonly ssrc: number;
  /** Loss since the last report, in 1/256. */
  readonly fractionLost: number;
  /** Packets lost since the beginning, a signed 24-bit number: duplicates make it negative. */
  readonly lost: number;
  readonly highestSequence: number;
  /** In units of the timestamp. */
  readonly jitter: number;
  /** The middle 32 bits of the last sender report's NTP time; 0 where there was none. */
  readonly lastReport: number;
  /** Time since that report, in 1/65536 s. */
  readonly delaySinceLastReport: number;
}

/** RFC 3550 §6.5, of its items the CNAME only. */
export interface SourceDescription {
  readonly type: 'sourceDescription';
  readonly chunks: readonly { readonly ssrc: number; readonly cname: string | undefined }[];
}

/** RFC 3550 §6.6. */
export interface Bye {
  readonly type: 'bye';
  readonly ssrcs: readonly number[];
}

/** Seconds since 1900 and their fraction in 1/2^32 (RFC 3550 §4). */
export interface NtpTime {
  readonly seconds: number;
  readonly fraction: number;
}

const MAX_REPORT_BLOCKS = 31;

const NTP_EPOCH_SECONDS = 2_208_988_800;
const REPORT_BLOCK_BYTES = 24;
const SDES_CNAME = 1;

export function ntpFromWall(wall: WallMillis): NtpTime {
  const wholeSeconds = Math.floor(wall / 1000);
  return {
    seconds: (wholeSeconds + NTP_EPOCH_SECONDS) % 2 ** 32,
    fraction: Math.floor(((wall - wholeSeconds * 1000) / 1000) * 2 ** 32),
  };
}

/** Good for the era that began in 1900, up to 2036. */
export function wallFromNtp(ntp: NtpTime): WallMillis {
  return (ntp.seconds - NTP_EPOCH_SECONDS) * 1000 + (ntp.fraction / 2 ** 32) * 1000;
}

/** The middle 32 bits, as LSR carries them (RFC 3550 §6.4.1). */
export const compactNtp = (ntp: NtpTime): number =>
  (ntp.seconds % 2 ** 16) * 2 ** 16 + Math.floor(ntp.fraction / 2 ** 16);

export function parseSenderReport(count: number, body: Uint8Array): SenderReport | undefined {
  const reader = new ByteReader(body);
  const ssrc = reader.u32();
  const ntp = { seconds: reader.u32(), fraction: reader.u32() };
  const rtpTimestamp = reader.u32();
  const packets = reader.u32();
  const octets = reader.u32();
  const reports = parseReportBlocks(count, reader);
  return reader.failed
    ? undefined
    : { type: 'senderReport', ssrc, ntp, rtpTimestamp, packets, octets, reports };
}

export function parseReceiverReport(count: number, body: Uint8Array): ReceiverReport | undefined {
  const reader = new ByteReader(body);
  const ssrc = reader.u32();
  const reports = parseReportBlocks(count, reader);
  return reader.failed ? undefined : { type: 'receiverReport', ssrc, reports };
}

export function parseSourceDescription(count: number, body: Uint8Array): SourceDescription | undefined {
  const reader = new ByteReader(body);
  const chunks: { ssrc: number; cname: string | undefined }[] = [];
  for (let i = 0; i < count; i++) {
    const ssrc = reader.u32();
    let cname: string | undefined;
    for (let item = reader.u8(); item !== 0; item = reader.u8()) {
      const text = reader.vector(1);
      if (reader.failed) return undefined;
      if (item === SDES_CNAME) cname = decodeUtf8(text);
    }
    // RFC 3550 §6.5: a chunk ends with one or more null octets, up to the next 32-bit boundary.
    reader.bytes(paddingTo4(reader.offset));
    if (reader.failed) return undefined;
    chunks.push({ ssrc, cname });
  }
  return reader.complete ? { type: 'sourceDescription', chunks } : undefined;
}

export function parseBye(count: number, body: Uint8Array): Bye | undefined {
  const reader = new ByteReader(body);
  const ssrcs: number[] = [];
  for (let i = 0; i < count; i++) ssrcs.push(reader.u32());
  return reader.failed ? undefined : { type: 'bye', ssrcs };
}

export function writeReport(packet: ReportPacket): { count: number; body: Uint8Array } {
  const writer = new ByteWriter(64);
  switch (packet.type) {
    case 'senderReport':
      writer.u32(packet.ssrc).u32(packet.ntp.seconds).u32(packet.ntp.fraction);
      writer.u32(packet.rtpTimestamp).u32(packet.packets).u32(packet.octets);
      writeReportBlocks(writer, packet.reports);
      return { count: packet.reports.length, body: writer.finish() };
    case 'receiverReport':
      writer.u32(packet.ssrc);
      writeReportBlocks(writer, packet.reports);
      return { count: packet.reports.length, body: writer.finish() };
    case 'sourceDescription':
      for (const { ssrc, cname } of packet.chunks) {
        writer.u32(ssrc);
        if (cname !== undefined) writer.u8(SDES_CNAME).vector(1, utf8(cname));
        do writer.u8(0);
        while (writer.length % 4 !== 0);
      }
      return { count: packet.chunks.length, body: writer.finish() };
    case 'bye':
      for (const ssrc of packet.ssrcs) writer.u32(ssrc);
      return { count: packet.ssrcs.length, body: writer.finish() };
  }
}

/** What lies behind the blocks is a profile's extension (RFC 3550 §6.4.3) and not read. */
function parseReportBlocks(count: number, reader: ByteReader): readonly ReportBlock[] {
  const reports: ReportBlock[] = [];
  if (reader.remaining < count * REPORT_BLOCK_BYTES) reader.fail();
  for (let i = 0; i < count && !reader.failed; i++) {
    const ssrc = reader.u32();
    const fractionLost = reader.u8();
    const lost = reader.u24();
    reports.push({
      ssrc,
      fractionLost,
      lost: lost < 2 ** 23 ? lost : lost - 2 ** 24,
      highestSequence: reader.u32(),
      jitter: reader.u32(),
      lastReport: reader.u32(),
      delaySinceLastReport: reader.u32(),
    });
  }
  return reports;
}

function writeReportBlocks(writer: ByteWriter, reports: readonly ReportBlock[]): void {
  if (reports.length > MAX_REPORT_BLOCKS) throw new RangeError('too many report blocks');
  for (const report of reports) {
    writer.u32(report.ssrc).u8(report.fractionLost);
    writer.u24(report.lost < 0 ? report.lost + 2 ** 24 : report.lost);
    writer.u32(report.highestSequence).u32(report.jitter);
    writer.u32(report.lastReport).u32(report.delaySinceLastReport);
  }
}

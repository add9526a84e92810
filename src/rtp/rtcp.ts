import { ByteReader, ByteWriter, concat, paddingTo4 } from '../util/bytes.ts';
import {
  type FeedbackPacket,
  parsePayloadFeedback,
  parseTransportLayerFeedback,
  writeFeedback,
} from './rtcp-feedback.ts';
import {
  parseBye,
  parseReceiverReport,
  parseSenderReport,
  parseSourceDescription,
  type ReportPacket,
  writeReport,
} from './rtcp-reports.ts';

/** One packet of a compound (RFC 3550 §6.1). */
export type RtcpPacket = ReportPacket | FeedbackPacket | UnknownRtcp;

/** A packet of a type or format that is not known here, or one whose content does not decode. */
interface UnknownRtcp {
  readonly type: 'unknown';
  readonly packetType: number;
  /** The five bits behind the padding bit: a count or a format. */
  readonly count: number;
  readonly body: Uint8Array;
}

const RTCP_TYPE = {
  senderReport: 200,
  receiverReport: 201,
  sourceDescription: 202,
  bye: 203,
  transportFeedback: 205,
  payloadFeedback: 206,
} as const;

const HEADER_BYTES = 4;

/**
 * The packets of a compound, or of a reduced-size packet (RFC 5506 §3.4.1); `undefined` where the framing is broken.
 * What is framed well and means nothing here comes as `unknown`, so that it does not take its neighbours along.
 */
export function parseRtcp(bytes: Uint8Array): readonly RtcpPacket[] | undefined {
  const reader = new ByteReader(bytes);
  const packets: RtcpPacket[] = [];
  while (reader.remaining > 0) {
    const first = reader.u8();
    const packetType = reader.u8();
    const body = reader.bytes(reader.u16() * 4);
    if (reader.failed || first >> 6 !== 2) return undefined;
    const count = first & 0x1f;
    const content = (first & 0x20) === 0 ? body : withoutPadding(body, reader.remaining);
    if (content === undefined) return undefined;
    packets.push(
      parseBody(packetType, count, content) ?? { type: 'unknown', packetType, count, body: content },
    );
  }
  return packets.length === 0 ? undefined : packets;
}

/** Encodes the packets as one compound, in their order. Throws `RangeError` for an unknown one of no whole words that is not the last. */
export function writeRtcp(packets: readonly RtcpPacket[]): Uint8Array {
  return concat(...packets.map((packet, i) => writePacket(packet, i === packets.length - 1)));
}

function parseBody(packetType: number, count: number, body: Uint8Array): RtcpPacket | undefined {
  switch (packetType) {
    case RTCP_TYPE.senderReport:
      return parseSenderReport(count, body);
    case RTCP_TYPE.receiverReport:
      return parseReceiverReport(count, body);
    case RTCP_TYPE.sourceDescription:
      return parseSourceDescription(count, body);
    case RTCP_TYPE.bye:
      return parseBye(count, body);
    case RTCP_TYPE.transportFeedback:
      return parseTransportLayerFeedback(count, body);
    case RTCP_TYPE.payloadFeedback:
      return parsePayloadFeedback(count, body);
    default:
      return undefined;
  }
}

/** RFC 3550 §6.4.1: only the last packet of a compound is padded; the last byte counts the padding, itself included. */
function withoutPadding(body: Uint8Array, bytesBehind: number): Uint8Array | undefined {
  const padding = body.at(-1) ?? 0;
  if (bytesBehind > 0 || padding === 0 || padding > body.length) return undefined;
  return body.subarray(0, body.length - padding);
}

/** RFC 3550 §6.4.1: only the last packet of a compound is padded. Arrival feedback ends in zeroes of its own where it is not the last. */
function writePacket(packet: RtcpPacket, isLast: boolean): Uint8Array {
  const { packetType, count, body } = encodeBody(packet);
  const missing = paddingTo4(body.length);
  const padding = isLast ? missing : 0;
  if (missing > padding && packet.type !== 'transportCongestion')
    throw new RangeError('only the last packet of a compound may have a body of no whole words');
  const writer = new ByteWriter(HEADER_BYTES + body.length + missing)
    .u8(0x80 | (padding > 0 ? 0x20 : 0) | count)
    .u8(packetType)
    .u16((body.length + missing) / 4)
    .bytes(body);
  for (let left = missing; left > 0; left--) writer.u8(left === 1 ? padding : 0);
  return writer.finish();
}

function encodeBody(packet: RtcpPacket): { packetType: number; count: number; body: Uint8Array } {
  switch (packet.type) {
    case 'unknown':
      return packet;
    case 'senderReport':
    case 'receiverReport':
    case 'sourceDescription':
    case 'bye':
      return { packetType: RTCP_TYPE[packet.type], ...writeReport(packet) };
    case 'nack':
    case 'transportCongestion': {
      return { packetType: RTCP_TYPE.transportFeedback, ...writeFeedback(packet) };
    }
    case 'pli':
    case 'fir':
    case 'remb':
      return { packetType: RTCP_TYPE.payloadFeedback, ...writeFeedback(packet) };
  }
}

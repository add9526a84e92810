import type { RtpFields, RtpPacket } from '../rtp/packet.ts';
import { readUint16 } from '../util/bytes.ts';
import { kindOf, type MediaKind, originalOf } from './media.ts';

/** What a packet of the producer is: of which stream, and the packet it brings again where it is a retransmission. */
export interface Ingress {
  readonly kind: MediaKind;
  readonly retransmission: boolean;
  /** `undefined` for a retransmission of nothing: a probe that is padding only. */
  readonly original: RtpFields | undefined;
}

/** `undefined` for a payload type that was not offered. */
export function classifyIngress(packet: RtpPacket): Ingress | undefined {
  const kind = kindOf(packet.payloadType);
  if (kind === undefined) return undefined;
  const original = originalOf(packet.payloadType);
  return original === undefined
    ? { kind, retransmission: false, original: packet }
    : { kind, retransmission: true, original: unwrapRetransmission(packet, original) };
}

/** RFC 4588 §4: the first two bytes of the payload are the original sequence number. */
function unwrapRetransmission(packet: RtpPacket, payloadType: number): RtpFields | undefined {
  if (packet.payload.length < 2) return undefined;
  return {
    marker: packet.marker,
    payloadType,
    sequenceNumber: readUint16(packet.payload, 0),
    timestamp: packet.timestamp,
    ssrc: packet.ssrc,
    payload: packet.payload.subarray(2),
  };
}

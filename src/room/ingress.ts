import type { RtpFields, RtpPacket } from '../rtp/packet.ts';
import { readUint16 } from '../util/bytes.ts';
import { type MediaKind, PAYLOAD_TYPE } from './media.ts';

/** What a packet of the producer is: of which stream, and the packet it brings again where it is a retransmission. */
export interface Ingress {
  readonly kind: MediaKind;
  readonly retransmission: boolean;
  /** `undefined` for a retransmission of nothing: a probe that is padding only. */
  readonly original: RtpFields | undefined;
}

const PAYLOAD: ReadonlyMap<number, { kind: MediaKind; original?: number }> = new Map([
  [PAYLOAD_TYPE.vp8, { kind: 'video' }],
  [PAYLOAD_TYPE.h264, { kind: 'video' }],
  [PAYLOAD_TYPE.opus, { kind: 'audio' }],
  [PAYLOAD_TYPE.vp8Rtx, { kind: 'video', original: PAYLOAD_TYPE.vp8 }],
  [PAYLOAD_TYPE.h264Rtx, { kind: 'video', original: PAYLOAD_TYPE.h264 }],
]);

/** `undefined` for a payload type that was not offered. */
export function classifyIngress(packet: RtpPacket): Ingress | undefined {
  const payload = PAYLOAD.get(packet.payloadType);
  if (payload === undefined) return undefined;
  const { kind, original } = payload;
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

import { readUint16, readUint32 } from '../util/bytes.ts';

/** Bytes of an RTP header without contributing sources and extension (RFC 3550 §5.1). */
export const RTP_FIXED_HEADER_BYTES = 12;

const VERSION = 2;
/** The value that marks one-byte extension elements (RFC 8285 §4.2). */
const ONE_BYTE_EXTENSIONS = 0xbede;
/** The upper 12 bits that mark two-byte extension elements; the lower four are application bits (RFC 8285 §4.3). */
const TWO_BYTE_EXTENSIONS = 0x1000;

export interface RtpFields {
  readonly marker: boolean;
  readonly payloadType: number;
  readonly sequenceNumber: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payload: Uint8Array;
}

/** A view of an RTP packet: nothing is copied, so it is valid as long as the bytes are. */
export interface RtpPacket extends RtpFields {
  readonly bytes: Uint8Array;
  readonly headerLength: number;
  readonly paddingLength: number;
  /** The value of a header extension element (RFC 8285), of either form. */
  extension(id: number): Uint8Array | undefined;
}

/** `undefined` where the bytes are not a whole RTP packet. */
export function parseRtp(bytes: Uint8Array): RtpPacket | undefined {
  const headerLength = rtpHeaderLength(bytes);
  if (headerLength === undefined) return undefined;
  const paddingLength = (bytes[0]! & 0x20) === 0 ? 0 : bytes[bytes.length - 1]!;
  // RFC 3550 §5.1: the padding count includes itself, so it is never zero.
  if ((bytes[0]! & 0x20) !== 0 && paddingLength === 0) return undefined;
  if (headerLength + paddingLength > bytes.length) return undefined;
  return {
    bytes,
    headerLength,
    paddingLength,
    marker: (bytes[1]! & 0x80) !== 0,
    payloadType: bytes[1]! & 0x7f,
    sequenceNumber: readUint16(bytes, 2),
    timestamp: readUint32(bytes, 4),
    ssrc: readUint32(bytes, 8),
    payload: bytes.subarray(headerLength, bytes.length - paddingLength),
    extension: (id) => findExtension(bytes, headerLength, id),
  };
}

/**
 * Length of the header with contributing sources and extension, or `undefined` where the bytes do not hold a whole one. Looks at
 * nothing that SRTP encrypts.
 */
export function rtpHeaderLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < RTP_FIXED_HEADER_BYTES || bytes[0]! >> 6 !== VERSION) return undefined;
  let length = RTP_FIXED_HEADER_BYTES + (bytes[0]! & 0x0f) * 4;
  if ((bytes[0]! & 0x10) !== 0) {
    if (length + 4 > bytes.length) return undefined;
    length += 4 + readUint16(bytes, length + 2) * 4;
  }
  return length > bytes.length ? undefined : length;
}

/** A packet without contributing sources, header extension and padding. */
export function writeRtp(fields: RtpFields): Uint8Array {
  const bytes = new Uint8Array(RTP_FIXED_HEADER_BYTES + fields.payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION << 6);
  view.setUint8(1, (fields.marker ? 0x80 : 0) | (fields.payloadType & 0x7f));
  view.setUint16(2, fields.sequenceNumber);
  view.setUint32(4, fields.timestamp);
  view.setUint32(8, fields.ssrc);
  bytes.set(fields.payload, RTP_FIXED_HEADER_BYTES);
  return bytes;
}

function findExtension(bytes: Uint8Array, headerLength: number, id: number): Uint8Array | undefined {
  if ((bytes[0]! & 0x10) === 0) return undefined;
  const start = RTP_FIXED_HEADER_BYTES + (bytes[0]! & 0x0f) * 4;
  const form = readUint16(bytes, start);
  const elements = bytes.subarray(start + 4, headerLength);
  if (form === ONE_BYTE_EXTENSIONS) return findOneByteElement(elements, id);
  if ((form & 0xfff0) === TWO_BYTE_EXTENSIONS) return findTwoByteElement(elements, id);
  return undefined;
}

function findOneByteElement(elements: Uint8Array, id: number): Uint8Array | undefined {
  for (let at = 0; at < elements.length; ) {
    const elementId = elements[at]! >> 4;
    // RFC 8285 §4.2: id 0 with length 0 is a padding byte, id 15 ends the processing.
    if (elements[at] === 0) {
      at++;
      continue;
    }
    if (elementId === 15) return undefined;
    const end = at + 2 + (elements[at]! & 0x0f);
    if (end > elements.length) return undefined;
    if (elementId === id && id !== 0) return elements.subarray(at + 1, end);
    at = end;
  }
  return undefined;
}

function findTwoByteElement(elements: Uint8Array, id: number): Uint8Array | undefined {
  for (let at = 0; at < elements.length; ) {
    // RFC 8285 §4.3: id 0 is a padding byte without a length.
    if (elements[at] === 0) {
      at++;
      continue;
    }
    if (at + 2 > elements.length) return undefined;
    const end = at + 2 + elements[at + 1]!;
    if (end > elements.length) return undefined;
    if (elements[at] === id) return elements.subarray(at + 2, end);
    at = end;
  }
  return undefined;
}

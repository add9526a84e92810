import { ByteReader, ByteWriter } from '../../util/bytes.ts';

/** DTLSPlaintext content types (RFC 6347 §4.1, RFC 5246 §6.2.1). */
export const CONTENT_TYPE = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 } as const;

/** Versions on the wire (RFC 6347 §4.1: the one's complement of the TLS version). */
export const DTLS_1_0 = 0xfeff;
export const DTLS_1_2 = 0xfefd;

export const RECORD_HEADER_BYTES = 13;
/** RFC 6347 §4.1.1: a fragment is at most 2^14 bytes; protection adds at most 2048 (RFC 5246 §6.2.3). */
const MAX_FRAGMENT_BYTES = 2 ** 14 + 2048;

export interface DtlsRecord {
  readonly type: number;
  readonly version: number;
  readonly epoch: number;
  /** 48-bit record sequence number. */
  readonly sequence: number;
  readonly fragment: Uint8Array;
}

/**
 * The records of a datagram, in order. Yields `undefined` and ends where the rest of the datagram is no record: RFC 6347
 * §4.1.2.7 has invalid records discarded in silence.
 */
export function* decodeRecords(datagram: Uint8Array): Generator<DtlsRecord | undefined, void> {
  const reader = new ByteReader(datagram);
  while (reader.remaining > 0) {
    const type = reader.u8();
    const version = reader.u16();
    const epoch = reader.u16();
    const sequence = reader.u48();
    const fragment = reader.vector(2);
    const known = version === DTLS_1_2 || version === DTLS_1_0;
    if (reader.failed || !known || fragment.length > MAX_FRAGMENT_BYTES) {
      yield undefined;
      return;
    }
    yield { type, version, epoch, sequence, fragment };
  }
}

export function encodeRecord(record: DtlsRecord): Uint8Array {
  return new ByteWriter(RECORD_HEADER_BYTES + record.fragment.length)
    .u8(record.type)
    .u16(record.version)
    .u16(record.epoch)
    .u48(record.sequence)
    .vector(2, record.fragment)
    .finish();
}

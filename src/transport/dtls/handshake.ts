import { ByteReader, ByteWriter } from '../../util/bytes.ts';

/** Handshake message types (RFC 5246 §7.4, RFC 6347 §4.3.2). */
export const HANDSHAKE_TYPE = {
  helloRequest: 0,
  clientHello: 1,
  serverHello: 2,
  helloVerifyRequest: 3,
  certificate: 11,
  serverKeyExchange: 12,
  certificateRequest: 13,
  serverHelloDone: 14,
  certificateVerify: 15,
  clientKeyExchange: 16,
  finished: 20,
} as const;

export const HANDSHAKE_HEADER_BYTES = 12;

/** A whole handshake message. */
export interface HandshakeMessage {
  readonly type: number;
  /** message_seq (RFC 6347 §4.2.2). */
  readonly seq: number;
  readonly body: Uint8Array;
}

/** A part of a handshake message (RFC 6347 §4.2.3). */
export interface HandshakeFragment {
  readonly type: number;
  readonly seq: number;
  /** Of the whole message. */
  readonly length: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * The fragments in a handshake record: there may be several (RFC 6347 §4.2.3). Yields `undefined` and ends where the rest is
 * none, or claims to reach beyond its own message.
 */
export function* decodeFragments(record: Uint8Array): Generator<HandshakeFragment | undefined, void> {
  const reader = new ByteReader(record);
  do {
    const type = reader.u8();
    const length = reader.u24();
    const seq = reader.u16();
    const offset = reader.u24();
    const bytes = reader.vector(3);
    // RFC 5246 §6.2.1: a zero-length handshake fragment MUST NOT be sent; an empty message is its one fragment.
    const empty = bytes.length === 0 && length > 0;
    if (reader.failed || empty || offset + bytes.length > length) {
      yield undefined;
      return;
    }
    yield { type, seq, length, offset, bytes };
  } while (reader.remaining > 0);
}

export function encodeFragment(fragment: HandshakeFragment): Uint8Array {
  return new ByteWriter(HANDSHAKE_HEADER_BYTES + fragment.bytes.length)
    .u8(fragment.type)
    .u24(fragment.length)
    .u16(fragment.seq)
    .u24(fragment.offset)
    .vector(3, fragment.bytes)
    .finish();
}

/** A message as one fragment, which is also the form it has in the transcript (RFC 6347 §4.2.6). */
export function encodeMessage(message: HandshakeMessage): Uint8Array {
  const { type, seq, body } = message;
  return encodeFragment({ type, seq, length: body.length, offset: 0, bytes: body });
}

import { ByteReader } from '../../../util/bytes.ts';

/** The cookie of a HelloVerifyRequest (RFC 6347 §4.2.1). */
export function decodeHelloVerifyRequest(body: Uint8Array): Uint8Array | undefined {
  const reader = new ByteReader(body);
  // The version in here is not the one negotiated: clients MUST NOT draw conclusions from it (RFC 6347 §4.2.1).
  reader.u16();
  const cookie = reader.vector(1);
  return reader.complete ? cookie.slice() : undefined;
}

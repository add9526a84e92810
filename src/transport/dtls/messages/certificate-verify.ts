import { ByteWriter } from '../../../util/bytes.ts';

/** Proof that we hold the key of our certificate (RFC 5246 §7.4.8): a signature over the handshake so far. */
export function encodeCertificateVerify(scheme: number, signature: Uint8Array): Uint8Array {
  return new ByteWriter().u16(scheme).vector(2, signature).finish();
}

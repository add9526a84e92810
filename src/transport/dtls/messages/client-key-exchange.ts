import { ByteWriter } from '../../../util/bytes.ts';

/** Our ECDHE public key (RFC 8422 §5.7). */
export function encodeClientKeyExchange(publicKey: Uint8Array): Uint8Array {
  return new ByteWriter(1 + publicKey.length).vector(1, publicKey).finish();
}

import { ByteReader } from '../../../util/bytes.ts';

export const ECDSA_SIGN = 64;

export interface CertificateRequest {
  readonly certificateTypes: readonly number[];
  readonly schemes: readonly number[];
}

/** RFC 5246 §7.4.4. The names of authorities mean nothing to a self-signed certificate. */
export function decodeCertificateRequest(body: Uint8Array): CertificateRequest | undefined {
  const reader = new ByteReader(body);
  const certificateTypes = [...reader.vector(1)];
  const list = new ByteReader(reader.vector(2));
  const schemes: number[] = [];
  while (list.remaining > 0) schemes.push(list.u16());
  reader.vector(2);
  return reader.complete && list.complete ? { certificateTypes, schemes } : undefined;
}

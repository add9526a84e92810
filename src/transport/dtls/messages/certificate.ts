import { ByteReader, ByteWriter } from '../../../util/bytes.ts';

/** Browsers send the one self-signed certificate; a chain of more than this is not worth keeping. */
const MAX_CERTIFICATES = 8;

/** The certificates of a Certificate message, DER, leaf first (RFC 5246 §7.4.2). */
export function decodeCertificate(body: Uint8Array): readonly Uint8Array[] | undefined {
  const reader = new ByteReader(body);
  const list = new ByteReader(reader.vector(3));
  const chain: Uint8Array[] = [];
  while (list.remaining > 0) {
    const certificate = list.vector(3);
    if (list.failed || certificate.length === 0 || chain.length === MAX_CERTIFICATES) return undefined;
    chain.push(certificate.slice());
  }
  return reader.complete ? chain : undefined;
}

export function encodeCertificate(chain: readonly Uint8Array[]): Uint8Array {
  return new ByteWriter(1024)
    .nested(3, (list) => chain.forEach((certificate) => void list.vector(3, certificate)))
    .finish();
}

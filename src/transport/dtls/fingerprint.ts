import { createHash } from 'node:crypto';
import { equalConstantTime } from '../../util/bytes.ts';

/** A certificate fingerprint as SDP carries it (RFC 8122 §5): a digest over the DER of the certificate. */
export interface Fingerprint {
  readonly algorithm: 'sha-256' | 'sha-384' | 'sha-512';
  readonly digest: Uint8Array;
}

/** What each digest has in length. */
export const DIGEST_BYTES: Readonly<Record<Fingerprint['algorithm'], number>> = {
  'sha-256': 32,
  'sha-384': 48,
  'sha-512': 64,
};

/** The fingerprint of a certificate (X.509, DER) under this digest. */
export function fingerprintOf(certificate: Uint8Array, algorithm: Fingerprint['algorithm']): Fingerprint {
  return { algorithm, digest: new Uint8Array(digest(certificate, algorithm)) };
}

/**
 * Whether the certificate is one of those the peer announced. RFC 8122 §5: a certificate that matches none MUST be
 * refused, otherwise whoever sits on the path becomes the peer.
 */
export function matchesFingerprint(certificate: Uint8Array, accepted: readonly Fingerprint[]): boolean {
  let matched = false;
  for (const fingerprint of accepted) {
    if (equalConstantTime(digest(certificate, fingerprint.algorithm), fingerprint.digest)) matched = true;
  }
  return matched;
}

function digest(certificate: Uint8Array, algorithm: Fingerprint['algorithm']): Buffer {
  return createHash(algorithm.replace('-', '')).update(certificate).digest();
}

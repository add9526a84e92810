import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  type Fingerprint,
  fingerprintOf,
  matchesFingerprint,
} from '../../../../src/transport/dtls/fingerprint.ts';
import { utf8 } from '../../../../src/util/bytes.ts';

const certificate = utf8('any bytes');
const ALGORITHMS: readonly Fingerprint['algorithm'][] = ['sha-256', 'sha-384', 'sha-512'];

describe('a fingerprint', () => {
  it.each(ALGORITHMS)('is the %s digest of the certificate', (algorithm) => {
    const digest = createHash(algorithm.replace('-', '')).update(certificate).digest();
    expect(fingerprintOf(certificate, algorithm)).toEqual({ algorithm, digest: new Uint8Array(digest) });
  });

  it.each(ALGORITHMS)('matches its certificate and no other (%s)', (algorithm) => {
    const fingerprint = fingerprintOf(certificate, algorithm);
    expect(matchesFingerprint(certificate, [fingerprint])).toBe(true);
    expect(matchesFingerprint(utf8('other bytes'), [fingerprint])).toBe(false);
  });

  it('matches at any place among several', () => {
    const other = fingerprintOf(utf8('other bytes'), 'sha-256');
    const own = fingerprintOf(certificate, 'sha-512');
    expect(matchesFingerprint(certificate, [own, other])).toBe(true);
    expect(matchesFingerprint(certificate, [other, own])).toBe(true);
    expect(matchesFingerprint(certificate, [other])).toBe(false);
  });

  it('does not match when empty, cut short or under another algorithm', () => {
    const { digest } = fingerprintOf(certificate, 'sha-256');
    expect(matchesFingerprint(certificate, [])).toBe(false);
    expect(matchesFingerprint(certificate, [{ algorithm: 'sha-256', digest: new Uint8Array(0) }])).toBe(
      false,
    );
    expect(matchesFingerprint(certificate, [{ algorithm: 'sha-256', digest: digest.subarray(1) }])).toBe(
      false,
    );
    expect(matchesFingerprint(certificate, [{ algorithm: 'sha-512', digest }])).toBe(false);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CertificateDigest, CertificateWatch, fingerprintOf } from '../../../src/client/certificate.ts';

fc.configureGlobal({ seed: 8122 });

const digest = (
  algorithm: string,
  value: string,
  source: CertificateDigest['source'] = 'sdp',
): CertificateDigest => ({ algorithm, value, source });

describe('CertificateWatch', () => {
  it('knows nothing at first', () => {
    const watch = new CertificateWatch();
    expect(watch).toMatchObject({ verdict: 'unknown', sha256: '', source: undefined });
  });

  it('finds the first certificate again, and a different one changed', () => {
    const watch = new CertificateWatch();
    watch.observe(digest('sha-256', 'aa', 'transport'));
    expect(watch.verdict).toBe('same');
    watch.observe(digest('sha-256', 'aa', 'transport'));
    expect(watch).toMatchObject({ verdict: 'same', source: 'transport', sha256: 'aa' });
    watch.observe(digest('sha-256', 'bb', 'transport'));
    expect(watch).toMatchObject({ verdict: 'changed', sha256: 'bb' });
  });

  it('claims nothing about a digest under another hash function, until that comes again', () => {
    const watch = new CertificateWatch();
    watch.observe(digest('sha-256', 'aa'));
    watch.observe(digest('sha-512', 'cc'));
    expect(watch).toMatchObject({ verdict: 'unknown', sha256: 'aa' });
    watch.observe(digest('sha-256', 'aa'));
    expect(watch.verdict).toBe('same');
    watch.observe(digest('sha-512', 'dd'));
    expect(watch.verdict).toBe('changed');
  });
});

describe('fingerprintOf', () => {
  it('reads what a session description announces', () => {
    const sdp = 'v=0\r\na=fingerprint:sha-256 0A:ff:10\r\na=setup:active\r\n';
    expect(fingerprintOf(sdp)).toEqual(digest('sha-256', '0aff10'));
  });

  it('finds the bytes of any fingerprint', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2, maxLength: 64 }), (bytes) => {
        const pairs = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'));
        const sdp = `v=0\r\na=fingerprint:SHA-512 ${pairs.join(':').toUpperCase()}\r\n`;
        expect(fingerprintOf(sdp)).toEqual(digest('sha-512', pairs.join('')));
      }),
    );
  });

  it('returns undefined where there is none or it is malformed', () => {
    expect(fingerprintOf('v=0\r\n')).toBeUndefined();
    expect(fingerprintOf('a=fingerprint:sha-256 0A:F\r\n')).toBeUndefined();
    expect(fingerprintOf('a=fingerprint:sha-256 0A:FG:00\r\n')).toBeUndefined();
    expect(fingerprintOf('x=a=fingerprint:sha-256 0A:FF\r\n')).toBeUndefined();
  });
});

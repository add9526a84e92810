import { createPublicKey, sign, verify, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { createCertificate, signingKey } from '../../../src/server/certificate.ts';
import type { CertificateRecord } from '../../../src/snapshot/schema.ts';
import { seededRandom } from '../../support/seeded-rng.ts';

const NOW = Date.UTC(2026, 1, 3);
const DAY = 24 * 3_600_000;

let record: CertificateRecord;
beforeAll(async () => {
  record = await createCertificate(seededRandom(1), NOW);
});

describe('createCertificate', () => {
  it('makes a self-signed certificate for ECDSA on P-256', () => {
    const certificate = new X509Certificate(record.certificate);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.publicKey.asymmetricKeyType).toBe('ec');
    expect(certificate.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
    expect(certificate.subject).toBe('CN=rekeycast');
    expect(certificate.issuer).toBe(certificate.subject);
  });

  it('is good for ten years, and for clocks that are a day behind', () => {
    const certificate = new X509Certificate(record.certificate);
    expect(Date.parse(certificate.validFrom)).toBe(NOW - DAY);
    expect(new Date(certificate.validTo).getUTCFullYear()).toBe(2036);
    expect(record.createdAt).toBe(NOW);
  });

  it('keeps its key in a Secret, and the key is the one of the certificate', () => {
    const key = signingKey(record);
    const data = Buffer.from('data');
    const { publicKey } = new X509Certificate(record.certificate);
    expect(verify('sha256', data, publicKey, sign('sha256', data, key))).toBe(true);
    expect(createPublicKey(key).equals(publicKey)).toBe(true);
    expect(String(record.privateKey)).toMatch(/^Secret\(\d+ bytes\)$/);
  });

  it('makes another key and another serial number each time', async () => {
    const other = await createCertificate(seededRandom(2), NOW);
    expect(other.privateKey.bytes).not.toEqual(record.privateKey.bytes);
    const [a, b] = [record, other].map(({ certificate }) => new X509Certificate(certificate).serialNumber);
    expect(a).not.toBe(b);
    // RFC 5280 §4.1.2.2: positive, and at most 20 bytes.
    for (const serial of [a, b]) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });
});

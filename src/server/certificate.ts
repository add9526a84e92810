import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { CertificateRecord } from '../snapshot/schema.ts';
import type { DtlsIdentity } from '../transport/dtls/client.ts';
import { bufferOf, toHex } from '../util/bytes.ts';
import type { Millis, WallMillis } from '../util/clock.ts';
import { type RandomSource, randomBytes } from '../util/rng.ts';
import { Secret } from '../util/secret.ts';

const VALIDITY_YEARS = 10;

/**
 * Makes the self-signed certificate that is the server's identity: ECDSA on P-256, as RFC 8827 §6.5 requires every endpoint to support.
 * Its libraries are loaded only here: a server has one for years.
 */
export async function createCertificate(rng: RandomSource, now: WallMillis): Promise<CertificateRecord> {
  // @peculiar/x509 finds its parts by decorators and wants this in place first.
  await import('reflect-metadata');
  const [x509, { Crypto }] = await Promise.all([import('@peculiar/x509'), import('@peculiar/webcrypto')]);
  const crypto = new Crypto();
  x509.cryptoProvider.set(crypto);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const serial = randomBytes(rng, 16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const notAfter = new Date(now);
  notAfter.setFullYear(notAfter.getFullYear() + VALIDITY_YEARS);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: toHex(serial),
    name: 'CN=rekeycast',
    // A visitor's clock may be behind.
    notBefore: new Date(now - 24 * 3_600_000),
    notAfter,
    signingAlgorithm: algorithm,
    keys,
  });
  return {
    certificate: new Uint8Array(certificate.rawData),
    privateKey: Secret.take(new Uint8Array(await crypto.subtle.exportKey('pkcs8', keys.privateKey))),
    createdAt: now,
  };
}

/** Whether a certificate has to be replaced: it is as old as it may get, or past its own end, which no browser asks for and others might. */
export const isOutdated = (record: CertificateRecord, maxAge: Millis, now: WallMillis): boolean =>
  now - record.createdAt >= maxAge || now >= Date.parse(new X509Certificate(record.certificate).validTo);

/** The key as the handshake signs with it. */
export const signingKey = (record: CertificateRecord): KeyObject =>
  createPrivateKey({ key: bufferOf(record.privateKey.bytes), format: 'der', type: 'pkcs8' });

/** What a handshake shows, and signs with. */
export const dtlsIdentity = (record: CertificateRecord): DtlsIdentity => ({
  certificate: record.certificate,
  privateKey: signingKey(record),
});

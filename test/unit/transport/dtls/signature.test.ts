import { constants, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  isAcceptableKey,
  SIGNATURE_SCHEME,
  signEcdsaP256,
  verifySignature,
} from '../../../../src/transport/dtls/signature.ts';
import { flipped } from '../../../support/flipped.ts';

const data = Uint8Array.of(1, 2, 3);
const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const { ecdsaSecp256r1Sha256, rsaPkcs1Sha256, rsaPssRsaeSha256 } = SIGNATURE_SCHEME;

const pss = (saltLength: number): Buffer =>
  sign('sha256', data, { key: rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });

const cases = [
  {
    name: 'ECDSA',
    scheme: ecdsaSecp256r1Sha256,
    key: ec.publicKey,
    signature: signEcdsaP256(ec.privateKey, data),
  },
  {
    name: 'RSA PKCS #1',
    scheme: rsaPkcs1Sha256,
    key: rsa.publicKey,
    signature: sign('sha256', data, rsa.privateKey),
  },
  { name: 'RSA PSS', scheme: rsaPssRsaeSha256, key: rsa.publicKey, signature: pss(32) },
];

describe('a signature', () => {
  it.each(cases)('by $name verifies', ({ scheme, key, signature }) => {
    expect(verifySignature(scheme, key, data, signature)).toBe(true);
  });

  it.each(cases)('by $name fails over other data', ({ scheme, key, signature }) => {
    expect(verifySignature(scheme, key, Uint8Array.of(1, 2, 4), signature)).toBe(false);
  });

  it.each(cases)('by $name fails with a bit flipped, cut short or empty', ({ scheme, key, signature }) => {
    expect(verifySignature(scheme, key, data, flipped(signature))).toBe(false);
    expect(verifySignature(scheme, key, data, signature.subarray(1))).toBe(false);
    expect(verifySignature(scheme, key, data, new Uint8Array(0))).toBe(false);
  });

  it.each(cases)('by $name fails under every other scheme', ({ scheme, key, signature }) => {
    for (const other of [...Object.values(SIGNATURE_SCHEME), 0x0201, 0x0000]) {
      expect(verifySignature(other, key, data, signature)).toBe(other === scheme);
    }
  });

  it('by RSA PSS fails with a salt of another length', () => {
    expect(verifySignature(rsaPssRsaeSha256, rsa.publicKey, data, pss(20))).toBe(false);
  });
});

describe('a key', () => {
  it('is acceptable on P-256 and for RSA of 2048 bits', () => {
    expect(isAcceptableKey(ec.publicKey, 'ec')).toBe(true);
    expect(isAcceptableKey(rsa.publicKey, 'rsa')).toBe(true);
  });

  it('is not on another curve, of another type, or too small', () => {
    const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const ed25519 = generateKeyPairSync('ed25519');
    expect(isAcceptableKey(p384.publicKey, 'ec')).toBe(false);
    expect(isAcceptableKey(small.publicKey, 'rsa')).toBe(false);
    expect(isAcceptableKey(ed25519.publicKey, 'ec')).toBe(false);
    expect(isAcceptableKey(ec.publicKey, 'rsa')).toBe(false);
    expect(isAcceptableKey(rsa.publicKey, 'ec')).toBe(false);
  });

  it.each([
    ['1, by which every padded digest signs itself', 'AQ', false],
    ['2, which no RSA key has', 'Ag', false],
    ['3', 'Aw', true],
    ['65537', 'AQAB', true],
    ['2^33 - 1', 'Af____8', true],
    ['2^33 + 1, which takes its time', 'AgAAAAE', false],
  ])('with the RSA exponent %s is judged by it', (_, e, acceptable) => {
    const key = createPublicKey({ key: { ...rsa.publicKey.export({ format: 'jwk' }), e }, format: 'jwk' });
    expect(isAcceptableKey(key, 'rsa')).toBe(acceptable);
  });

  it('is not where its curve is written out, although it is P-256', () => {
    const explicit = generateKeyPairSync('ec', { namedCurve: 'prime256v1', paramEncoding: 'explicit' });
    expect(explicit.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(isAcceptableKey(explicit.publicKey, 'ec')).toBe(false);
  });
});

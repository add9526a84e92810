import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { beforeAll, expect, it } from 'vitest';
import { fingerprintOf } from '../../src/transport/dtls/fingerprint.ts';
import { concat, utf8 } from '../../src/util/bytes.ts';
import { certificateFor, longName } from '../support/der.ts';
import { type Outcome, run } from '../support/dtls-network.ts';
import {
  expectConnected,
  type Identities,
  makeIdentities,
  makePair,
  type Pair,
} from '../support/dtls-pair.ts';

const BAD_CERTIFICATE = 42;

const p256 = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const honest = certificateFor(p256.publicKey);

interface Keys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

let identities: Identities;
beforeAll(async () => {
  identities = await makeIdentities();
});

/** A server that shows this certificate, which was signalled, and signs with this key. */
function meet(certificate: Uint8Array, { privateKey }: Keys): { pair: Pair; outcome: Outcome } {
  const remoteFingerprints = [fingerprintOf(certificate, 'sha-256')];
  const serverIdentity = { certificate, privateKey };
  const pair = makePair(identities, { serverIdentity, options: { remoteFingerprints } });
  return { pair, outcome: run(pair.client, pair.server) };
}

function expectRefused(what: string, { pair, outcome }: ReturnType<typeof meet>): void {
  expect([what, outcome.failed, outcome.keys]).toEqual([what, 'bad-certificate', undefined]);
  expect([what, pair.server.alerts]).toEqual([what, [{ epoch: 0, description: BAD_CERTIFICATE }]]);
}

it('certificate-control: the same server with a good certificate and key of either kind is connected', () => {
  for (const [certificate, keys] of [
    [honest, p256],
    [certificateFor(rsa.publicKey), rsa],
    [certificateFor(p256.publicKey, longName(4_000)), p256],
  ] as const) {
    const { pair, outcome } = meet(certificate, keys);
    expectConnected(pair, outcome);
  }
});

it('certificate-bytes: a vouched-for certificate with bytes to spare, in PEM, cut short or in pieces is refused', () => {
  const pem = utf8(new X509Certificate(honest).toString());
  const cases: readonly (readonly [what: string, certificate: Uint8Array])[] = [
    ['a byte behind it', concat(honest, Uint8Array.of(0))],
    ['another certificate behind it', concat(honest, honest)],
    ['in PEM', pem],
    ['in PEM, behind other text', concat(utf8('anything\n'), pem)],
    ['cut short', honest.subarray(0, -1)],
    ['only the key', new Uint8Array(p256.publicKey.export({ type: 'spki', format: 'der' }))],
    ['a length that lies', concat(Uint8Array.of(0x30, 0x82, 0xff, 0xff), honest.subarray(4))],
    ['an indefinite length', concat(Uint8Array.of(0x30, 0x80), honest.subarray(3), Uint8Array.of(0, 0))],
    ['nested without end', new Uint8Array(2_000).fill(0x30)],
  ];
  for (const [what, certificate] of cases) expectRefused(what, meet(certificate, p256));
});

it('certificate-key: a vouched-for key of another type, curve, size or exponent is refused', () => {
  const jwk = rsa.publicKey.export({ format: 'jwk' });
  const withExponent = (e: string): Keys => ({
    publicKey: createPublicKey({ key: { ...jwk, e }, format: 'jwk' }),
    privateKey: rsa.privateKey,
  });
  const cases: readonly (readonly [what: string, keys: Keys])[] = [
    ['P-384', generateKeyPairSync('ec', { namedCurve: 'secp384r1' })],
    ['P-224', generateKeyPairSync('ec', { namedCurve: 'secp224r1' })],
    ['secp256k1', generateKeyPairSync('ec', { namedCurve: 'secp256k1' })],
    ['a binary curve', generateKeyPairSync('ec', { namedCurve: 'sect283k1' })],
    [
      'a curve written out',
      generateKeyPairSync('ec', { namedCurve: 'prime256v1', paramEncoding: 'explicit' }),
    ],
    ['RSA of 1024 bits', generateKeyPairSync('rsa', { modulusLength: 1024 })],
    ['RSA of 16384 bits', oversized(jwk)],
    ['RSA for PSS only', generateKeyPairSync('rsa-pss', { modulusLength: 2048 })],
    ['RSA with exponent 1', withExponent('AQ')],
    ['RSA with a huge exponent', withExponent(jwk.n!)],
  ];
  for (const [what, keys] of cases) expectRefused(what, meet(certificateFor(keys.publicKey), keys));
});

it('certificate-huge: a certificate that is too large to keep costs a bounded time and yields no keys', () => {
  const { outcome } = meet(certificateFor(p256.publicKey, longName(30_000)), p256);
  expect([outcome.failed, outcome.keys]).toEqual(['timeout', undefined]);
});

/** No such key is made, which would take minutes: the modulus is a large odd number. */
const oversized = (jwk: { readonly n?: string; readonly e?: string }): Keys => ({
  publicKey: createPublicKey({
    key: { kty: 'RSA', e: jwk.e!, n: Buffer.alloc(2048, 0xff).toString('base64url') },
    format: 'jwk',
  }),
  privateKey: rsa.privateKey,
});

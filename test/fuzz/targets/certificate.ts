import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cipherSuiteById } from '../../../src/transport/dtls/cipher-suite.ts';
import { fingerprintOf } from '../../../src/transport/dtls/fingerprint.ts';
import { encodeCertificate } from '../../../src/transport/dtls/messages/certificate.ts';
import { type ServerStep, takeServerMessage } from '../../../src/transport/dtls/server-flight.ts';
import { isAcceptableKey } from '../../../src/transport/dtls/signature.ts';
import { encodeEcdhParams, encodeServerKeyExchange } from '../../support/dtls-messages.ts';
import { mutateDer } from '../der.ts';
import type { FuzzTarget } from '../fuzz.ts';

/** Certificates of kinds that are taken and kinds that are not, made by OpenSSL. */
const DIRECTORY = join('test', 'fixtures', 'certificates');
const CERTIFICATE = 11;
const SERVER_KEY_EXCHANGE = 12;
const JUNK = new Uint8Array(64).fill(1);

export const certificate: FuzzTarget = {
  id: 'fuzz-certificate',
  claim:
    'a certificate that its peer has vouched for, whatever is in it, is refused or gives a key that a junk signature does not pass',
  inputs: 5_000,
  reaches: ['P-256', 'RSA', 'bad-certificate'],
  maxBytes: 8_192,
  seeds: () =>
    readdirSync(DIRECTORY)
      .sort()
      .map((name) => new Uint8Array(readFileSync(join(DIRECTORY, name)))),
  mutate: (input, random) => mutateDer(input, random),
  run: (input) => {
    if (input.length === 0) return 'empty';
    const [ec, rsa] = [judge(input, 0xc02b), judge(input, 0xc02f)];
    if (ec.at && rsa.at) throw new Error('a key of two kinds');
    if (ec.at) return 'P-256';
    return rsa.at ? 'RSA' : ec.why;
  },
};

/** Shows the certificate, with a right fingerprint, and signs a key share with junk. */
function judge(der: Uint8Array, suite: number): { readonly at: boolean; readonly why: string } {
  const expected = {
    clientRandom: new Uint8Array(32),
    remoteFingerprints: [fingerprintOf(der, 'sha-256')],
    srtpProfiles: [],
  };
  const chosen = {
    suite: cipherSuiteById(suite)!,
    srtpProfile: 'AES_CM_128_HMAC_SHA1_80' as const,
    serverRandom: new Uint8Array(32),
  };
  const first: ServerStep = { at: 'certificate', chosen };
  const body = encodeCertificate([der]);
  const verdict = takeServerMessage(first, { type: CERTIFICATE, seq: 1, body }, expected);
  if (verdict.kind !== 'step') return { at: false, why: verdict.reason };
  const { step } = verdict;
  if (step.at !== 'server-key-exchange' || !isAcceptableKey(step.key, chosen.suite.authentication))
    throw new Error('a key that is not acceptable was accepted');
  for (const scheme of [0x0403, 0x0804, 0x0401]) {
    const exchange = encodeServerKeyExchange(encodeEcdhParams(0x1d, JUNK.subarray(32)), scheme, JUNK);
    const next = takeServerMessage(step, { type: SERVER_KEY_EXCHANGE, seq: 2, body: exchange }, expected);
    if (next.kind !== 'failed' || next.reason !== 'bad-signature') throw new Error('a junk signature passes');
  }
  return { at: true, why: '' };
}

import { describe, expect, it } from 'vitest';
import { CIPHER_SUITES } from '../../../../src/transport/dtls/cipher-suite.ts';
import {
  exportSrtpKeys,
  extendedMasterSecret,
  prf,
  recordProtections,
  verifyData,
} from '../../../../src/transport/dtls/key-schedule.ts';
import { DTLS_1_2 } from '../../../../src/transport/dtls/record.ts';
import { RecordProtection } from '../../../../src/transport/dtls/record-protection.ts';
import { SRTP_PROFILES, type SrtpProfile } from '../../../../src/transport/srtp/profile.ts';
import { concat, fromHex, toHex } from '../../../../src/util/bytes.ts';
import { Secret } from '../../../../src/util/secret.ts';

/** https://www.ietf.org/mail-archive/web/tls/current/msg03416.html ("test label"). */
const VECTORS = [
  {
    hash: 'sha256',
    secret: '9bbe436ba940f017b17652849a71db35',
    seed: 'a0ba9f936cda311827a6f796ffd5198c',
    output:
      'e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af' +
      '0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701' +
      '87347b66',
  },
  {
    hash: 'sha384',
    secret: 'b80b733d6ceefcdc71566ea48e5567df',
    seed: 'cd665cf6a8447dd6ff8b27555edb7465',
    output:
      '7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0' +
      'e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425' +
      '9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e099070' +
      '3d73e56f',
  },
] as const;

const randoms = { client: new Uint8Array(32).fill(1), server: new Uint8Array(32).fill(2) };
const master = (): Secret => Secret.take(new Uint8Array(48).fill(3));

describe('the PRF', () => {
  it.each(VECTORS)('gives the known answer with $hash', ({ hash, secret, seed, output }) => {
    const length = output.length / 2;
    const result = prf(hash, Secret.take(fromHex(secret)), 'test label', fromHex(seed), length);
    expect(toHex(result.bytes)).toBe(output);
  });

  it('gives a prefix where less is asked for', () => {
    const [{ secret, seed, output }] = VECTORS;
    const result = prf('sha256', Secret.take(fromHex(secret)), 'test label', fromHex(seed), 33);
    expect(toHex(result.bytes)).toBe(output.slice(0, 66));
  });
});

describe('the key schedule', () => {
  it('binds the master secret to the handshake', () => {
    const premaster = Secret.take(new Uint8Array(32).fill(9));
    const one = extendedMasterSecret('sha256', premaster, new Uint8Array(32));
    const other = extendedMasterSecret('sha256', premaster, new Uint8Array(32).fill(1));
    const expected = prf('sha256', premaster, 'extended master secret', new Uint8Array(32), 48);
    expect(one.bytes).toEqual(expected.bytes);
    expect(other.bytes).not.toEqual(one.bytes);
  });

  it('has a Finished for each side', () => {
    const transcriptHash = new Uint8Array(32).fill(5);
    const client = verifyData('sha256', master(), 'client', transcriptHash);
    const server = verifyData('sha256', master(), 'server', transcriptHash);
    const expected = prf('sha256', master(), 'client finished', transcriptHash, 12);
    expect(client.bytes).toEqual(expected.bytes);
    expect(server.bytes).not.toEqual(client.bytes);
  });

  it.each(CIPHER_SUITES)('cuts the key block of suite $id as RFC 5246 §6.3 says', (suite) => {
    const { prf: hash, keyBytes } = suite;
    const seed = concat(randoms.server, randoms.client);
    const block = prf(hash, master(), 'key expansion', seed, 2 * (keyBytes + 4)).bytes;
    const at = (offset: number, length: number): Secret =>
      Secret.copy(block.subarray(offset, offset + length));
    const client = new RecordProtection(suite, at(0, keyBytes), at(2 * keyBytes, 4));
    const server = new RecordProtection(suite, at(keyBytes, keyBytes), at(2 * keyBytes + 4, 4));
    const record = { type: 22, version: DTLS_1_2, epoch: 1, sequence: 0, fragment: Uint8Array.of(1) };
    const derived = recordProtections(suite, master(), randoms);
    expect(derived.client.seal(record)).toEqual(client.seal(record));
    expect(derived.server.seal(record)).toEqual(server.seal(record));
    expect(derived.server.open(client.seal(record))).toBeUndefined();
  });

  it.each(Object.keys(SRTP_PROFILES) as SrtpProfile[])(
    'exports keys for %s as RFC 5764 §4.2 says',
    (profile) => {
      const { keyBytes, saltBytes } = SRTP_PROFILES[profile];
      const seed = concat(randoms.client, randoms.server);
      const size = 2 * (keyBytes + saltBytes);
      const block = prf('sha256', master(), 'EXTRACTOR-dtls_srtp', seed, size).bytes;
      const { local, remote } = exportSrtpKeys('sha256', master(), randoms, profile, 'client');
      expect(concat(local.key.bytes, remote.key.bytes, local.salt.bytes, remote.salt.bytes)).toEqual(
        block.slice(),
      );
      const server = exportSrtpKeys('sha256', master(), randoms, profile, 'server');
      expect(server.local.key.bytes).toEqual(remote.key.bytes);
      expect(server.remote.salt.bytes).toEqual(local.salt.bytes);
    },
  );
});

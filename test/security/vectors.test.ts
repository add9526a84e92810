import { createPublicKey } from 'node:crypto';
import { expect, it } from 'vitest';
import { ecdhe, NAMED_GROUP } from '../../src/transport/dtls/key-exchange.ts';
import { extendedMasterSecret, prf } from '../../src/transport/dtls/key-schedule.ts';
import { SIGNATURE_SCHEME, verifySignature } from '../../src/transport/dtls/signature.ts';
import { createTransform } from '../../src/transport/srtp/create-transform.ts';
import type { PacketKeys } from '../../src/transport/srtp/session-keys.ts';
import { mixInto, ssrcOfRtp } from '../../src/transport/srtp/transform.ts';
import { concat, fromHex, readUint32, toHex } from '../../src/util/bytes.ts';
import { Secret } from '../../src/util/secret.ts';
import { flipped } from '../support/flipped.ts';
import { readVectors } from '../support/vectors.ts';

interface Verdict {
  readonly tcId: number;
  readonly result: 'valid' | 'invalid' | 'acceptable';
}

interface AgreementVector {
  readonly tcId: number;
  readonly private: string;
  readonly public: string;
  readonly shared: string;
}

interface SignatureVectors {
  readonly keys: readonly string[];
  readonly cases: readonly (Verdict & {
    readonly key: number;
    readonly msg: string;
    readonly sig: string;
  })[];
}

const secret = (hex: string): Secret => Secret.take(fromHex(hex));

/** What both sides would share, where our private key is drawn to be the vector's. */
function agree(group: number, vector: AgreementVector): string | undefined {
  const scalar = fromHex(vector.private.padStart(64, '0').slice(-64));
  const result = ecdhe(group, fromHex(vector.public), { fill: (target) => target.set(scalar) });
  return result && toHex(result.premaster.bytes);
}

/** Ids of the cases on which we and the vectors differ. */
function differing(
  cases: readonly Verdict[],
  accepts: (index: number) => boolean,
  wanted: (verdict: Verdict) => boolean = ({ result }) => result === 'valid',
): number[] {
  return cases.filter((verdict, i) => accepts(i) !== wanted(verdict)).map(({ tcId }) => tcId);
}

/** Both kinds of verdict are among the cases: else a decoder that always gives the same answer would pass. */
function expectBoth(cases: readonly Verdict[]): void {
  expect(new Set(cases.map(({ result }) => result === 'valid')).size).toBe(2);
}

function expectSignatures(name: string, scheme: number): void {
  const { keys, cases } = readVectors<SignatureVectors>(name);
  expectBoth(cases);
  const publicKeys = keys.map((key) =>
    createPublicKey({ key: Buffer.from(key, 'hex'), format: 'der', type: 'spki' }),
  );
  const accepts = (i: number): boolean => {
    const { key, msg, sig } = cases[i]!;
    return verifySignature(scheme, publicKeys[key]!, fromHex(msg), fromHex(sig));
  };
  expect(differing(cases, accepts)).toEqual([]);
}

it('vectors-x25519: twists, non-canonical points and edge cases give the known secret, points of low order none', () => {
  const { cases } = readVectors<{ cases: AgreementVector[] }>('x25519');
  const zero = '00'.repeat(32);
  expect(cases.filter(({ shared }) => shared === zero).length).toBeGreaterThan(20);
  for (const vector of cases) {
    // RFC 7748 §6.1, RFC 8422 §5.11: an all-zero secret MUST end the handshake.
    const expected = vector.shared === zero ? undefined : vector.shared;
    expect([vector.tcId, agree(NAMED_GROUP.x25519, vector)]).toEqual([vector.tcId, expected]);
  }
});

it('vectors-ecdh-p256: points off the curve, of other curves, compressed or at infinity are refused', () => {
  const { cases } = readVectors<{ cases: (AgreementVector & Verdict)[] }>('ecdh-p256');
  expectBoth(cases);
  for (const vector of cases) {
    // RFC 8422 §5.4.1: compressed points are not negotiated, so what is merely acceptable elsewhere is refused.
    const expected = vector.result === 'valid' ? vector.shared : undefined;
    expect([vector.tcId, agree(NAMED_GROUP.secp256r1, vector)]).toEqual([vector.tcId, expected]);
  }
});

it('vectors-ecdsa: signatures in BER, with other types, out of range or with bytes to spare are refused', () => {
  expectSignatures('ecdsa-p256-sha256', SIGNATURE_SCHEME.ecdsaSecp256r1Sha256);
});

it('vectors-rsa-pkcs1: forged padding, other hashes and malleable signatures are refused', () => {
  expectSignatures('rsa-pkcs1-2048-sha256', SIGNATURE_SCHEME.rsaPkcs1Sha256);
});

it('vectors-rsa-pss: modified paddings and salts are refused', () => {
  expectSignatures('rsa-pss-2048-sha256', SIGNATURE_SCHEME.rsaPssRsaeSha256);
});

it('vectors-srtp-hmac: SRTP and SRTCP take the 80-bit HMAC-SHA1 tags that are right, and no other', () => {
  const { cases } = readVectors<{ cases: (Verdict & { key: string; msg: string; tag: string })[] }>(
    'hmac-sha1-80',
  );
  expectBoth(cases);
  const transforms = cases.map(({ key }) => {
    const keys = (): PacketKeys => ({
      encryption: secret('00'.repeat(16)),
      authentication: secret(key),
      salt: secret('00'.repeat(14)),
    });
    return createTransform('AES_CM_128_HMAC_SHA1_80', { rtp: keys(), rtcp: keys() });
  });
  const acceptsRtp = (i: number): boolean => {
    const [message, tag] = [fromHex(cases[i]!.msg), fromHex(cases[i]!.tag)];
    // RFC 3711 §4.2: behind the packet, the rollover counter is authenticated and not sent.
    const rolloverCounter = readUint32(message, message.length - 4);
    const datagram = concat(message.subarray(0, -4), tag);
    return transforms[i]!.openRtp(datagram, 12, rolloverCounter * 2 ** 16) !== undefined;
  };
  const acceptsRtcp = (i: number): boolean =>
    transforms[i]!.openRtcp(concat(fromHex(cases[i]!.msg), fromHex(cases[i]!.tag))) !== undefined;
  expect(differing(cases, acceptsRtp)).toEqual([]);
  expect(differing(cases, acceptsRtcp)).toEqual([]);
});

it('vectors-srtp-gcm: SRTP opens what AES-GCM has sealed, and nothing of which a bit of the tag is wrong', () => {
  const { cases } = readVectors<{
    cases: { tcId: number; key: string; iv: string; aad: string; msg: string; ct: string; tag: string }[];
  }>('aes-gcm');
  for (const { tcId, key, iv, aad, msg, ct, tag } of cases) {
    const header = fromHex(aad);
    // RFC 7714 §8.1: the salt that makes this nonce of this header's SSRC and index zero.
    const salt = fromHex(iv);
    mixInto(salt, 2, ssrcOfRtp(header), 4);
    const keys = (): PacketKeys => ({
      encryption: secret(key),
      authentication: undefined,
      salt: Secret.copy(salt),
    });
    const profile = key.length === 32 ? 'AEAD_AES_128_GCM' : 'AEAD_AES_256_GCM';
    const transform = createTransform(profile, { rtp: keys(), rtcp: keys() });
    const sealed = concat(header, fromHex(ct), fromHex(tag));
    const plain = concat(header, fromHex(msg));
    expect([tcId, toHex(transform.sealRtp(plain, header.length, 0))]).toEqual([tcId, toHex(sealed)]);
    expect([tcId, transform.openRtp(sealed, header.length, 0)]).toEqual([tcId, plain]);
    for (let bit = 0; bit < 128; bit++) {
      const forged = flipped(sealed, sealed.length - 1 - (bit >> 3), 1 << (bit & 7));
      expect([tcId, bit, transform.openRtp(forged, header.length, 0)]).toEqual([tcId, bit, undefined]);
    }
  }
});

it('vectors-master-secret: the extended master secret and the key block are those of NIST', () => {
  interface Case {
    readonly hash: 'sha256' | 'sha384';
    readonly preMasterSecret: string;
    readonly sessionHash: string;
    readonly clientRandom: string;
    readonly serverRandom: string;
    readonly masterSecret: string;
    readonly keyBlock: string;
  }
  const { cases } = readVectors<{ cases: Case[] }>('tls12-extended-master-secret');
  expect(new Set(cases.map(({ hash }) => hash)).size).toBe(2);
  for (const { hash, preMasterSecret, sessionHash, clientRandom, serverRandom, ...known } of cases) {
    const master = extendedMasterSecret(hash, secret(preMasterSecret), fromHex(sessionHash));
    expect(toHex(master.bytes)).toBe(known.masterSecret);
    const seed = fromHex(serverRandom + clientRandom);
    const block = prf(hash, master, 'key expansion', seed, known.keyBlock.length / 2);
    expect(toHex(block.bytes)).toBe(known.keyBlock);
    // Bound to the handshake: another transcript, another secret.
    const other = extendedMasterSecret(hash, secret(preMasterSecret), fromHex(clientRandom));
    expect(toHex(other.bytes)).not.toBe(known.masterSecret);
  }
});

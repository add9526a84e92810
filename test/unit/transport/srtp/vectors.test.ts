import { describe, expect, it } from 'vitest';
import { createTransform } from '../../../../src/transport/srtp/create-transform.ts';
import { SrtpReceiveContext } from '../../../../src/transport/srtp/receive-context.ts';
import { SrtpSendContext } from '../../../../src/transport/srtp/send-context.ts';
import { deriveSessionKeys, type PacketKeys } from '../../../../src/transport/srtp/session-keys.ts';
import { fromHex, toHex } from '../../../../src/util/bytes.ts';
import { Secret } from '../../../../src/util/secret.ts';
import { masterKeyOf } from '../../../support/srtp.ts';

const secret = (hex: string) => Secret.take(fromHex(hex));

describe('key derivation', () => {
  it('derives the keys of RFC 3711 appendix B.3', () => {
    const master = masterKeyOf('e1f97a0d3e018be0d64fa32c06de4139', '0ec675ad498afeebb6960b3aabe6');
    const { rtp, rtcp } = deriveSessionKeys('AES_CM_128_HMAC_SHA1_80', master);
    expect(toHex(rtp.encryption.bytes)).toBe('c61e7a93744f39ee10734afe3ff7a087');
    expect(toHex(rtp.salt.bytes)).toBe('30cbbc08863d8c85d49db34a9ae1');
    expect(toHex(rtp.authentication!.bytes)).toBe('cebe321f6ff7716b6fd4ab49af256a156d38baa4');
    expect(rtcp.encryption.bytes).not.toEqual(rtp.encryption.bytes);
    expect(rtcp.salt.bytes).not.toEqual(rtp.salt.bytes);
  });

  it('uses AES-256 for a 256-bit master key, as in RFC 6188 §7.2', () => {
    // The vector has a 112-bit salt; the AEAD profile takes the first 96 bits of the same derivation.
    const master = masterKeyOf(
      'f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6',
      '3b04803de51ee7c96423ab5b78d2',
    );
    const { rtp } = deriveSessionKeys('AEAD_AES_256_GCM', master);
    expect(toHex(rtp.encryption.bytes)).toBe(
      '5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4',
    );
    expect(toHex(rtp.salt.bytes)).toBe('fa31791685ca444a9e07c6c6');
    expect(rtp.authentication).toBeUndefined();
  });
});

describe('AES counter mode', () => {
  it('makes the keystream of RFC 3711 appendix B.2', () => {
    const keys = (): PacketKeys => ({
      encryption: secret('2b7e151628aed2a6abf7158809cf4f3c'),
      authentication: secret('00'.repeat(20)),
      salt: secret('f0f1f2f3f4f5f6f7f8f9fafbfcfd'),
    });
    const transform = createTransform('AES_CM_128_HMAC_SHA1_80', { rtp: keys(), rtcp: keys() });
    const blocks = 0xff02;
    const zeroes = new Uint8Array(12 + blocks * 16);
    zeroes[0] = 0x80;
    const keystream = transform.sealRtp(zeroes, 12, 0).subarray(12);
    const block = (n: number) => toHex(keystream.subarray(n * 16, n * 16 + 16));
    expect(block(0)).toBe('e03ead0935c95e80e166b16dd92b4eb4');
    expect(block(1)).toBe('d23513162b02d0f72a43a2fe4a5f97ab');
    expect(block(2)).toBe('41e95b3bb0a2e8dd477901e4fca894c0');
    expect(block(0xfeff)).toBe('ec8cdf7398607cb0f2d21675ea9ea1e4');
    expect(block(0xff00)).toBe('362b7c3c6773516318a077d7fc5073ae');
    expect(block(0xff01)).toBe('6a2cc3787889374fbeb4c81b17ba6c44');
  });
});

/** libsrtp, test/srtp_driver.c: srtp_validate and srtp_validate_gcm. */
describe.each([
  {
    profile: 'AES_CM_128_HMAC_SHA1_80' as const,
    key: 'e1f97a0d3e018be0d64fa32c06de4139',
    salt: '0ec675ad498afeebb6960b3aabe6',
    srtp: '800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb',
    srtcp: '81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798',
  },
  {
    profile: 'AEAD_AES_128_GCM' as const,
    key: '000102030405060708090a0b0c0d0e0f',
    salt: 'a0a1a2a3a4a5a6a7a8a9aaab',
    srtp: '800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392',
    srtcp: '81c8000bcafebabec98b8b5df0392a55852b6c21ac8e7025c52c6fbea2b3b446ea31123ba88ce61e80000001',
  },
])('the reference packets of libsrtp for $profile', ({ profile, key, salt, srtp, srtcp }) => {
  const rtp = fromHex(`800f1234decafbadcafebabe${'ab'.repeat(16)}`);
  const rtcp = fromHex(`81c8000bcafebabe${'ab'.repeat(16)}`);

  it('are what the send context makes', () => {
    const send = SrtpSendContext.create(profile, masterKeyOf(key, salt));
    expect(toHex(send.protectRtp(rtp, 0x1234)!)).toBe(srtp);
    // libsrtp counts its first packet one.
    send.protectRtcp(rtcp);
    expect(toHex(send.protectRtcp(rtcp)!)).toBe(srtcp);
  });

  it('are read by the receive context', () => {
    const receive = SrtpReceiveContext.create(profile, masterKeyOf(key, salt));
    expect(receive.unprotectRtp(fromHex(srtp))).toEqual({ packet: rtp, index: 0x1234 });
    expect(receive.unprotectRtcp(fromHex(srtcp))).toEqual(rtcp);
  });
});

/** RFC 7714 §16.1, §16.2, §17.1, §17.2: session keys, not master keys. */
describe.each([
  {
    profile: 'AEAD_AES_128_GCM' as const,
    key: '000102030405060708090a0b0c0d0e0f',
    srtp:
      '8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833' +
      '899d7f27beb16a9152cf765ee4390cce',
    srtcp:
      '81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded' +
      '0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4',
  },
  {
    profile: 'AEAD_AES_256_GCM' as const,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
    srtp:
      '8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b' +
      '7aa3db36dfffd6b0f9bb7878d7a76c13',
    srtcp:
      '81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de047' +
      '6f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4',
  },
])('the packets of RFC 7714 for $profile', ({ profile, key, srtp, srtcp }) => {
  const rtp = fromHex(
    '8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573',
  );
  const rtcp = fromHex(
    '81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef',
  );
  const keys = (): PacketKeys => ({
    encryption: secret(key),
    authentication: undefined,
    salt: secret('517569642070726f2071756f'),
  });
  const transform = createTransform(profile, { rtp: keys(), rtcp: keys() });

  it('are what the transform makes and reads', () => {
    expect(toHex(transform.sealRtp(rtp, 12, 0xf17b))).toBe(srtp);
    expect(transform.openRtp(fromHex(srtp), 12, 0xf17b)).toEqual(rtp);
    expect(toHex(transform.sealRtcp(rtcp, 0x5d4))).toBe(srtcp);
    expect(transform.openRtcp(fromHex(srtcp))).toEqual(rtcp);
  });

  it('are not authentic under another index', () => {
    expect(transform.openRtp(fromHex(srtp), 12, 0xf17b + 65536)).toBeUndefined();
  });
});

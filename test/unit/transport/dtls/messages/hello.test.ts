import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EXTENSION, encodeClientHello } from '../../../../../src/transport/dtls/messages/client-hello.ts';
import { decodeHelloVerifyRequest } from '../../../../../src/transport/dtls/messages/hello-verify-request.ts';
import { decodeServerHello, decodeUseSrtp } from '../../../../../src/transport/dtls/messages/server-hello.ts';
import { DTLS_1_2 } from '../../../../../src/transport/dtls/record.ts';
import type { SrtpProfile } from '../../../../../src/transport/srtp/profile.ts';
import {
  decodeClientHello,
  encodeHelloVerifyRequest,
  encodeServerHello,
  encodeUseSrtp,
  numbers,
  offeredProfiles,
} from '../../../../support/dtls-messages.ts';
import { expectStrict } from '../../../../support/dtls-strict.ts';

const bytes = (maxLength: number) => fc.uint8Array({ maxLength });
const uint16 = fc.integer({ min: 0, max: 0xffff });
const random = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('a ClientHello', () => {
  it('is what a server reads', () => {
    const profiles = fc.subarray<SrtpProfile>([
      'AEAD_AES_256_GCM',
      'AES_CM_128_HMAC_SHA1_80',
      'AEAD_AES_128_GCM',
    ]);
    const ids = { AES_CM_128_HMAC_SHA1_80: 1, AEAD_AES_128_GCM: 7, AEAD_AES_256_GCM: 8 };
    fc.assert(
      fc.property(random, bytes(255), profiles, (random, cookie, srtpProfiles) => {
        const hello = decodeClientHello(encodeClientHello({ random, cookie, srtpProfiles }))!;
        expect(hello.version).toBe(DTLS_1_2);
        expect(hello.random).toEqual(random);
        expect(hello.cookie).toEqual(cookie);
        const useSrtp = hello.extensions.get(EXTENSION.useSrtp)!;
        expect(offeredProfiles(useSrtp)).toEqual(srtpProfiles.map((profile) => ids[profile]));
        // The empty MKI.
        expect(useSrtp.at(-1)).toBe(0);
      }),
    );
  });

  it('asks for an extended master secret, and says what it can', () => {
    const random = new Uint8Array(32);
    const { extensions } = decodeClientHello(
      encodeClientHello({ random, cookie: new Uint8Array(0), srtpProfiles: ['AEAD_AES_128_GCM'] }),
    )!;
    expect(extensions.get(EXTENSION.extendedMasterSecret)).toHaveLength(0);
    expect(extensions.get(EXTENSION.renegotiationInfo)).toEqual(Uint8Array.of(0));
    expect(numbers(extensions.get(EXTENSION.supportedGroups)!.subarray(2))).toEqual([0x001d, 0x0017]);
    expect(numbers(extensions.get(EXTENSION.signatureAlgorithms)!.subarray(2))).toEqual([
      0x0403, 0x0804, 0x0401,
    ]);
    expect(extensions.get(EXTENSION.ecPointFormats)).toEqual(Uint8Array.of(1, 0));
  });
});

describe('a HelloVerifyRequest', () => {
  it('holds a cookie', () => {
    fc.assert(
      fc.property(bytes(255), (cookie) => {
        expect(decodeHelloVerifyRequest(encodeHelloVerifyRequest(cookie))).toEqual(cookie);
      }),
    );
  });

  it('is refused when short or long', () => {
    expectStrict(decodeHelloVerifyRequest, encodeHelloVerifyRequest(Uint8Array.of(1, 2, 3)));
  });
});

describe('a ServerHello', () => {
  const extension = fc.tuple(uint16, bytes(20));
  const hello = fc.record({
    version: uint16,
    random,
    sessionId: bytes(32),
    suite: uint16,
    compression: fc.integer({ min: 0, max: 255 }),
    extensions: fc.uniqueArray(extension, { selector: ([type]) => type, maxLength: 8 }),
  });

  it('is what a server wrote', () => {
    fc.assert(
      fc.property(hello, ({ sessionId, extensions, ...fields }) => {
        const decoded = decodeServerHello(encodeServerHello({ sessionId, extensions, ...fields }));
        expect(decoded).toEqual({ ...fields, extensions: new Map(extensions) });
      }),
    );
  });

  it('may go without extensions altogether', () => {
    const whole = encodeServerHello({
      version: DTLS_1_2,
      random: new Uint8Array(32),
      suite: 0xc02b,
      compression: 0,
      extensions: [],
    });
    expect(decodeServerHello(whole.subarray(0, -2))?.extensions.size).toBe(0);
  });

  it('is refused when short or long', () => {
    const sample = encodeServerHello({
      version: DTLS_1_2,
      random: new Uint8Array(32),
      sessionId: new Uint8Array(4),
      suite: 0xc02b,
      compression: 0,
      extensions: [[23, new Uint8Array(0)]],
    });
    // Without its extensions it is whole as well.
    expectStrict(decodeServerHello, sample, [sample.length - 6]);
  });

  it('is refused with two extensions of a type, or too long a session id', () => {
    const fields = { version: DTLS_1_2, random: new Uint8Array(32), suite: 0xc02b, compression: 0 };
    const twice = [
      [23, new Uint8Array(0)],
      [23, new Uint8Array(0)],
    ] as const;
    expect(decodeServerHello(encodeServerHello({ ...fields, extensions: twice }))).toBeUndefined();
    const sessionId = new Uint8Array(33);
    expect(decodeServerHello(encodeServerHello({ ...fields, sessionId, extensions: [] }))).toBeUndefined();
  });

  it('is decoded without an exception from whatever arrives', () => {
    fc.assert(fc.property(bytes(200), (junk) => void decodeServerHello(junk)));
  });
});

describe('a use_srtp answer', () => {
  it('is what a server wrote', () => {
    fc.assert(
      fc.property(fc.array(uint16, { maxLength: 5 }), bytes(10), (profiles, mki) => {
        expect(decodeUseSrtp(encodeUseSrtp(profiles, mki))).toEqual({ profiles, mki });
      }),
    );
  });

  it('is refused when short or long, or with half a profile', () => {
    expectStrict(decodeUseSrtp, encodeUseSrtp([1, 7], Uint8Array.of(9)));
    expect(decodeUseSrtp(Uint8Array.of(0, 3, 0, 1, 0, 0))).toBeUndefined();
  });
});

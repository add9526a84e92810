import { createDecipheriv } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CIPHER_SUITES, type CipherSuite } from '../../../../src/transport/dtls/cipher-suite.ts';
import { DTLS_1_0, DTLS_1_2, type DtlsRecord } from '../../../../src/transport/dtls/record.ts';
import {
  PROTECTION_OVERHEAD_BYTES,
  RecordProtection,
} from '../../../../src/transport/dtls/record-protection.ts';
import { fromHex } from '../../../../src/util/bytes.ts';
import { Secret } from '../../../../src/util/secret.ts';
import { flipped } from '../../../support/flipped.ts';

const record: DtlsRecord = {
  type: 22,
  version: DTLS_1_2,
  epoch: 1,
  sequence: 0x010203040506,
  fragment: Uint8Array.of(1, 2, 3, 4, 5),
};

function protection(suite: CipherSuite = CIPHER_SUITES[0]!, fill = 7): RecordProtection {
  const key = Secret.take(new Uint8Array(suite.keyBytes).fill(fill));
  return new RecordProtection(suite, key, Secret.take(Uint8Array.of(1, 2, 3, 4)));
}

describe('record protection', () => {
  it.each(CIPHER_SUITES)('opens what it has sealed with suite $id', (suite) => {
    const both = protection(suite);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(2 ** 31 - 1), (fragment, sequence) => {
        const plain = { ...record, fragment, sequence };
        const sealed = both.seal(plain);
        expect(sealed.fragment).toHaveLength(fragment.length + PROTECTION_OVERHEAD_BYTES);
        expect(both.open(sealed)).toEqual(plain);
      }),
    );
  });

  it('is AES-GCM as RFC 5288 §3 lays it out', () => {
    const { fragment } = protection().seal(record);
    // Salt, then the explicit nonce: epoch and sequence number.
    const nonce = fromHex('010203040001010203040506');
    expect(fragment.subarray(0, 8)).toEqual(nonce.subarray(4));
    const decipher = createDecipheriv('aes-128-gcm', new Uint8Array(16).fill(7), nonce);
    // Epoch and sequence number, type, version, length of the plaintext.
    decipher.setAAD(fromHex('000101020304050616fefd0005'));
    decipher.setAuthTag(fragment.subarray(13));
    expect(new Uint8Array(decipher.update(fragment.subarray(8, 13)))).toEqual(record.fragment);
    expect(() => decipher.final()).not.toThrow();
  });

  it('refuses a record of which any bit was changed', () => {
    const both = protection();
    const sealed = both.seal(record);
    for (let i = 0; i < sealed.fragment.length * 8; i++) {
      const fragment = flipped(sealed.fragment, i >> 3, 1 << (i & 7));
      expect(both.open({ ...sealed, fragment })).toBeUndefined();
    }
    expect(both.open(sealed)).toEqual(record);
  });

  it.each([
    ['type', { type: 23 }],
    ['version', { version: DTLS_1_0 }],
    ['epoch', { epoch: 2 }],
    ['sequence number', { sequence: 5 }],
  ])('refuses a record under another %s', (_, change) => {
    const both = protection();
    expect(both.open({ ...both.seal(record), ...change })).toBeUndefined();
  });

  it('refuses a record of another key', () => {
    expect(protection(CIPHER_SUITES[0], 8).open(protection().seal(record))).toBeUndefined();
  });

  it('refuses a record too short to be one', () => {
    const both = protection();
    const sealed = both.seal({ ...record, fragment: new Uint8Array(0) });
    expect(both.open(sealed)?.fragment).toHaveLength(0);
    for (let length = 0; length < sealed.fragment.length; length++) {
      expect(both.open({ ...sealed, fragment: sealed.fragment.subarray(0, length) })).toBeUndefined();
    }
  });

  it('is of no use once disposed', () => {
    const both = protection();
    both.dispose();
    expect(() => both.seal(record)).toThrow('wiped');
  });
});

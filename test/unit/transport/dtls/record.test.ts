import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DTLS_1_0,
  DTLS_1_2,
  type DtlsRecord,
  decodeRecords,
  encodeRecord,
  RECORD_HEADER_BYTES,
} from '../../../../src/transport/dtls/record.ts';
import { concat } from '../../../../src/util/bytes.ts';

const record: fc.Arbitrary<DtlsRecord> = fc.record({
  type: fc.integer({ min: 0, max: 255 }),
  version: fc.constantFrom(DTLS_1_0, DTLS_1_2),
  epoch: fc.integer({ min: 0, max: 0xffff }),
  sequence: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  fragment: fc.uint8Array({ maxLength: 300 }),
});

const sample: DtlsRecord = {
  type: 22,
  version: DTLS_1_2,
  epoch: 1,
  sequence: 2 ** 40 + 5,
  fragment: Uint8Array.of(1, 2, 3),
};

describe('a record', () => {
  it('has the layout of RFC 6347 §4.1', () => {
    const expected = Uint8Array.of(22, 0xfe, 0xfd, 0, 1, 1, 0, 0, 0, 0, 5, 0, 3, 1, 2, 3);
    expect(encodeRecord(sample)).toEqual(expected);
  });

  it('comes back as it was, alone or among others', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), (records) => {
        expect([...decodeRecords(concat(...records.map(encodeRecord)))]).toEqual(records);
      }),
    );
  });

  it('is refused when cut short, wherever that is', () => {
    const bytes = encodeRecord(sample);
    for (let length = 1; length < bytes.length; length++) {
      expect([...decodeRecords(bytes.subarray(0, length))]).toEqual([undefined]);
    }
  });

  it('is refused in an unknown version, and with it the rest of the datagram', () => {
    const strange = encodeRecord({ ...sample, version: 0x0303 });
    expect([...decodeRecords(concat(encodeRecord(sample), strange, encodeRecord(sample)))]).toEqual([
      sample,
      undefined,
    ]);
  });

  it('is refused when larger than any record may be', () => {
    const fits = { ...sample, fragment: new Uint8Array(2 ** 14 + 2048) };
    expect([...decodeRecords(encodeRecord(fits))]).toEqual([fits]);
    const larger = { ...sample, fragment: new Uint8Array(2 ** 14 + 2049) };
    expect([...decodeRecords(encodeRecord(larger))]).toEqual([undefined]);
  });

  it('is looked for without an exception in whatever arrives, at most once every header', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const count = [...decodeRecords(bytes)].length;
        expect(count).toBeLessThanOrEqual(bytes.length / RECORD_HEADER_BYTES + 1);
      }),
    );
  });
});

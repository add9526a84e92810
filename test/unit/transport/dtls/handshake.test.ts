import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeFragments,
  encodeFragment,
  encodeMessage,
  HANDSHAKE_HEADER_BYTES,
  type HandshakeFragment,
} from '../../../../src/transport/dtls/handshake.ts';
import { concat } from '../../../../src/util/bytes.ts';

const fragment: fc.Arbitrary<HandshakeFragment> = fc
  .record({
    type: fc.integer({ min: 0, max: 255 }),
    seq: fc.integer({ min: 0, max: 0xffff }),
    offset: fc.integer({ min: 0, max: 1000 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 100 }),
    rest: fc.integer({ min: 0, max: 1000 }),
  })
  .map(({ rest, ...fields }) => ({ ...fields, length: fields.offset + fields.bytes.length + rest }));

const sample: HandshakeFragment = {
  type: 11,
  seq: 3,
  length: 10,
  offset: 4,
  bytes: Uint8Array.of(7, 8, 9),
};

describe('a handshake fragment', () => {
  it('has the layout of RFC 6347 §4.2.2', () => {
    const expected = Uint8Array.of(11, 0, 0, 10, 0, 3, 0, 0, 4, 0, 0, 3, 7, 8, 9);
    expect(encodeFragment(sample)).toEqual(expected);
  });

  it('comes back as it was, alone or among others', () => {
    fc.assert(
      fc.property(fc.array(fragment, { minLength: 1, maxLength: 5 }), (fragments) => {
        expect([...decodeFragments(concat(...fragments.map(encodeFragment)))]).toEqual(fragments);
      }),
    );
  });

  it('is a whole message where nothing is missing, an empty one too', () => {
    const body = new Uint8Array(0);
    expect([...decodeFragments(encodeMessage({ type: 14, seq: 4, body }))]).toEqual([
      { type: 14, seq: 4, length: 0, offset: 0, bytes: body },
    ]);
  });

  it('is refused when cut short, wherever that is', () => {
    const bytes = encodeFragment(sample);
    for (let length = 0; length < bytes.length; length++) {
      expect([...decodeFragments(bytes.subarray(0, length))]).toEqual([undefined]);
    }
  });

  it('is refused when it reaches beyond its message', () => {
    expect([...decodeFragments(encodeFragment({ ...sample, offset: 7 }))]).toHaveLength(1);
    expect([...decodeFragments(encodeFragment({ ...sample, offset: 8 }))]).toEqual([undefined]);
  });

  it('is refused when it is an empty part of a message that is not', () => {
    const empty = { ...sample, bytes: new Uint8Array(0) };
    expect([...decodeFragments(encodeFragment(empty))]).toEqual([undefined]);
  });

  it('is looked for without an exception in whatever arrives, at most once every header', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const count = [...decodeFragments(bytes)].length;
        expect(count).toBeLessThanOrEqual(bytes.length / HANDSHAKE_HEADER_BYTES + 1);
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRtp, rtpHeaderLength, writeRtp } from '../../../src/rtp/packet.ts';
import { concat, fromHex } from '../../../src/util/bytes.ts';

fc.configureGlobal({ seed: 3711 });

const fixed = fromHex('80e0123400000001cafebabe');
const withExtension = (form: string, elements: string, payload = 'aabb') =>
  concat(
    fromHex('90e0123400000001cafebabe'),
    fromHex(form + (elements.length / 8).toString(16).padStart(4, '0') + elements + payload),
  );

describe('parseRtp', () => {
  it('reads every field of the fixed header', () => {
    const packet = parseRtp(concat(fixed, fromHex('0102')))!;
    expect(packet).toMatchObject({
      marker: true,
      payloadType: 96,
      sequenceNumber: 0x1234,
      timestamp: 1,
      ssrc: 0xcafebabe,
      headerLength: 12,
      paddingLength: 0,
    });
    expect(packet.payload).toEqual(fromHex('0102'));
  });

  it('reads back whatever writeRtp writes', () => {
    fc.assert(
      fc.property(
        fc.record({
          marker: fc.boolean(),
          payloadType: fc.integer({ min: 0, max: 127 }),
          sequenceNumber: fc.integer({ min: 0, max: 0xffff }),
          timestamp: fc.integer({ min: 0, max: 0xffffffff }),
          ssrc: fc.integer({ min: 0, max: 0xffffffff }),
          payload: fc.uint8Array({ maxLength: 64 }),
        }),
        (fields) => {
          const packet = parseRtp(writeRtp(fields));
          expect(packet).toMatchObject(fields);
        },
      ),
    );
  });

  it('never throws and never reads outside, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer({ min: 0, max: 255 }), (bytes, id) => {
        if (bytes.length > 0) bytes[0] = 0x80 | (bytes[0]! & 0x3f);
        const packet = parseRtp(bytes);
        if (packet === undefined) return;
        expect(packet.headerLength + packet.payload.length + packet.paddingLength).toBe(bytes.length);
        expect(packet.extension(id)?.length ?? 0).toBeLessThanOrEqual(packet.headerLength);
      }),
    );
  });

  it('refuses another version', () => {
    expect(parseRtp(fromHex('40e0123400000001cafebabe'))).toBeUndefined();
  });

  it('refuses a packet that ends inside its fixed header, its CSRC list or its extension', () => {
    expect(parseRtp(fixed.subarray(0, 11))).toBeUndefined();
    expect(parseRtp(fromHex('81e0123400000001cafebabe000000'))).toBeUndefined();
    expect(parseRtp(fromHex('90e0123400000001cafebabebede00'))).toBeUndefined();
    expect(parseRtp(fromHex('90e0123400000001cafebabebede0001100000'))).toBeUndefined();
  });

  it('skips contributing sources', () => {
    const packet = parseRtp(fromHex('82e0123400000001cafebabe000000010000000299'))!;
    expect(packet.payload).toEqual(fromHex('99'));
  });

  it('takes the padding off the payload', () => {
    const packet = parseRtp(fromHex('a0e0123400000001cafebabeaabb000003'))!;
    expect(packet.payload).toEqual(fromHex('aabb'));
    expect(packet.paddingLength).toBe(3);
  });

  it('refuses a padding of zero bytes and one that is longer than the payload', () => {
    expect(parseRtp(fromHex('a0e0123400000001cafebabeaabb000000'))).toBeUndefined();
    expect(parseRtp(fromHex('a0e0123400000001cafebabeaabb000006'))).toBeUndefined();
  });
});

describe('header extensions', () => {
  it('finds one-byte elements behind padding bytes', () => {
    const packet = parseRtp(withExtension('bede', '0010aa0031bbcc00'))!;
    expect(packet.extension(1)).toEqual(fromHex('aa'));
    expect(packet.extension(3)).toEqual(fromHex('bbcc'));
    expect(packet.extension(2)).toBeUndefined();
    expect(packet.payload).toEqual(fromHex('aabb'));
  });

  it('stops at a one-byte element with id 15', () => {
    const packet = parseRtp(withExtension('bede', '10aaf01120bb0000'))!;
    expect(packet.extension(1)).toEqual(fromHex('aa'));
    expect(packet.extension(2)).toBeUndefined();
  });

  it('finds two-byte elements, empty ones and with application bits too', () => {
    const packet = parseRtp(withExtension('1005', '0500001003aabbcc'))!;
    expect(packet.extension(5)).toEqual(new Uint8Array(0));
    expect(packet.extension(16)).toEqual(fromHex('aabbcc'));
    expect(packet.extension(6)).toBeUndefined();
  });

  it('finds nothing in an element that runs past the extension', () => {
    expect(parseRtp(withExtension('bede', '13aabbcc'))!.extension(1)).toBeUndefined();
    expect(parseRtp(withExtension('1000', '0103aabb'))!.extension(1)).toBeUndefined();
    expect(parseRtp(withExtension('1000', '00000001'))!.extension(1)).toBeUndefined();
  });

  it('finds nothing in an extension of an unknown form or where there is none', () => {
    expect(parseRtp(withExtension('1234', '10aa0000'))!.extension(1)).toBeUndefined();
    expect(parseRtp(fixed)!.extension(1)).toBeUndefined();
  });

  it('never takes padding for an element with id 0', () => {
    expect(parseRtp(withExtension('bede', '01aabb00'))!.extension(0)).toBeUndefined();
    expect(parseRtp(withExtension('1000', '0002aabb'))!.extension(0)).toBeUndefined();
  });
});

describe('rtpHeaderLength', () => {
  it('counts contributing sources and the extension', () => {
    expect(rtpHeaderLength(fromHex('91e0123400000001cafebabe00000001bede000110aa0000ffff'))).toBe(24);
  });

  it('does not look at the padding, which SRTP encrypts', () => {
    expect(rtpHeaderLength(fromHex('a0e0123400000001cafebabe00'))).toBe(12);
  });
});

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ByteReader,
  ByteWriter,
  bufferOf,
  concat,
  decodeUtf8,
  equalConstantTime,
  fromBase64Url,
  fromHex,
  paddingTo4,
  readUint16,
  readUint32,
  toBase64Url,
  toHex,
  utf8,
} from '../../../src/util/bytes.ts';

const SIZES = { u8: 1, u16: 2, u24: 3, u32: 4, u48: 6 } as const;
type Field = keyof typeof SIZES | 'u64';
const FIELDS = [...Object.keys(SIZES), 'u64'] as Field[];
const largest = (field: Field): number =>
  field === 'u64' ? Number.MAX_SAFE_INTEGER : 256 ** SIZES[field] - 1;

describe('ByteWriter and ByteReader', () => {
  it('read back every field that was written', () => {
    const field = fc.constantFrom(...FIELDS).chain((name) =>
      fc.tuple(
        fc.constant(name),
        fc.maxSafeNat().map((n) => n % (largest(name) + 1)),
      ),
    );
    fc.assert(
      fc.property(fc.array(field), fc.uint8Array({ maxLength: 300 }), (fields, tail) => {
        const writer = new ByteWriter(1);
        for (const [name, value] of fields) writer[name](value);
        writer.vector(2, tail).bytes(tail);
        const reader = new ByteReader(writer.finish());
        for (const [name, value] of fields) expect(reader[name]()).toBe(value);
        expect(reader.vector(2)).toEqual(tail);
        expect(reader.complete).toBe(tail.length === 0);
        expect(reader.rest()).toEqual(tail);
        expect(reader.complete).toBe(true);
      }),
    );
  });

  it.each(FIELDS)('hold the largest %s', (field) => {
    const bytes = new ByteWriter()[field](largest(field)).finish();
    expect(new ByteReader(bytes)[field]()).toBe(largest(field));
  });

  it('write big-endian', () => {
    expect(
      toHex(new ByteWriter().u8(1).u16(0x203).u24(0x40506).u32(0x708090a).u48(0xb0c0d0e0f10).view()),
    ).toBe('0102030405060708090a0b0c0d0e0f10');
  });
});

describe('ByteReader', () => {
  it.each(FIELDS)('fails a %s that is short by a byte, gives zero, and stays failed', (field) => {
    const length = field === 'u64' ? 8 : SIZES[field];
    const reader = new ByteReader(new Uint8Array(length - 1).fill(0xff));
    expect(reader[field]()).toBe(0);
    expect(reader.failed).toBe(true);
    expect(reader.complete).toBe(false);
    expect(reader.remaining).toBe(0);
    expect(reader.u8()).toBe(0);
    expect(reader.failed).toBe(true);
  });

  it('fails bytes and vectors that say they are longer than what is there', () => {
    for (const read of [
      (reader: ByteReader) => reader.bytes(4),
      (reader: ByteReader) => reader.vector(1),
      (reader: ByteReader) => reader.vector(2),
      (reader: ByteReader) => reader.vector(3),
    ]) {
      const reader = new ByteReader(fromHex('ffffff'));
      expect(read(reader).length).toBe(0);
      expect(reader.failed).toBe(true);
    }
  });

  it('fails a 64-bit number that JavaScript cannot hold', () => {
    const reader = new ByteReader(fromHex('0020000000000000'));
    expect(reader.u64()).toBe(0);
    expect(reader.failed).toBe(true);
    expect(new ByteReader(fromHex('001fffffffffffff')).u64()).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('is not complete while something is left, nor after fail()', () => {
    const reader = new ByteReader(fromHex('0102'));
    reader.u8();
    expect(reader).toMatchObject({ complete: false, offset: 1, remaining: 1 });
    reader.u8();
    expect(reader.complete).toBe(true);
    reader.fail();
    expect(reader.complete).toBe(false);
  });

  it('gives views', () => {
    const bytes = fromHex('010203');
    const view = new ByteReader(bytes).bytes(2);
    bytes[0] = 9;
    expect(view).toEqual(fromHex('0902'));
  });
});

describe('ByteWriter', () => {
  it('throws at a vector that does not fit its prefix, and takes the longest that does', () => {
    for (const prefix of [1, 2] as const) {
      const longest = new Uint8Array(256 ** prefix - 1);
      const longer = new Uint8Array(256 ** prefix);
      expect(new ByteWriter().vector(prefix, longest).length).toBe(prefix + longest.length);
      expect(() => new ByteWriter().vector(prefix, longer)).toThrow(RangeError);
      expect(() => new ByteWriter().nested(prefix, (inner) => inner.bytes(longer))).toThrow(RangeError);
    }
  });

  it('nests', () => {
    const writer = new ByteWriter(1).u8(9).nested(2, (outer) => {
      outer.nested(1, (inner) => inner.u16(0x0102)).nested(3, () => {});
    });
    expect(toHex(writer.finish())).toBe('090006020102000000');
  });

  it('gives a copy with finish() and a view with view()', () => {
    const writer = new ByteWriter().u8(1);
    const [copy, view] = [writer.finish(), writer.view()];
    writer.wipe();
    expect(copy).toEqual(Uint8Array.of(1));
    expect(view).toEqual(Uint8Array.of(0));
    expect(writer.length).toBe(0);
  });

  it('leaves nothing in the memory that it has grown out of', () => {
    const writer = new ByteWriter(4).u32(0xdeadbeef);
    const before = writer.view();
    writer.u32(0xfeedface);
    expect(before).toEqual(new Uint8Array(4));
    expect(toHex(writer.finish())).toBe('deadbeeffeedface');
  });
});

describe('text', () => {
  it('goes to UTF-8 and back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(decodeUtf8(utf8(text))).toBe(text);
      }),
    );
  });

  it('keeps a byte order mark, so that no two encodings are one text', () => {
    expect(decodeUtf8(fromHex('efbbbf61'))).toBe('\ufeffa');
    expect(decodeUtf8(fromHex('61efbbbf'))).toBe('a\ufeff');
  });

  it.each(['ff', 'c0af', 'eda080', 'f8808080'])('is nothing where the bytes %s are not UTF-8', (hex) => {
    expect(decodeUtf8(fromHex(hex))).toBeUndefined();
  });

  it('goes to base64url and back, in one way only', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(fromBase64Url(toBase64Url(bytes))).toEqual(bytes);
        expect(fromHex(toHex(bytes))).toEqual(bytes);
      }),
    );
    for (const text of ['A', 'AB', 'AA==', 'A+', 'A/', 'AA AA', 'AA\n', 'ä'])
      expect(fromBase64Url(text)).toBeUndefined();
  });
});

describe('concat, bufferOf and equalConstantTime', () => {
  it('join, share and compare', () => {
    const [a, b] = [fromHex('0102'), fromHex('03')];
    expect(concat()).toEqual(new Uint8Array(0));
    expect(concat(a, b)).toEqual(fromHex('010203'));
    const part = fromHex('aabbcc').subarray(1, 2);
    bufferOf(part)[0] = 0x11;
    expect(part[0]).toBe(0x11);
    expect(bufferOf(part).length).toBe(1);
    expect(equalConstantTime(a, fromHex('0102'))).toBe(true);
    expect(equalConstantTime(a, fromHex('0103'))).toBe(false);
    expect(equalConstantTime(a, b)).toBe(false);
    expect(equalConstantTime(new Uint8Array(0), new Uint8Array(0))).toBe(true);
  });
});

describe('numbers that lie at a known place', () => {
  it('are read as the reader reads them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 12 }), fc.nat(4), (bytes, at) => {
        const rest = bytes.subarray(at);
        expect(readUint16(bytes, at)).toBe(new ByteReader(rest).u16());
        expect(readUint32(bytes, at)).toBe(new ByteReader(rest).u32());
      }),
    );
  });

  it('are padded to the next multiple of four, and not at one', () => {
    expect([0, 1, 2, 3, 4, 5].map(paddingTo4)).toEqual([0, 3, 2, 1, 0, 3]);
  });
});

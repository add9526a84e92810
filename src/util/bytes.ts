import { timingSafeEqual } from 'node:crypto';

/**
 * Reads big-endian fields from untrusted bytes. Reading past the end never throws: it yields zeroes and
 * marks the reader failed, so a decoder reads straight through and asks once, at the end, whether all was
 * there (`complete`: nothing short, nothing left over).
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #offset = 0;
  #failed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  get failed(): boolean {
    return this.#failed;
  }

  get complete(): boolean {
    return !this.#failed && this.remaining === 0;
  }

  u8(): number {
    return this.#uint(1);
  }

  u16(): number {
    return this.#uint(2);
  }

  u24(): number {
    return this.#uint(3);
  }

  u32(): number {
    return this.#uint(4);
  }

  u48(): number {
    return this.#uint(6);
  }

  /** A 64-bit unsigned integer; fails above `Number.MAX_SAFE_INTEGER`. */
  u64(): number {
    const high = this.#uint(4);
    const value = high * 2 ** 32 + this.#uint(4);
    if (value > Number.MAX_SAFE_INTEGER) this.#failed = true;
    return this.#failed ? 0 : value;
  }

  /** A view of the next bytes, not a copy. */
  bytes(length: number): Uint8Array {
    if (length > this.remaining) {
      this.#failed = true;
      this.#offset = this.#bytes.length;
      return new Uint8Array(0);
    }
    const view = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return view;
  }

  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  /** A vector with a length prefix of 1, 2 or 3 bytes (RFC 5246 §4.3). */
  vector(prefixBytes: 1 | 2 | 3): Uint8Array {
    return this.bytes(this.#uint(prefixBytes));
  }

  fail(): void {
    this.#failed = true;
  }

  #uint(size: number): number {
    if (size > this.remaining) {
      this.#failed = true;
      this.#offset = this.#bytes.length;
      return 0;
    }
    let value = 0;
    for (let i = 0; i < size; i++) value = value * 256 + this.#bytes[this.#offset + i]!;
    this.#offset += size;
    return value;
  }
}

const SHORT_BYTES = 32;

/** Writes big-endian fields into a growing buffer. `wipe()` zeroes all it has ever used. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#grow(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  u16(value: number): this {
    return this.#uint(value, 2);
  }

  u24(value: number): this {
    return this.#uint(value, 3);
  }

  u32(value: number): this {
    this.#grow(4);
    this.#put32(value);
    return this;
  }

  u48(value: number): this {
    return this.#uint(value, 6);
  }

  u64(value: number): this {
    this.#grow(8);
    this.#put32(Math.floor(value / 2 ** 32));
    this.#put32(value % 2 ** 32);
    return this;
  }

  bytes(source: Uint8Array): this {
    const { length } = source;
    this.#grow(length);
    const bytes = this.#bytes;
    const at = this.#length;
    // For a few bytes the call costs more than the copying.
    if (length > SHORT_BYTES) bytes.set(source, at);
    else for (let i = 0; i < length; i++) bytes[at + i] = source[i]!;
    this.#length = at + length;
    return this;
  }

  /** A vector with a length prefix of 1, 2 or 3 bytes (RFC 5246 §4.3). Throws when it does not fit. */
  vector(prefixBytes: 1 | 2 | 3, source: Uint8Array): this {
    if (source.length >= 256 ** prefixBytes) throw new RangeError('vector too long for its prefix');
    return this.#uint(source.length, prefixBytes).bytes(source);
  }

  /** A vector whose content is written by `body`. */
  nested(prefixBytes: 1 | 2 | 3, body: (inner: this) => void): this {
    const at = this.#length;
    this.#uint(0, prefixBytes);
    body(this);
    const size = this.#length - at - prefixBytes;
    if (size >= 256 ** prefixBytes) throw new RangeError('vector too long for its prefix');
    for (let i = 0; i < prefixBytes; i++)
      this.#bytes[at + i] = Math.floor(size / 256 ** (prefixBytes - 1 - i)) % 256;
    return this;
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** A view of what was written, valid until the next write or `wipe()`. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  wipe(): void {
    this.#bytes.fill(0);
    this.#length = 0;
  }

  #uint(value: number, size: number): this {
    this.#grow(size);
    for (let i = size - 1, rest = value; i >= 0; i--) {
      this.#bytes[this.#length + i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
    this.#length += size;
    return this;
  }

  /** Without a loop: a snapshot has tens of thousands of these. */
  #put32(value: number): void {
    const bytes = this.#bytes;
    const at = this.#length;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
    this.#length = at + 4;
  }

  #grow(extra: number): void {
    const needed = this.#length + extra;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes);
    this.#bytes.fill(0);
    this.#bytes = larger;
  }
}

/** A big-endian number where it is known to lie within the bytes. */
export const readUint16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;

export const readUint32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;

/** Bytes that are missing to the next 32-bit boundary. */
export const paddingTo4 = (length: number): number => (4 - (length % 4)) % 4;

const utf8Encoder = new TextEncoder();
/** A byte order mark is text like any other: to swallow it would make two texts of one meaning. */
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const utf8 = (text: string): Uint8Array => utf8Encoder.encode(text);

/** Text from UTF-8, or `undefined` where it is not valid UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8Decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** Compares tags, digests and tokens in a time that depends on their length only. */
export function equalConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

export const toHex = (bytes: Uint8Array): string => bufferOf(bytes).toString('hex');
export const fromHex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
export const toBase64Url = (bytes: Uint8Array): string => bufferOf(bytes).toString('base64url');

/** Bytes from base64url, or `undefined` where the text is not canonical base64url. */
export function fromBase64Url(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(Buffer.from(text, 'base64url'));
  return toBase64Url(bytes) === text ? bytes : undefined;
}

/** The same memory as a Buffer. */
export const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

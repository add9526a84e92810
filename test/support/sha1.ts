/**
 * SHA-1's compression function by itself (FIPS 180-4 §6.1.2): node:crypto gives no state in the middle, and takes ten times as long for a
 * short message under yet another key.
 */
export type Sha1State = Int32Array;

const BLOCK_WORDS = 16;
const INITIAL = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
const schedule = new Int32Array(80);

export const initialState = (): Sha1State => INITIAL.slice();

/** Takes the block of sixteen words at `offset` of `words` into `state`. */
export function compress(state: Sha1State, words: Int32Array, offset = 0): void {
  const w = schedule;
  for (let i = 0; i < 16; i++) w[i] = words[offset + i]!;
  for (let i = 16; i < 80; i++) {
    const mixed = w[i - 3]! ^ w[i - 8]! ^ w[i - 14]! ^ w[i - 16]!;
    w[i] = (mixed << 1) | (mixed >>> 31);
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  for (let i = 0; i < 80; i++) {
    let f: number;
    if (i < 20) f = ((b & c) | (~b & d)) + 0x5a827999;
    else if (i < 40) f = (b ^ c ^ d) + 0x6ed9eba1;
    else if (i < 60) f = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    else f = (b ^ c ^ d) + 0xca62c1d6;
    const next = (((a << 5) | (a >>> 27)) + f + e + w[i]!) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = next;
  }
  state[0] = (state[0]! + a) | 0;
  state[1] = (state[1]! + b) | 0;
  state[2] = (state[2]! + c) | 0;
  state[3] = (state[3]! + d) | 0;
  state[4] = (state[4]! + e) | 0;
}

/** A message as whole blocks, with its padding, where `before` bytes have gone before it. */
export function paddedWords(message: Uint8Array, before: number): Int32Array {
  const blocks = Math.ceil((message.length + 9) / 64);
  const view = new DataView(new ArrayBuffer(blocks * 64));
  for (const [i, byte] of message.entries()) view.setUint8(i, byte);
  view.setUint8(message.length, 0x80);
  view.setUint32(blocks * 64 - 4, 8 * (before + message.length));
  return Int32Array.from({ length: blocks * BLOCK_WORDS }, (_, i) => view.getInt32(4 * i));
}

/** HMAC-SHA-1 (RFC 2104) under one key, for messages prepared by `paddedWords(message, 64)`. */
export class HmacSha1 {
  readonly #inner = initialState();
  readonly #outer = initialState();
  readonly #block = new Int32Array(BLOCK_WORDS);
  readonly #state = initialState();
  readonly #last = new Int32Array(BLOCK_WORDS);

  /** Keys of 16 to 64 bytes. */
  setKey(key: Uint8Array): this {
    this.#begin(this.#inner, key, 0x36363636);
    this.#begin(this.#outer, key, 0x5c5c5c5c);
    return this;
  }

  /** The first two words of the tag. */
  tagHead(message: Int32Array): readonly [number, number] {
    const state = this.#state;
    state.set(this.#inner);
    for (let at = 0; at < message.length; at += BLOCK_WORDS) compress(state, message, at);
    const last = this.#last;
    last.set(state);
    last[5] = 0x80000000;
    last[15] = 8 * (64 + 20);
    state.set(this.#outer);
    compress(state, last);
    return [state[0]!, state[1]!];
  }

  #begin(state: Sha1State, key: Uint8Array, pad: number): void {
    const block = this.#block;
    for (let i = 0; i < BLOCK_WORDS; i++) {
      const at = 4 * i;
      const word = (key[at]! << 24) | (key[at + 1]! << 16) | (key[at + 2]! << 8) | key[at + 3]!;
      block[i] = word ^ pad;
    }
    state.set(INITIAL);
    compress(state, block);
  }
}

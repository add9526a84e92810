/**
 * The part of AES_CM_128_HMAC_SHA1_80 (RFC 3711 §4) that node:crypto is slow at for many receivers: counter blocks, XOR, and the tags of four
 * packets at once. AES itself stays with node:crypto. AssemblyScript; who calls it is `../crypto-kernel.ts`, which has the layout of the memory too.
 *
 *   1. install()   a receiver's authentication key → SHA-1's state after each pad of HMAC, in its record; the key is zeroed
 *   2. counters()  the counter blocks of one packet for one receiver, which node:crypto makes keystream of, in their place
 *   3. seal()      one packet for four receivers: payload xor keystream, tag
 *   4. wipe()      counter blocks and keystream are zeroed
 *   5. remove()    the record is zeroed
 *
 * There are no pointers from outside: the caller gives numbers of records and slots, and addresses are made here.
 */
import { compress, loadBlock, WORDS_BYTES } from './sha1';

/** Bytes of a record: two states of 20 bytes, then the salt, 14 bytes and two zeroes. */
export const RECORD_BYTES: usize = 64;
const OUTER: usize = 20;
const SALT: usize = 40;

/** The schedule of a block in four lanes, then the states of four lanes: what a seal works with. */
const WORDS: usize = 0;
const STATE: usize = 1280;
/** An authentication key and a salt on their way in. */
export const KEY: usize = 1408;
const BLOCK: usize = 1472;
/** Behind the compiler's own data, which begin at 1536 (`build/kernel.mjs`). */
export const RECORDS: usize = 2048;

function record(index: u32): usize {
  return RECORDS + <usize>index * RECORD_BYTES;
}

/** Makes the record of the authentication key at `KEY` and the salt in the 16 bytes behind it; both are zeroed. */
export function install(index: u32): void {
  const at = record(index);
  hashPad(0x36, at);
  hashPad(0x5c, at + OUTER);
  memory.copy(at + SALT, KEY + 20, 16);
  memory.fill(KEY, 0, 36);
  memory.fill(BLOCK, 0, 64);
  memory.fill(WORDS, 0, WORDS_BYTES);
  memory.fill(STATE, 0, 80);
}

export function remove(index: u32): void {
  memory.fill(record(index), 0, RECORD_BYTES);
}

/**
 * RFC 3711 §4.1.1: IV = (salt * 2^16) xor (SSRC * 2^64) xor (index * 2^16), and the block counter in the last 16 bits. `rollover` and `sequence`
 * are the upper 32 and the lower 16 bits of the index.
 */
export function counters(index: u32, ssrc: u32, rollover: u32, sequence: u32, at: usize, blocks: u32): void {
  const salt = v128.load(record(index) + SALT);
  let mix = i32x4.splat(0);
  mix = i32x4.replace_lane(mix, 1, bswap<u32>(ssrc));
  mix = i32x4.replace_lane(mix, 2, bswap<u32>(rollover));
  mix = i16x8.replace_lane(mix, 6, bswap<u16>(<u16>sequence));
  const iv = v128.xor(salt, mix);
  for (let block: u32 = 0; block < blocks; block++, at += 16) {
    v128.store(at, i16x8.replace_lane(iv, 7, bswap<u16>(<u16>block)));
  }
}

/**
 * Seals the packet at `packet` four times: for record `r<i>` with the keystream at `k<i>` into `o<i>`, where the tag follows the packet. The
 * rollover counters are each receiver's own. Lanes that are not needed repeat another's record, keystream and place.
 */
export function seal(
  packet: usize,
  header: u32,
  length: u32,
  r0: u32,
  r1: u32,
  r2: u32,
  r3: u32,
  k0: usize,
  k1: usize,
  k2: usize,
  k3: usize,
  o0: usize,
  o1: usize,
  o2: usize,
  o3: usize,
  c0: u32,
  c1: u32,
  c2: u32,
  c3: u32,
): void {
  encrypt(packet, header, length, k0, o0);
  encrypt(packet, header, length, k1, o1);
  encrypt(packet, header, length, k2, o2);
  encrypt(packet, header, length, k3, o3);
  const end = pad(o0, length, c0);
  pad(o1, length, c1);
  pad(o2, length, c2);
  pad(o3, length, c3);

  const a = record(r0);
  const b = record(r1);
  const c = record(r2);
  const d = record(r3);
  loadState(a, b, c, d);
  for (let at: usize = 0; at < end; at += 64) {
    loadBlock(WORDS, o0 + at, o1 + at, o2 + at, o3 + at);
    compress(STATE, WORDS);
  }
  // The inner digests are the message of the outer hash: five words, the padding, and 64 + 20 bytes in bits.
  memory.copy(WORDS, STATE, 80);
  v128.store(WORDS, i32x4.splat(0x80000000), 80);
  memory.fill(WORDS + 96, 0, 144);
  v128.store(WORDS, i32x4.splat((64 + 20) * 8), 240);
  loadState(a + OUTER, b + OUTER, c + OUTER, d + OUTER);
  compress(STATE, WORDS);
  writeTag(o0 + length, 0);
  writeTag(o1 + length, 4);
  writeTag(o2 + length, 8);
  writeTag(o3 + length, 12);
}

/** Zeroes keystream, or what would have been. */
export function wipe(at: usize, bytes: usize): void {
  memory.fill(at, 0, bytes);
}

function encrypt(packet: usize, header: u32, length: u32, keystream: usize, out: usize): void {
  memory.copy(out, packet, header);
  let at: usize = header;
  const whole: usize = header + ((length - header) & ~15);
  for (; at < whole; at += 16, keystream += 16) {
    v128.store(out + at, v128.xor(v128.load(packet + at), v128.load(keystream)));
  }
  for (; at < <usize>length; at++, keystream++) {
    store<u8>(out + at, load<u8>(packet + at) ^ load<u8>(keystream));
  }
}

/** RFC 3711 §4.2: the rollover counter is authenticated behind the packet. Then SHA-1's padding; gives where that ends. */
function pad(out: usize, length: u32, rollover: u32): usize {
  const end: usize = (<usize>length + 4 + 8 + 64) & ~63;
  const at = out + length;
  store<u32>(at, bswap<u32>(rollover));
  memory.fill(at + 4, 0, end - length - 4);
  store<u8>(at, 0x80, 4);
  store<u32>(out + end - 4, bswap<u32>((64 + length + 4) * 8));
  return end;
}

function loadState(a: usize, b: usize, c: usize, d: usize): void {
  for (let i: usize = 0; i < 20; i += 4) {
    let lanes = i32x4.splat(load<i32>(a + i));
    lanes = i32x4.replace_lane(lanes, 1, load<i32>(b + i));
    lanes = i32x4.replace_lane(lanes, 2, load<i32>(c + i));
    lanes = i32x4.replace_lane(lanes, 3, load<i32>(d + i));
    v128.store(STATE + (i << 2), lanes);
  }
}

/** The first 80 bits of one lane's digest. */
function writeTag(at: usize, lane: usize): void {
  store<u32>(at, bswap<u32>(load<u32>(STATE + lane)));
  store<u32>(at, bswap<u32>(load<u32>(STATE + 16 + lane)), 4);
  store<u16>(at, bswap<u16>(<u16>(load<u32>(STATE + 32 + lane) >>> 16)), 8);
}

function hashPad(byte: u8, into: usize): void {
  memory.fill(BLOCK, byte, 64);
  for (let i: usize = 0; i < 20; i++) store<u8>(BLOCK + i, load<u8>(KEY + i) ^ byte);
  loadBlock(WORDS, BLOCK, BLOCK, BLOCK, BLOCK);
  v128.store(STATE, i32x4.splat(0x67452301), 0);
  v128.store(STATE, i32x4.splat(0xefcdab89), 16);
  v128.store(STATE, i32x4.splat(0x98badcfe), 32);
  v128.store(STATE, i32x4.splat(0x10325476), 48);
  v128.store(STATE, i32x4.splat(0xc3d2e1f0), 64);
  compress(STATE, WORDS);
  for (let i: usize = 0; i < 20; i += 4) store<u32>(into + i, load<u32>(STATE + (i << 2)));
}

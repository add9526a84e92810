/**
 * SHA-1 (FIPS 180-4 §6.1.2) over four messages at once, one in each 32-bit lane. AssemblyScript.
 *
 * Sixteen vectors at `words` hold the block: vector `t` is word `t` of each lane, and behind them is room for the other words of the schedule.
 * The state is five vectors.
 */

/** The message schedule of four lanes. */
export const WORDS_BYTES: usize = 80 * 16;

/** Loads a block of each lane, big-endian words made native, so that lanes lie beside each other. */
export function loadBlock(words: usize, m0: usize, m1: usize, m2: usize, m3: usize): void {
  for (let i: usize = 0; i < 64; i += 16) {
    const r0 = swapBytes(v128.load(m0 + i));
    const r1 = swapBytes(v128.load(m1 + i));
    const r2 = swapBytes(v128.load(m2 + i));
    const r3 = swapBytes(v128.load(m3 + i));
    const a = i32x4.shuffle(r0, r1, 0, 4, 1, 5);
    const b = i32x4.shuffle(r2, r3, 0, 4, 1, 5);
    const c = i32x4.shuffle(r0, r1, 2, 6, 3, 7);
    const d = i32x4.shuffle(r2, r3, 2, 6, 3, 7);
    const at = words + (i << 2);
    v128.store(at, i64x2.shuffle(a, b, 0, 2), 0);
    v128.store(at, i64x2.shuffle(a, b, 1, 3), 16);
    v128.store(at, i64x2.shuffle(c, d, 0, 2), 32);
    v128.store(at, i64x2.shuffle(c, d, 1, 3), 48);
  }
}

/** Takes the block at `words`, where there is room for all {@link WORDS_BYTES}, into the state at `state`. */
export function compress(state: usize, words: usize): void {
  let a = v128.load(state, 0);
  let b = v128.load(state, 16);
  let c = v128.load(state, 32);
  let d = v128.load(state, 48);
  let e = v128.load(state, 64);
  let at = words;
  let k = i32x4.splat(0x5a827999);
  for (const end = at + 15 * 16; at < end; at += 5 * 16) {
    e = round(a, choose(b, c, d), e, v128.load(at, 0), k);
    b = rotate(b, 30);
    d = round(e, choose(a, b, c), d, v128.load(at, 16), k);
    a = rotate(a, 30);
    c = round(d, choose(e, a, b), c, v128.load(at, 32), k);
    e = rotate(e, 30);
    b = round(c, choose(d, e, a), b, v128.load(at, 48), k);
    d = rotate(d, 30);
    a = round(b, choose(c, d, e), a, v128.load(at, 64), k);
    c = rotate(c, 30);
  }
  e = round(a, choose(b, c, d), e, v128.load(at, 0), k);
  b = rotate(b, 30);
  d = round(e, choose(a, b, c), d, next(at + 16), k);
  a = rotate(a, 30);
  c = round(d, choose(e, a, b), c, next(at + 32), k);
  e = rotate(e, 30);
  b = round(c, choose(d, e, a), b, next(at + 48), k);
  d = rotate(d, 30);
  a = round(b, choose(c, d, e), a, next(at + 64), k);
  c = rotate(c, 30);
  at += 5 * 16;
  k = i32x4.splat(0x6ed9eba1);
  for (const end = at + 20 * 16; at < end; at += 5 * 16) {
    e = round(a, parity(b, c, d), e, next(at), k);
    b = rotate(b, 30);
    d = round(e, parity(a, b, c), d, next(at + 16), k);
    a = rotate(a, 30);
    c = round(d, parity(e, a, b), c, next(at + 32), k);
    e = rotate(e, 30);
    b = round(c, parity(d, e, a), b, next(at + 48), k);
    d = rotate(d, 30);
    a = round(b, parity(c, d, e), a, next(at + 64), k);
    c = rotate(c, 30);
  }
  k = i32x4.splat(0x8f1bbcdc);
  for (const end = at + 20 * 16; at < end; at += 5 * 16) {
    e = round(a, majority(b, c, d), e, next(at), k);
    b = rotate(b, 30);
    d = round(e, majority(a, b, c), d, next(at + 16), k);
    a = rotate(a, 30);
    c = round(d, majority(e, a, b), c, next(at + 32), k);
    e = rotate(e, 30);
    b = round(c, majority(d, e, a), b, next(at + 48), k);
    d = rotate(d, 30);
    a = round(b, majority(c, d, e), a, next(at + 64), k);
    c = rotate(c, 30);
  }
  k = i32x4.splat(0xca62c1d6);
  for (const end = at + 20 * 16; at < end; at += 5 * 16) {
    e = round(a, parity(b, c, d), e, next(at), k);
    b = rotate(b, 30);
    d = round(e, parity(a, b, c), d, next(at + 16), k);
    a = rotate(a, 30);
    c = round(d, parity(e, a, b), c, next(at + 32), k);
    e = rotate(e, 30);
    b = round(c, parity(d, e, a), b, next(at + 48), k);
    d = rotate(d, 30);
    a = round(b, parity(c, d, e), a, next(at + 64), k);
    c = rotate(c, 30);
  }
  v128.store(state, i32x4.add(v128.load(state, 0), a), 0);
  v128.store(state, i32x4.add(v128.load(state, 16), b), 16);
  v128.store(state, i32x4.add(v128.load(state, 32), c), 32);
  v128.store(state, i32x4.add(v128.load(state, 48), d), 48);
  v128.store(state, i32x4.add(v128.load(state, 64), e), 64);
}

function swapBytes(x: v128): v128 {
  return i8x16.shuffle(x, x, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
}

/**
 * Each round waits for the `a` of the one before, and that for nothing else: what is long is made of the words that were there already, here and in the
 * three functions, whose first argument is the youngest.
 */
function round(a: v128, f: v128, e: v128, word: v128, k: v128): v128 {
  return i32x4.add(rotate(a, 5), i32x4.add(f, i32x4.add(i32x4.add(e, k), word)));
}

function rotate(x: v128, by: i32): v128 {
  return v128.or(i32x4.shl(x, by), i32x4.shr_u(x, 32 - by));
}

function choose(b: v128, c: v128, d: v128): v128 {
  return v128.xor(d, v128.and(b, v128.xor(c, d)));
}

function parity(b: v128, c: v128, d: v128): v128 {
  return v128.xor(b, v128.xor(c, d));
}

function majority(b: v128, c: v128, d: v128): v128 {
  return v128.or(v128.and(b, v128.or(c, d)), v128.and(c, d));
}

/** The word at `at`, made of those before it. */
function next(at: usize): v128 {
  const from = at - 16 * 16;
  const far = v128.xor(v128.load(from, 13 * 16), v128.load(from, 8 * 16));
  const near = v128.xor(v128.load(from, 2 * 16), v128.load(from, 0));
  const word = rotate(v128.xor(far, near), 1);
  v128.store(from, word, 16 * 16);
  return word;
}

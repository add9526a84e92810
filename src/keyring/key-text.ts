import { RekeycastError } from '../errors.ts';
import { Secret } from '../util/secret.ts';
import { BOX_KEY_BYTES } from '../util/sodium.ts';

/**
 * Snapshot keys as a file, a credential or a command gives them, primary first:
 *
 *   32 bytes, as they are        one key
 *   lines                        a key each: 64 hex digits, or base64 (also the URL's kind, with or without `=`) of 32 bytes. Blank lines and
 *                                those that begin with # are skipped
 *
 * Read byte by byte, because a string could not be wiped. Throws `KEY_INVALID`, with the number of the line and never its content.
 */
export function parseKeys(text: Secret, place: string): readonly Secret[] {
  const { bytes } = text;
  const refuse = (problem: string): RekeycastError =>
    new RekeycastError('KEY_INVALID', `${place} holds no snapshot keys: ${problem}. ${WORDS}`);
  if (bytes.length === 0) throw refuse('it is empty');
  const keys: Secret[] = [];
  try {
    if (bytes.length === BOX_KEY_BYTES) {
      if (bytes.every(isPrintable))
        throw refuse('its 32 bytes are text, too short for a key in hex or base64');
      keys.push(Secret.copy(bytes));
    } else for (const [number, line] of linesOf(bytes)) keys.push(keyOf(line, number, refuse));
    if (keys.length === 0) throw refuse('it has no line with a key');
    if (keys.length > MAX_KEYS) throw refuse(`it has more than ${MAX_KEYS} keys`);
    if (keys.some((key) => key.bytes.every((byte) => byte === key.bytes[0])))
      throw refuse('one of its keys is the same byte over and over');
    return keys;
  } catch (cause) {
    for (const key of keys) key.dispose();
    throw cause;
  }
}

/** What a source may hold at most: more than keys take. */
export const MAX_SOURCE_BYTES = 16 * 1024;

const MAX_KEYS = 16;
const WORDS =
  'It takes the 32 bytes of a key, or one key a line, primary first, as 64 hex digits or in base64 (openssl rand -base64 32 makes one)';
const NEWLINE = 0x0a;
const HASH = 0x23;

const isPrintable = (byte: number): boolean => byte >= 0x20 && byte < 0x7f;
const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d;

/** Those that say something, with their numbers, without the blanks around. */
function* linesOf(bytes: Uint8Array): Generator<readonly [number, Uint8Array]> {
  let number = 0;
  for (let start = 0; start < bytes.length; ) {
    number++;
    const newline = bytes.indexOf(NEWLINE, start);
    let [from, to] = [start, newline < 0 ? bytes.length : newline];
    start = to + 1;
    while (from < to && isBlank(bytes[from]!)) from++;
    while (to > from && isBlank(bytes[to - 1]!)) to--;
    if (from < to && bytes[from] !== HASH) yield [number, bytes.subarray(from, to)];
  }
}

function keyOf(line: Uint8Array, number: number, refuse: (problem: string) => RekeycastError): Secret {
  const key = Secret.alloc(BOX_KEY_BYTES);
  const good =
    line.length === 2 * BOX_KEY_BYTES
      ? decode(line, 4, hexValue, key.bytes)
      : decode(withoutPadding(line), 6, base64Value, key.bytes);
  if (good) return key;
  key.dispose();
  throw refuse(`line ${number}, ${line.length} characters long, is no key`);
}

function withoutPadding(line: Uint8Array): Uint8Array {
  const padded = line.length === 44 && line[43] === 0x3d;
  return padded ? line.subarray(0, 43) : line;
}

/** Fills the target, to its end and not beyond; `false` where the digits are not of this kind or of another count. */
function decode(
  digits: Uint8Array,
  bits: number,
  digitValue: (digit: number) => number,
  target: Uint8Array,
): boolean {
  if (digits.length !== Math.ceil((target.length * 8) / bits)) return false;
  let [pending, held, at] = [0, 0, 0];
  for (const digit of digits) {
    const value = digitValue(digit);
    if (value < 0) return false;
    pending = ((pending << bits) | value) & 0xffff;
    held += bits;
    if (held < 8) continue;
    held -= 8;
    target[at++] = (pending >> held) & 0xff;
  }
  // What is left over says nothing; another text for the same key would be a slip of the hand.
  return (pending & ((1 << held) - 1)) === 0;
}

function hexValue(digit: number): number {
  if (digit >= 0x30 && digit <= 0x39) return digit - 0x30;
  const lower = digit | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}

function base64Value(digit: number): number {
  if (digit >= 0x41 && digit <= 0x5a) return digit - 0x41;
  if (digit >= 0x61 && digit <= 0x7a) return digit - 0x61 + 26;
  if (digit >= 0x30 && digit <= 0x39) return digit - 0x30 + 52;
  if (digit === 0x2b || digit === 0x2d) return 62;
  return digit === 0x2f || digit === 0x5f ? 63 : -1;
}

import { bufferOf, concat } from '../../src/util/bytes.ts';
import type { Random } from './random.ts';

/** Values at which lengths, counts and signs turn. */
const INTERESTING = [
  0, 1, 2, 3, 4, 7, 8, 12, 13, 15, 16, 17, 20, 31, 32, 63, 64, 127, 128, 255, 256, 511, 1023, 1024, 4095,
  4096, 16383, 16384, 32767, 32768, 65534, 65535, 0xbede, 0x7fffff, 0xffffff, 0x7fffffff, 0x80000000,
  0xfffffffe, 0xffffffff,
];
const MAX_INSERTED = 32;
const MAX_REPEATS = 64;

type Operation = (input: Uint8Array, random: Random, donor: Uint8Array) => Uint8Array;

/** Changes bytes with no idea of their meaning, a few times. `donor` is another input, for splices. */
export function mutateBytes(input: Uint8Array, random: Random, donor: Uint8Array): Uint8Array {
  let mutated = input;
  for (let left = 1 + random.below(4); left > 0; left--)
    mutated = random.pick(OPERATIONS)(mutated, random, donor);
  return mutated;
}

/** Changes the order and number of parts: drops, doubles, swaps and repeats, and changes one by `change`. */
export function mutateList<T>(
  parts: readonly T[],
  random: Random,
  change: (part: T) => T,
  fresh: () => T,
): readonly T[] {
  const at = random.below(parts.length);
  const part = parts[at];
  if (part === undefined || random.chance(0.1)) return parts.toSpliced(at, 0, fresh());
  switch (random.below(7)) {
    case 0:
      return parts.toSpliced(at, 1);
    case 1:
      return parts.toSpliced(random.below(parts.length + 1), 0, part);
    case 2: {
      const to = random.below(parts.length);
      return parts.with(at, parts[to]!).with(to, part);
    }
    case 3:
      return [...parts, ...new Array<T>(random.below(MAX_REPEATS)).fill(part)];
    default:
      return parts.with(at, change(part));
  }
}

/** Changes one place of a JSON value: drops or doubles a member, or puts something of another type or size there. */
export function mutateJson(value: unknown, random: Random): unknown {
  if (Array.isArray(value) && value.length > 0 && random.chance(0.8))
    return mutateList(
      value,
      random,
      (part) => mutateJson(part, random),
      () => jsonValue(random),
    );
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && random.chance(0.9)) {
    const members = mutateList<[string, unknown]>(
      Object.entries(value),
      random,
      ([name, inner]) => (random.chance(0.2) ? [jsonName(random), inner] : [name, mutateJson(inner, random)]),
      () => [jsonName(random), jsonValue(random)],
    );
    return Object.fromEntries(members);
  }
  if (typeof value === 'string' && random.chance(0.6)) return mutateText(value, random);
  if (typeof value === 'number' && random.chance(0.6))
    return value + random.pick([-1, 1, 0.5, 2 ** 32, 2 ** 53]);
  return jsonValue(random);
}

/** Text through the byte mutations, and with the characters that parsers trip over. */
export function mutateText(text: string, random: Random): string {
  if (random.chance(0.3)) {
    const at = random.below(text.length + 1);
    return text.slice(0, at) + random.pick(ODD_TEXT) + text.slice(at + random.below(3));
  }
  const bytes = new Uint8Array(Buffer.from(text, 'utf8'));
  return bufferOf(mutateBytes(bytes, random, bytes)).toString('utf8');
}

/** A big-endian number of 1 to 8 bytes; what does not fit is cut. */
export function bigEndian(value: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = size - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  return bytes;
}

/** The bytes with others written over them from `at` on; what sticks out is cut. */
export function overwritten(input: Uint8Array, at: number, bytes: Uint8Array): Uint8Array {
  const changed = input.slice();
  if (at < changed.length) changed.set(bytes.subarray(0, changed.length - at), at);
  return changed;
}

const ODD_TEXT = [
  '\0',
  '\ufeff',
  '\u2028',
  '\ud800',
  '\r',
  '\n',
  '\r\n',
  '\t',
  ' ',
  '"',
  '\\',
  ',',
  ':',
  ';',
  '/',
  '.',
  '=',
  '%00',
  '%',
  '-',
  '+',
  '0x1',
  '1e9',
  '-1',
  '9007199254740993',
  '__proto__',
  'constructor',
  'toString',
  '\u00e9',
  '\u{1f600}',
];

const OPERATIONS: readonly Operation[] = [
  flipBit,
  flipBit,
  setByte,
  setNumber,
  setNumber,
  lieAboutLength,
  insert,
  cut,
  truncate,
  double,
  repeat,
  swap,
  splice,
];

function flipBit(input: Uint8Array, random: Random): Uint8Array {
  const at = random.below(input.length);
  return overwritten(input, at, Uint8Array.of((input[at] ?? 0) ^ (1 << random.below(8))));
}

function setByte(input: Uint8Array, random: Random): Uint8Array {
  return overwritten(input, random.below(input.length), Uint8Array.of(random.below(256)));
}

function setNumber(input: Uint8Array, random: Random): Uint8Array {
  const size = random.pick([1, 2, 3, 4, 6, 8]);
  return overwritten(input, random.below(input.length), bigEndian(random.pick(INTERESTING), size));
}

/** Makes a 16-bit number a little larger or smaller: a length that lies. */
function lieAboutLength(input: Uint8Array, random: Random): Uint8Array {
  const at = random.below(input.length - 1);
  const value = ((input[at] ?? 0) << 8) + (input[at + 1] ?? 0);
  return overwritten(input, at, bigEndian((value + random.pick([-4, -2, -1, 1, 2, 4]) + 65_536) % 65_536, 2));
}

function insert(input: Uint8Array, random: Random): Uint8Array {
  const at = random.below(input.length + 1);
  return concat(input.subarray(0, at), random.bytes(1 + random.below(MAX_INSERTED)), input.subarray(at));
}

function cut(input: Uint8Array, random: Random): Uint8Array {
  const [start, end] = span(input, random);
  return concat(input.subarray(0, start), input.subarray(end));
}

function truncate(input: Uint8Array, random: Random): Uint8Array {
  return input.slice(0, random.below(input.length));
}

function double(input: Uint8Array, random: Random): Uint8Array {
  const [start, end] = span(input, random);
  const at = random.below(input.length + 1);
  return concat(input.subarray(0, at), input.subarray(start, end), input.subarray(at));
}

function repeat(input: Uint8Array, random: Random): Uint8Array {
  const [start, end] = span(input, random);
  const part = input.subarray(start, Math.min(end, start + MAX_INSERTED));
  const copies = new Array<Uint8Array>(random.below(MAX_REPEATS)).fill(part);
  return concat(input.subarray(0, end), ...copies, input.subarray(end));
}

function swap(input: Uint8Array, random: Random): Uint8Array {
  const [start, end] = span(input, random);
  const middle = start + random.below(end - start);
  return concat(
    input.subarray(0, start),
    input.subarray(middle, end),
    input.subarray(start, middle),
    input.subarray(end),
  );
}

function splice(input: Uint8Array, random: Random, donor: Uint8Array): Uint8Array {
  return concat(
    input.subarray(0, random.below(input.length + 1)),
    donor.subarray(random.below(donor.length + 1)),
  );
}

function span(input: Uint8Array, random: Random): [start: number, end: number] {
  const start = random.below(input.length);
  return [start, Math.min(input.length, start + 1 + random.below(random.chance(0.5) ? 8 : input.length))];
}

const jsonName = (random: Random): string =>
  random.pick(['type', '__proto__', 'constructor', 'toString', '', 'sdp', 'id', 'x', '\u0000']);

const jsonValue = (random: Random): unknown =>
  random.pick<unknown>([
    null,
    true,
    false,
    0,
    -1,
    1,
    0.5,
    1e300,
    2 ** 53,
    '',
    'x',
    [],
    {},
    [[]],
    { type: 'join' },
    'a'.repeat(300),
    '\u0000',
    '\ufeff',
    '__proto__',
  ]);

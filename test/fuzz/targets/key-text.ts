import { RekeycastError } from '../../../src/errors.ts';
import { MAX_SOURCE_BYTES, parseKeys } from '../../../src/keyring/key-text.ts';
import { isWrapped, unwrapKeys, wrapKeys } from '../../../src/keyring/passphrase.ts';
import { bufferOf, toHex, utf8 } from '../../../src/util/bytes.ts';
import { randomBytes } from '../../../src/util/rng.ts';
import { Secret } from '../../../src/util/secret.ts';
import { keyText as base64Key } from '../../support/key-text.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateList, mutateText } from '../mutate.ts';
import type { Random } from '../random.ts';

const KEY_BYTES = 32;
const MAX_KEYS = 16;
const PASSPHRASE = utf8('correct horse battery staple');
const hexKey = (seed: number): string => toHex(bufferOf(utf8(base64Key(seed))).subarray(0, KEY_BYTES));

const mutateLines = (input: Uint8Array, random: Random): Uint8Array =>
  utf8(
    mutateList(
      bufferOf(input).toString('latin1').split('\n'),
      random,
      (line) => mutateText(line, random),
      () => base64Key(random.below(9)),
    ).join('\n'),
  );

export const keyText: FuzzTarget = {
  id: 'fuzz-key-text',
  claim:
    'what others keep is read to keys of 32 bytes, none of them one byte over and over, or refused without a word of its content',
  inputs: 6_000,
  maxBytes: MAX_SOURCE_BYTES,
  reaches: ['1', '2', 'refused'],
  seeds: () => [
    randomBytes(seededRandom(5), KEY_BYTES),
    utf8(base64Key(1)),
    utf8(`# two of them\n${base64Key(1)}\r\n\n  ${hexKey(2)}\t\n`),
    utf8(base64Key(3).replaceAll('+', '-').replaceAll('/', '_').replace('=', '')),
    utf8(Array.from({ length: MAX_KEYS + 1 }, (_, seed) => base64Key(seed)).join('\n')),
    utf8('0'.repeat(2 * KEY_BYTES)),
  ],
  mutate: mutateLines,
  run: (input) => {
    const text = Secret.copy(input);
    try {
      const keys = parseKeys(text, 'the place');
      for (const key of keys) {
        if (key.length !== KEY_BYTES) throw new Error('a key of another size');
        if (new Set(key.bytes).size === 1) throw new Error('a key that is one byte');
        key.dispose();
      }
      if (keys.length === 0 || keys.length > MAX_KEYS) throw new Error(`${keys.length} keys`);
      return String(keys.length);
    } catch (cause) {
      if (!(cause instanceof RekeycastError)) throw cause;
      // What is short is in the words by chance.
      const content = bufferOf(input).toString('latin1').trim();
      if (content.length > 24 && cause.message.includes(content))
        throw new Error('it tells what it has read');
      return 'refused';
    } finally {
      text.dispose();
    }
  },
};

const wrapped = (text: string, seed: number): Uint8Array => {
  const [keys, passphrase] = [Secret.copy(utf8(text)), Secret.copy(PASSPHRASE)];
  const line = wrapKeys(keys, passphrase, seededRandom(seed), { log2N: 1, r: 1, p: 1 });
  keys.dispose();
  passphrase.dispose();
  return utf8(line);
};
/** What a file may ask for takes a second and a gigabyte; that is not tried so often. */
const isCheap = (input: Uint8Array): boolean => {
  const [, log2N = 0, r = 0, p = 0] =
    /^\S+ (\d\d?) (\d\d?) (\d\d?) /.exec(bufferOf(input).toString('latin1'))?.map(Number) ?? [];
  return log2N <= 6 || log2N >= 16 * r || log2N > 20 || r > 8 || p > 4;
};

export const wrappedKeys: FuzzTarget = {
  id: 'fuzz-wrapped-keys',
  claim: 'keys under a passphrase come out as they went in, or not at all',
  inputs: 4_000,
  maxBytes: 4 * 1_024,
  reaches: ['opened', 'refused', 'not wrapped'],
  seeds: () => [
    wrapped(base64Key(1), 1),
    wrapped(`${base64Key(1)}\n${base64Key(2)}\n`, 2),
    wrapped('', 3),
    utf8(base64Key(1)),
  ],
  mutate: (input, random) => {
    const words = bufferOf(input).toString('latin1').split(' ');
    const fresh = () => String(random.below(32));
    return utf8(mutateList(words, random, (word) => mutateText(word, random), fresh).join(' '));
  },
  run: (input) => {
    if (!isWrapped(input)) return 'not wrapped';
    if (!isCheap(input)) return 'not tried';
    const passphrase = Secret.copy(PASSPHRASE);
    try {
      const keys = unwrapKeys(input, passphrase, 'the place');
      const known = ['', base64Key(1), `${base64Key(1)}\n${base64Key(2)}\n`].map((text) => toHex(utf8(text)));
      const opened = toHex(keys.bytes);
      keys.dispose();
      if (!known.includes(opened)) throw new Error('something else came out');
      return 'opened';
    } catch (cause) {
      if (!(cause instanceof RekeycastError)) throw cause;
      if (cause.code !== 'KEY_INVALID') throw new Error(`refused as ${cause.code}`);
      return 'refused';
    } finally {
      passphrase.dispose();
    }
  },
};

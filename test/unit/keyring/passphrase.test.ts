import { describe, expect, it } from 'vitest';
import { isWrapped, unwrapKeys, wrapKeys } from '../../../src/keyring/passphrase.ts';
import { utf8 } from '../../../src/util/bytes.ts';
import { Secret } from '../../../src/util/secret.ts';
import { seededRandom } from '../../support/seeded-rng.ts';

const KEYS = Secret.copy(utf8(`${'5a'.repeat(31)}01\n`));
const PASSPHRASE = Secret.copy(utf8('correct horse battery staple'));
const QUICK = { log2N: 4, r: 8, p: 1 };
const WRAPPED = wrapKeys(KEYS, PASSPHRASE, seededRandom(1), QUICK);

const unwrap = (text: string, passphrase = PASSPHRASE): Secret =>
  unwrapKeys(utf8(text), passphrase, 'the file');

describe('keys under a passphrase', () => {
  it('come back with it, and are not to be seen without', () => {
    expect(isWrapped(utf8(WRAPPED))).toBe(true);
    expect(isWrapped(KEYS.bytes)).toBe(false);
    expect(WRAPPED).toMatch(/^rekeycast-keys-scrypt-1 4 8 1 \S+ \S+ \S+\n$/);
    expect(unwrap(WRAPPED).bytes).toEqual(KEYS.bytes);
    expect(unwrap(WRAPPED.trim()).bytes).toEqual(KEYS.bytes);
  });

  it('cost whoever guesses 128 MiB and work each time', () => {
    expect(wrapKeys(KEYS, PASSPHRASE, seededRandom(1))).toMatch(/^rekeycast-keys-scrypt-1 17 8 1 /);
  });

  it('are another text each time', () => {
    expect(wrapKeys(KEYS, PASSPHRASE, seededRandom(2), QUICK)).not.toBe(WRAPPED);
  });

  it('do not come back with another passphrase', () => {
    expect(() => unwrap(WRAPPED, Secret.copy(utf8('correct horse')))).toThrowError(
      expect.objectContaining({
        code: 'KEY_INVALID',
        message: expect.stringContaining('KEYS_PASSPHRASE_FILE'),
      }),
    );
  });

  it('do not come back where one character is another, wherever it is', () => {
    for (let at = 0; at < WRAPPED.length - 2; at++) {
      const other = WRAPPED[at] === '2' ? '3' : '2';
      expect(() => unwrap(WRAPPED.slice(0, at) + other + WRAPPED.slice(at + 1))).toThrowError(
        expect.objectContaining({ code: 'KEY_INVALID' }),
      );
    }
  });

  it.each([
    'rekeycast-keys-scrypt-1 40 8 1',
    'rekeycast-keys-scrypt-1 17 9 1',
    'rekeycast-keys-scrypt-1 17 8 99',
    'rekeycast-keys-scrypt-1 0 8 1',
    'rekeycast-keys-scrypt-1 17 1 1',
  ])('may not ask for more than this machine gives: %s', (head) => {
    expect(() => unwrap(WRAPPED.replace(/^\S+ \d+ \d+ \d+/, head))).toThrow('is not one of');
  });
});

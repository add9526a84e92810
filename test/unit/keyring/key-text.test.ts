import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseKeys } from '../../../src/keyring/key-text.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { Secret } from '../../../src/util/secret.ts';

const KEY = Buffer.from(Array.from({ length: 32 }, (_, at) => (at * 37 + 200) & 0xff));
const OTHER = Buffer.from(KEY).reverse();

const parse = (text: string | Uint8Array): string[] =>
  parseKeys(Secret.copy(Buffer.from(text as string)), 'the file').map(({ bytes }) => toHex(bytes));

describe('keys in a file', () => {
  it.each([
    ['as they are', KEY],
    ['in hex', `${KEY.toString('hex')}\n`],
    ['in capital hex, without a line break', KEY.toString('hex').toUpperCase()],
    ['in base64', `${KEY.toString('base64')}\n`],
    ['in base64 of the URL kind', KEY.toString('base64url')],
    ['among comments and blanks', `# made in May\r\n\r\n  ${KEY.toString('base64')}\t\r\n#\n`],
  ])('%s are one', (_, text) => {
    expect(parse(text)).toEqual([KEY.toString('hex')]);
  });

  it('are several, in their order and each in its own form', () => {
    expect(parse(`${OTHER.toString('hex')}\n${KEY.toString('base64')}`)).toEqual([
      OTHER.toString('hex'),
      KEY.toString('hex'),
    ]);
  });

  it('of any bytes come back from any form', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        fc.pre(new Set(bytes).size > 1);
        const buffer = Buffer.from(bytes);
        for (const form of ['hex', 'base64', 'base64url'] as const)
          expect(parse(buffer.toString(form))).toEqual([buffer.toString('hex')]);
      }),
    );
  });

  it.each([
    ['nothing', '', 'it is empty'],
    ['comments alone', '# none\n\n', 'no line with a key'],
    ['a key that is cut', KEY.toString('hex').slice(2), 'line 1, 62 characters long'],
    ['a second line that is none', `${KEY.toString('hex')}\nhunter2`, 'line 2, 7 characters long'],
    ['a digit that is none', KEY.toString('hex').replace(/^./, 'g'), 'line 1'],
    ['bits that are left over', `${KEY.toString('base64url').slice(0, 42)}B`, 'line 1'],
    ['31 bytes', KEY.subarray(1), 'line 1'],
    ['a text of 32 characters', KEY.toString('hex').slice(32), 'are text'],
    ['zeroes', '00'.repeat(32), 'the same byte over and over'],
    ['more than anybody has', `${KEY.toString('hex')}\n`.repeat(17), 'more than 16'],
  ])('are refused where there is %s, without showing it', (_, text, words) => {
    expect(() => parse(text)).toThrowError(
      expect.objectContaining({ code: 'KEY_INVALID', message: expect.stringContaining(words) }),
    );
    expect(() => parse(text)).not.toThrow('hunter2');
  });
});

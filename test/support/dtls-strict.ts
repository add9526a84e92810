import { expect } from 'vitest';
import { concat } from '../../src/util/bytes.ts';

/** A decoder takes this encoding, none of its prefixes (but for those that are whole as well), and nothing behind it. */
export function expectStrict(
  decode: (bytes: Uint8Array) => unknown,
  encoded: Uint8Array,
  wholeAt: readonly number[] = [],
): void {
  expect(decode(encoded)).toBeDefined();
  for (let length = 0; length < encoded.length; length++) {
    if (!wholeAt.includes(length)) expect(decode(encoded.subarray(0, length))).toBeUndefined();
  }
  expect(decode(concat(encoded, Uint8Array.of(0)))).toBeUndefined();
}

import { hkdfSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { deriveWriterKey } from '../../../src/keyring/writer-key.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { Secret } from '../../../src/util/secret.ts';
import { seededRandom } from '../../support/seeded-rng.ts';

const secretKey = (seed: number): Secret => Secret.random(32, seededRandom(seed));

describe('the writer key', () => {
  it('is HKDF-SHA-256 of the secret key, as another implementation has it', () => {
    for (const seed of [1, 2, 3]) {
      const secret = secretKey(seed);
      const expected = hkdfSync('sha256', secret.bytes, 'rekeycast', 'snapshot writer v2', 32);
      expect(toHex(deriveWriterKey(secret).bytes)).toBe(toHex(new Uint8Array(expected)));
    }
  });

  it('is neither the secret key nor that of another one, and leaves it to the caller', () => {
    const [first, second] = [secretKey(1), secretKey(2)];
    const derived = toHex(deriveWriterKey(first).bytes);
    expect(derived).not.toBe(toHex(deriveWriterKey(second).bytes));
    expect(derived).not.toBe(toHex(first.bytes));
  });
});

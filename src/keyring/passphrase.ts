import { createCipheriv, createDecipheriv, scryptSync } from 'node:crypto';
import { RekeycastError } from '../errors.ts';
import { decodeUtf8, equalConstantTime, fromBase64Url, toBase64Url, utf8 } from '../util/bytes.ts';
import { type RandomSource, randomBytes } from '../util/rng.ts';
import { Secret } from '../util/secret.ts';

/**
 * Snapshot keys under a passphrase, as one line:
 *
 *   rekeycast-keys-scrypt-1 <log2 of N> <r> <p> <salt> <nonce> <ciphertext and tag>
 *
 * scrypt (RFC 7914) makes the key of AES-256-GCM, whose associated data is all of the line in front of the ciphertext. Salt, nonce and ciphertext
 * are base64url. What is inside is in one of the formats of `parseKeys`.
 */
const MAGIC = 'rekeycast-keys-scrypt-1';
/** 128 MiB and about half a second, at a start. A passphrase that is guessed offline is worth that. */
const COST = { log2N: 17, r: 8, p: 1 };
/** What a file may ask of this machine: 1 GiB. */
const MAX_COST = { log2N: 20, r: 8, p: 4 };
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const LINE =
  /^(rekeycast-keys-scrypt-1 (\d{1,2}) (\d{1,2}) (\d{1,2}) ([\w-]{22}) ([\w-]{16}) )([\w-]{22,32768})\s*$/;

export const isWrapped = (bytes: Uint8Array): boolean =>
  equalConstantTime(bytes.subarray(0, MAGIC.length), utf8(MAGIC));

/** `cost` is for tests. */
export function wrapKeys(keys: Secret, passphrase: Secret, rng: RandomSource, cost = COST): string {
  const [salt, nonce] = [randomBytes(rng, SALT_BYTES), randomBytes(rng, NONCE_BYTES)];
  const head = `${MAGIC} ${cost.log2N} ${cost.r} ${cost.p} ${toBase64Url(salt)} ${toBase64Url(nonce)} `;
  const key = deriveKey(passphrase, salt, cost);
  const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce).setAAD(utf8(head));
  const sealed = Buffer.concat([cipher.update(keys.bytes), cipher.final(), cipher.getAuthTag()]);
  key.dispose();
  return `${head}${toBase64Url(sealed)}\n`;
}

/** Throws `KEY_INVALID`: a wrong passphrase and a damaged file are the same to whoever looks. */
export function unwrapKeys(wrapped: Uint8Array, passphrase: Secret, place: string): Secret {
  const match = LINE.exec(decodeUtf8(wrapped) ?? '');
  const [, head = '', log2N, r, p, salt = '', , sealed = ''] = match ?? [];
  const cost = { log2N: Number(log2N), r: Number(r), p: Number(p) };
  const bytes = fromBase64Url(sealed);
  const nonce = fromBase64Url(match?.[6] ?? '');
  const saltBytes = fromBase64Url(salt);
  if (
    match === null ||
    bytes === undefined ||
    nonce === undefined ||
    saltBytes === undefined ||
    Math.min(cost.log2N, cost.r, cost.p) < 1 ||
    cost.log2N > MAX_COST.log2N ||
    cost.r > MAX_COST.r ||
    cost.p > MAX_COST.p ||
    // RFC 7914 §2: N is less than 2^(16 r).
    cost.log2N >= 16 * cost.r
  )
    throw new RekeycastError('KEY_INVALID', `${place} is damaged: its line is not one of ${MAGIC}`);
  const key = deriveKey(passphrase, saltBytes, cost);
  const plain = Secret.alloc(bytes.length - TAG_BYTES);
  try {
    const decipher = createDecipheriv('aes-256-gcm', key.bytes, nonce)
      .setAAD(utf8(head))
      .setAuthTag(bytes.subarray(-TAG_BYTES));
    const opened = decipher.update(bytes.subarray(0, -TAG_BYTES));
    plain.bytes.set(opened);
    opened.fill(0);
    decipher.final();
    return plain;
  } catch (cause) {
    plain.dispose();
    throw new RekeycastError(
      'KEY_INVALID',
      `${place} does not open with this passphrase, or is damaged. Check KEYS_PASSPHRASE_FILE`,
      { cause },
    );
  } finally {
    key.dispose();
  }
}

function deriveKey(passphrase: Secret, salt: Uint8Array, { log2N, r, p }: typeof COST): Secret {
  const N = 2 ** log2N;
  // scrypt takes 128 * N * r bytes (RFC 7914 §2), and a little more.
  const maxmem = 128 * N * r + 128 * r * p + 1024 * 1024;
  return Secret.take(scryptSync(passphrase.bytes, salt, 32, { N, r, p, maxmem }));
}

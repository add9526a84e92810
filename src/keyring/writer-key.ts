import { createHmac } from 'node:crypto';
import { utf8 } from '../util/bytes.ts';
import { Secret, wipe } from '../util/secret.ts';

const SALT = utf8('rekeycast');
const INFO = utf8('snapshot writer v2');
const LAST_BLOCK = Uint8Array.of(1);

/**
 * The key that shows who wrote a sealed file: HKDF-SHA-256 (RFC 5869) of the snapshot secret key, one block long. There is no way back from
 * it, so that a running server, which holds it, can write snapshots and still read none.
 *
 * Not by `hkdfSync`, which keeps a copy of the secret key in a KeyObject until it is collected. The caller keeps `secretKey`.
 */
export function deriveWriterKey(secretKey: Secret): Secret {
  const extracted = createHmac('sha256', SALT).update(secretKey.bytes).digest();
  const expanded = createHmac('sha256', extracted).update(INFO).update(LAST_BLOCK).digest();
  wipe(extracted);
  return Secret.take(expanded);
}

/** HMAC-SHA-256 under a writer key, of the head of a file or of an anchor: they begin with other letters, so that neither passes for the other. */
export function macOf(bytes: Uint8Array, writerKey: Secret): Uint8Array {
  return createHmac('sha256', writerKey.bytes).update(bytes).digest();
}

import { createECDH, createPrivateKey, createPublicKey } from 'node:crypto';
import { fromHex, toHex } from '../../src/util/bytes.ts';
import { readMemory } from './memory.ts';
import { looksRandom } from './memory-loot.ts';

const SCALAR_BYTES = 32;
const X25519_BYTES = 32;
/** What malloc gives is aligned to this. */
const ALIGNMENT = 16;
/** RFC 8410 §7 and §4: what DER puts before an X25519 private key, and the length of what it puts before a public one. */
const X25519_PKCS8_PREFIX = fromHex('302e020100300506032b656e04220420');
const X25519_SPKI_PREFIX_BYTES = 12;

/** What lies in the memory of a process and could be a private key, in hex: all that looks like a scalar of X25519 or of P-256. */
export async function scalarsIn(pid: number): Promise<ReadonlySet<string>> {
  const seen = new Set<string>();
  await readMemory(
    pid,
    SCALAR_BYTES,
    (chunk) => {
      for (let at = 0; at + SCALAR_BYTES <= chunk.length; at += ALIGNMENT) {
        if (looksRandom(chunk, at, SCALAR_BYTES)) seen.add(toHex(chunk.subarray(at, at + SCALAR_BYTES)));
      }
    },
    ({ writable }) => writable,
  );
  return seen;
}

/**
 * Which of these public keys (X25519, or uncompressed points of P-256) belong to one of the scalars, in the byte order of the wire or in that of big
 * numbers; in hex. It takes many seconds, in which this process does nothing else.
 */
export function belongingTo(
  scalars: ReadonlySet<string>,
  publicKeys: readonly Uint8Array[],
): readonly string[] {
  const wanted = new Set(publicKeys.map(toHex));
  const groups = new Set(publicKeys.map(({ length }) => (length === X25519_BYTES ? x25519Of : p256Of)));
  const found = [...scalars].flatMap((scalar) =>
    [...groups].flatMap((publicKeysOf) => publicKeysOf(fromHex(scalar))).filter((key) => wanted.has(key)),
  );
  return [...new Set(found)];
}

function x25519Of(scalar: Uint8Array): readonly string[] {
  const key = Buffer.concat([X25519_PKCS8_PREFIX, scalar]);
  const spki = createPublicKey(createPrivateKey({ key, format: 'der', type: 'pkcs8' }));
  return [toHex(spki.export({ format: 'der', type: 'spki' }).subarray(X25519_SPKI_PREFIX_BYTES))];
}

const ecdh = createECDH('prime256v1');

function p256Of(scalar: Uint8Array): readonly string[] {
  return [scalar, scalar.slice().reverse()].flatMap((candidate) => {
    try {
      ecdh.setPrivateKey(Buffer.from(candidate));
      return [toHex(ecdh.getPublicKey())];
    } catch {
      // Zero, or not below the order of the group.
      return [];
    }
  });
}

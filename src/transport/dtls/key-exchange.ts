import {
  createECDH,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { bufferOf, equalConstantTime, fromHex } from '../../util/bytes.ts';
import { type RandomSource, secureRandom } from '../../util/rng.ts';
import { Secret } from '../../util/secret.ts';

/** Named groups (RFC 8422 §5.1.1), in order of preference. */
export const NAMED_GROUP = { x25519: 0x001d, secp256r1: 0x0017 } as const;
export const NAMED_GROUPS: readonly number[] = [NAMED_GROUP.x25519, NAMED_GROUP.secp256r1];

const SCALAR_BYTES = 32;
const X25519_BYTES = 32;
/** An uncompressed P-256 point; the only form there is (RFC 8422 §5.4.1). */
const P256_POINT_BYTES = 65;
const UNCOMPRESSED = 0x04;

/** RFC 8410 §7: what DER puts before the 32 bytes of an X25519 private key. */
const X25519_PKCS8_PREFIX = fromHex('302e020100300506032b656e04220420');

export interface EcdheResult {
  /** Our public key, for the peer. */
  readonly publicKey: Uint8Array;
  readonly premaster: Secret;
}

/**
 * One ECDHE with the peer's public key. The private key lives in this call only. `undefined` where the peer's key is not a
 * point of the group, or yields nothing secret.
 */
export function ecdhe(group: number, peer: Uint8Array, rng: RandomSource): EcdheResult | undefined {
  if (group === NAMED_GROUP.x25519) return x25519(peer, rng);
  if (group === NAMED_GROUP.secp256r1) return p256(peer, rng);
  return undefined;
}

function x25519(peer: Uint8Array, rng: RandomSource): EcdheResult | undefined {
  if (peer.length !== X25519_BYTES) return undefined;
  const { privateKey, publicKey } = x25519Keys(rng);
  try {
    const encodedPeer = { kty: 'OKP', crv: 'X25519', x: bufferOf(peer).toString('base64url') };
    const peerKey = createPublicKey({ key: encodedPeer, format: 'jwk' });
    const premaster = Secret.take(diffieHellman({ privateKey, publicKey: peerKey }));
    // RFC 7748 §6.1: a low-order point makes the secret all zeroes, known to everybody (RFC 8422 §5.11: MUST abort).
    if (equalConstantTime(premaster.bytes, new Uint8Array(X25519_BYTES))) {
      premaster.dispose();
      return undefined;
    }
    return { publicKey: new Uint8Array(Buffer.from(publicKey, 'base64url')), premaster };
  } catch {
    // OpenSSL refuses low-order points by itself.
    return undefined;
  }
}

/**
 * OpenSSL draws from the same source as {@link secureRandom}, and takes a tenth of the time that it takes to read a key that was drawn here. The public
 * key is that of a JWK (RFC 8037 §2): OpenSSL takes ten times as long for DER as for the arithmetic.
 *
 * A generated key is exported where it is generated, and never afterwards. Node 20 holds the key's lock while an export as JWK makes its strings;
 * a collection in that moment ends the job that made the key, which takes the same lock: the process stands still for ever.
 */
function x25519Keys(rng: RandomSource): { readonly privateKey: KeyObject; readonly publicKey: string } {
  if (rng === secureRandom) {
    const made = generateKeyPairSync('x25519', JWK_PUBLIC) as unknown as {
      readonly privateKey: KeyObject;
      readonly publicKey: { readonly x: string };
    };
    return { privateKey: made.privateKey, publicKey: made.publicKey.x };
  }
  const privateKey = x25519Key(rng);
  return { privateKey, publicKey: createPublicKey(privateKey).export({ format: 'jwk' }).x! };
}

/** What Node takes and its types do not know. */
const JWK_PUBLIC = { publicKeyEncoding: { format: 'jwk' } } as object;

function x25519Key(rng: RandomSource): KeyObject {
  const encoded = Secret.alloc(X25519_PKCS8_PREFIX.length + SCALAR_BYTES);
  encoded.bytes.set(X25519_PKCS8_PREFIX);
  rng.fill(encoded.bytes.subarray(X25519_PKCS8_PREFIX.length));
  try {
    return createPrivateKey({ key: bufferOf(encoded.bytes), format: 'der', type: 'pkcs8' });
  } finally {
    encoded.dispose();
  }
}

function p256(peer: Uint8Array, rng: RandomSource): EcdheResult | undefined {
  if (peer.length !== P256_POINT_BYTES || peer[0] !== UNCOMPRESSED) return undefined;
  const ecdh = createECDH('prime256v1');
  const scalar = Secret.alloc(SCALAR_BYTES);
  try {
    for (;;) {
      rng.fill(scalar.bytes);
      try {
        ecdh.setPrivateKey(bufferOf(scalar.bytes));
        break;
      } catch {
        // Zero or not below the group order (about one in 2^32): draw again.
      }
    }
    // Throws where the peer's point is not on the curve (RFC 8422 §5.11: MUST be validated).
    const premaster = Secret.take(ecdh.computeSecret(bufferOf(peer)));
    return { publicKey: new Uint8Array(ecdh.getPublicKey()), premaster };
  } catch {
    return undefined;
  } finally {
    scalar.dispose();
    // The native object keeps its private key until it is collected: a new one takes its place now.
    ecdh.generateKeys();
  }
}

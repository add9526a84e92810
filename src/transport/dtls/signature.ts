import { constants, type KeyObject, sign, verify } from 'node:crypto';
import { equalConstantTime, fromHex } from '../../util/bytes.ts';

/** Signature schemes (RFC 8446 §4.2.3, whose values are RFC 5246's hash and signature pairs for the older ones). */
export const SIGNATURE_SCHEME = {
  ecdsaSecp256r1Sha256: 0x0403,
  rsaPssRsaeSha256: 0x0804,
  rsaPkcs1Sha256: 0x0401,
} as const;

/** What we offer, in order of preference; all of them hash with SHA-256. */
export const SIGNATURE_SCHEMES: readonly number[] = Object.values(SIGNATURE_SCHEME);

/** Below 2048 bits forgery is in reach; above 8192 a verification is a way to spend our time. */
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;

/** With an exponent of 1 every padded digest is its own signature; a huge one is again a way to spend our time. */
const MIN_RSA_EXPONENT = 3n;
const MAX_RSA_EXPONENT = 2n ** 33n;

/** RFC 5480 §2: what DER puts before an uncompressed point of P-256 where the curve is named. */
const P256_SPKI_PREFIX = fromHex('3059301306072a8648ce3d020106082a8648ce3d030107034200');
const P256_SPKI_BYTES = P256_SPKI_PREFIX.length + 65;

/** Keys that were judged, which nothing can change afterwards: OpenSSL takes longer to write one down than to verify its signature. */
const judged = new WeakMap<KeyObject, boolean>();

/** Whether the key is one we take a signature from: ECDSA on P-256, or RSA of a sane size. */
export function isAcceptableKey(key: KeyObject, type: 'ec' | 'rsa'): boolean {
  if (key.asymmetricKeyType !== type) return false;
  let acceptable = judged.get(key);
  if (acceptable === undefined) {
    acceptable = type === 'ec' ? isNamedP256(key) : isSaneRsa(key);
    judged.set(key, acceptable);
  }
  return acceptable;
}

/** RFC 5480 §2.1.1: parameters written out in place of a curve's name MUST NOT be used. OpenSSL takes them for the curve that they resemble. */
function isNamedP256(key: KeyObject): boolean {
  const spki = key.export({ type: 'spki', format: 'der' });
  return (
    spki.length === P256_SPKI_BYTES &&
    equalConstantTime(spki.subarray(0, P256_SPKI_PREFIX.length), P256_SPKI_PREFIX)
  );
}

function isSaneRsa(key: KeyObject): boolean {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  return (
    modulusLength >= MIN_RSA_BITS &&
    modulusLength <= MAX_RSA_BITS &&
    publicExponent >= MIN_RSA_EXPONENT &&
    publicExponent <= MAX_RSA_EXPONENT &&
    publicExponent % 2n === 1n
  );
}

/** Verifies a signature of one of our schemes. False too where the scheme does not go with the key (RFC 5246 §7.4.3: MUST). */
export function verifySignature(
  scheme: number,
  key: KeyObject,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    switch (scheme) {
      case SIGNATURE_SCHEME.ecdsaSecp256r1Sha256:
        return isAcceptableKey(key, 'ec') && verify('sha256', data, { key, dsaEncoding: 'der' }, signature);
      case SIGNATURE_SCHEME.rsaPkcs1Sha256:
        return (
          isAcceptableKey(key, 'rsa') &&
          verify('sha256', data, { key, padding: constants.RSA_PKCS1_PADDING }, signature)
        );
      case SIGNATURE_SCHEME.rsaPssRsaeSha256: {
        // RFC 8446 §4.2.3: the salt is as long as the digest.
        const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
        const padding = constants.RSA_PKCS1_PSS_PADDING;
        return isAcceptableKey(key, 'rsa') && verify('sha256', data, { key, padding, saltLength }, signature);
      }
      default:
        return false;
    }
  } catch {
    return false;
  }
}

/** Signs with our identity, which is an EC P-256 key: `ecdsa_secp256r1_sha256`. */
export function signEcdsaP256(key: KeyObject, data: Uint8Array): Uint8Array {
  return new Uint8Array(sign('sha256', data, { key, dsaEncoding: 'der' }));
}

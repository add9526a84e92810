import { constants, type KeyObject, sign, verify } from 'node:crypto';

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

/** Whether the key is one we take a signature from: ECDSA on P-256, or RSA of a sane size. */
export function isAcceptableKey(key: KeyObject, type: 'ec' | 'rsa'): boolean {
  if (key.asymmetricKeyType !== type) return false;
  if (type === 'ec') return key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  return bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS;
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

import { createPublicKey, type KeyObject } from 'node:crypto';
import type { errors, JWTPayload } from 'jose';
import { messageOf } from '../errors.ts';
import type { Right, Verdict } from './admission.ts';

/** RFC 7519 §4.1.4: a small leeway for clocks that do not agree. In seconds. */
const LEEWAY_S = 30;
/** What is shorter can be broken by others than its owner. In bits. */
const MIN_RSA_BITS = 2_048;

export interface ExpectedClaims {
  readonly audience: string;
  /** Any, where it is not set. */
  readonly issuer: string | undefined;
}

interface AccessKey {
  readonly id: string | undefined;
  /**
   * The one algorithm of this key. What a token says about its algorithm chooses among keys and nothing else: with a key that takes any
   * algorithm, somebody could sign with HMAC under the text of the public key, or not at all (RFC 8725 §3.1).
   */
  readonly algorithm: 'EdDSA' | 'ES256' | 'RS256';
  readonly key: KeyObject;
}

/** Public keys of those who say who may come in: JSON Web Tokens (RFC 7519), signed. */
export class AccessKeys {
  readonly #keys: readonly AccessKey[];
  readonly #expected: ExpectedClaims;

  private constructor(keys: readonly AccessKey[], expected: ExpectedClaims) {
    this.#keys = keys;
    this.#expected = expected;
  }

  /** @param text PEM, a JWK or a set of them (RFC 7517). Throws a `TypeError` in words where it is none that can be used. */
  static parse(text: string, expected: ExpectedClaims): AccessKeys {
    return new AccessKeys(isJson(text) ? parseJwks(text) : [parsePem(text)], expected);
  }

  /** Never rejects. */
  async judge(token: string): Promise<Verdict> {
    let words = 'This token was signed by none of the keys that are known here.';
    for (const candidate of this.#candidates(token)) {
      try {
        return await this.#verify(token, candidate);
      } catch (error) {
        // A signature is checked before any claim is looked at.
        if (codeOf(error) !== 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED') words = explain(error);
      }
    }
    return { refuses: 'wrong', words };
  }

  async #verify(token: string, { algorithm, key }: AccessKey): Promise<Verdict> {
    // Only here: a server that starts has something better to do than to load it.
    const { errors, jwtVerify } = await import('jose');
    const { audience, issuer } = this.#expected;
    const options = {
      // RFC 9864 gives the same thing a second name.
      algorithms: algorithm === 'EdDSA' ? ['EdDSA', 'Ed25519'] : [algorithm],
      audience,
      ...(issuer === undefined ? {} : { issuer }),
      requiredClaims: ['exp', 'role'],
      clockTolerance: LEEWAY_S,
    };
    const payload = await jwtVerify(token, key, options).then(
      (verified) => verified.payload,
      (error: unknown) => {
        // The last that is looked at, and not ours to judge: a visit that has begun goes on.
        if (error instanceof errors.JWTExpired) return error.payload;
        throw error;
      },
    );
    return { admits: { right: rightOf(payload), until: (payload.exp! + LEEWAY_S) * 1_000 } };
  }

  #candidates(token: string): readonly AccessKey[] {
    const header = headerOf(token);
    const algorithm = header?.alg === 'Ed25519' ? 'EdDSA' : header?.alg;
    return this.#keys.filter(
      (key) =>
        key.algorithm === algorithm &&
        (header?.kid === undefined || key.id === undefined || header.kid === key.id),
    );
  }
}

function headerOf(token: string): { readonly alg?: unknown; readonly kid?: unknown } | undefined {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString('utf8'));
    return typeof header === 'object' && header !== null ? header : undefined;
  } catch {
    return undefined;
  }
}

function rightOf({ role }: JWTPayload): Right {
  if (role === 'publish' || role === 'view') return role;
  throw new TypeError('its "role" is neither "publish" nor "view"');
}

/** Nobody gets this far who has not a token with a good signature: the words are for its owner. */
function explain(error: unknown): string {
  if (codeOf(error) === 'ERR_JWT_CLAIM_VALIDATION_FAILED') {
    const { claim } = error as errors.JWTClaimValidationFailed;
    switch (claim) {
      case 'aud':
        return 'This token is for somebody else: its "aud" is not what this server is called.';
      case 'iss':
        return 'This token comes from somebody else: its "iss" is not known here.';
      case 'nbf':
        return 'This token is not good yet: its time ("nbf") is still to come.';
      default:
        return `This token lacks something or has it wrong: "${claim}".`;
    }
  }
  return error instanceof TypeError ? `This token is of no use: ${error.message}.` : 'This is no token.';
}

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown }).code;

const isJson = (text: string): boolean => text.trimStart().startsWith('{');

function parsePem(text: string): AccessKey {
  if (/PRIVATE KEY-----/.test(text)) throw unusable(PRIVATE);
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch (cause) {
    throw unusable(`it is neither a public key in PEM nor a JWK (${messageOf(cause)})`, cause);
  }
  return describeKey(key, undefined);
}

function parseJwks(text: string): readonly AccessKey[] {
  let parsed: { readonly keys?: unknown };
  try {
    parsed = JSON.parse(text) as { readonly keys?: unknown };
  } catch (cause) {
    throw unusable('it begins like JSON and is none', cause);
  }
  const keys: unknown[] = Array.isArray(parsed.keys) ? parsed.keys : [parsed];
  if (keys.length === 0) throw unusable('there is no key in it');
  return keys.map(parseJwk);
}

function parseJwk(jwk: unknown): AccessKey {
  const fields = (typeof jwk === 'object' && jwk !== null ? jwk : {}) as Record<string, unknown>;
  if (fields.d !== undefined) throw unusable(PRIVATE);
  if (fields.kty === 'oct') throw unusable('it holds a secret ("kty": "oct"), and a public key is needed');
  let key: KeyObject;
  try {
    key = createPublicKey({ key: fields, format: 'jwk' });
  } catch (cause) {
    throw unusable(`it is no JWK of a public key (${messageOf(cause)})`, cause);
  }
  const described = describeKey(key, typeof fields.kid === 'string' ? fields.kid : undefined);
  if (fields.alg !== undefined && fields.alg !== described.algorithm && fields.alg !== 'Ed25519')
    throw unusable(
      `its "alg" is ${JSON.stringify(fields.alg)}, and such a key is used for ${described.algorithm}`,
    );
  if (fields.use !== undefined && fields.use !== 'sig')
    throw unusable(`its "use" is ${JSON.stringify(fields.use)}, and it has to be for signatures ("sig")`);
  return described;
}

function describeKey(key: KeyObject, id: string | undefined): AccessKey {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'ed25519') return { id, algorithm: 'EdDSA', key };
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return { id, algorithm: 'ES256', key };
  if (type === 'rsa') {
    const bits = details?.modulusLength ?? 0;
    if (bits < MIN_RSA_BITS) throw unusable(`it is an RSA key of ${bits} bits: ${MIN_RSA_BITS} at least`);
    return { id, algorithm: 'RS256', key };
  }
  throw unusable(`it is a key of another kind (${type}): Ed25519, P-256 or RSA`);
}

const PRIVATE = 'it is a private key: keep that where tokens are made, and give the server the public one';

const unusable = (words: string, cause?: unknown): TypeError => new TypeError(words, { cause });

import { type KeyObject, X509Certificate } from 'node:crypto';
import { equalConstantTime } from '../../util/bytes.ts';
import { type SrtpProfile, srtpProfileById } from '../srtp/profile.ts';
import type { DtlsFailure } from './alert.ts';
import { type CipherSuite, cipherSuiteById } from './cipher-suite.ts';
import { type Fingerprint, matchesFingerprint } from './fingerprint.ts';
import { HANDSHAKE_TYPE, type HandshakeMessage } from './handshake.ts';
import { NAMED_GROUPS } from './key-exchange.ts';
import type { HelloRandoms } from './key-schedule.ts';
import { decodeCertificate } from './messages/certificate.ts';
import {
  type CertificateRequest,
  decodeCertificateRequest,
  ECDSA_SIGN,
} from './messages/certificate-request.ts';
import { EXTENSION } from './messages/client-hello.ts';
import { decodeServerHello, decodeUseSrtp, type ServerHello } from './messages/server-hello.ts';
import {
  decodeServerKeyExchange,
  type ServerKeyExchange,
  signedParameters,
} from './messages/server-key-exchange.ts';
import { DTLS_1_2 } from './record.ts';
import { isAcceptableKey, SIGNATURE_SCHEME, SIGNATURE_SCHEMES, verifySignature } from './signature.ts';

/**
 * Of what we offer, what a ServerHello may answer. The groups and signature algorithms are the client's to name: a server MUST NOT send
 * signature_algorithms (RFC 5246 §7.4.1.4.1), nor before TLS 1.3 supported_groups (RFC 8446 §4.2.7).
 */
const ANSWERABLE = new Set<number>([
  EXTENSION.ecPointFormats,
  EXTENSION.useSrtp,
  EXTENSION.extendedMasterSecret,
  EXTENSION.renegotiationInfo,
]);
/** ECPointFormat (RFC 8422 §5.1.2). */
const UNCOMPRESSED = 0;

/** Where the server's flight is, by the message awaited, with what is known by then. */
export type ServerStep =
  | { readonly at: 'server-hello' }
  | { readonly at: 'certificate'; readonly chosen: Negotiated }
  | { readonly at: 'server-key-exchange'; readonly chosen: Negotiated; readonly key: KeyObject }
  | { readonly at: 'certificate-request'; readonly chosen: Negotiated; readonly exchange: ServerKeyExchange }
  | { readonly at: 'server-hello-done'; readonly chosen: Negotiated; readonly exchange: ServerKeyExchange }
  | { readonly at: 'complete'; readonly chosen: Negotiated; readonly exchange: ServerKeyExchange };

/** What the flight is judged against. */
export interface ServerExpectations {
  readonly clientRandom: Uint8Array;
  readonly remoteFingerprints: readonly Fingerprint[];
  readonly srtpProfiles: readonly SrtpProfile[];
}

export type ServerVerdict =
  | { readonly kind: 'step'; readonly step: ServerStep }
  | { readonly kind: 'failed'; readonly reason: DtlsFailure }
  /** No message of this flight: the peer's own may still come. */
  | { readonly kind: 'ignored'; readonly reason: 'malformed-message' | 'unexpected-message' };

/** Takes the next message of the server's flight. */
export function takeServerMessage(
  step: ServerStep,
  { type, body }: HandshakeMessage,
  expected: ServerExpectations,
): ServerVerdict {
  if (step.at === 'server-hello' && type === HANDSHAKE_TYPE.serverHello) {
    const judged = judgeServerHello(body, expected.srtpProfiles);
    return verdict(judged, (chosen) => ({ at: 'certificate', chosen }));
  }
  if (step.at === 'certificate' && type === HANDSHAKE_TYPE.certificate) {
    const { chosen } = step;
    const judged = judgeCertificate(body, chosen.suite, expected.remoteFingerprints);
    return verdict(judged, ({ key }) => ({ at: 'server-key-exchange', chosen, key }));
  }
  if (step.at === 'server-key-exchange' && type === HANDSHAKE_TYPE.serverKeyExchange) {
    const { chosen, key } = step;
    const judged = judgeServerKeyExchange(body, key, {
      client: expected.clientRandom,
      server: chosen.serverRandom,
    });
    return verdict(judged, (exchange) => ({ at: 'certificate-request', chosen, exchange }));
  }
  if (step.at === 'certificate-request' && type === HANDSHAKE_TYPE.certificateRequest) {
    return verdict(judgeCertificateRequest(body), () => ({ ...step, at: 'server-hello-done' }));
  }
  const last = step.at === 'certificate-request' || step.at === 'server-hello-done';
  if (last && type === HANDSHAKE_TYPE.serverHelloDone) {
    if (body.length > 0) return { kind: 'ignored', reason: 'malformed-message' };
    // RFC 8827 §6.5: both sides authenticate. A peer that does not ask would talk to anybody in our place.
    if (step.at === 'certificate-request') return { kind: 'failed', reason: 'no-client-authentication' };
    return { kind: 'step', step: { ...step, at: 'complete' } };
  }
  return { kind: 'ignored', reason: 'unexpected-message' };
}

/** A message judged: what it established, why it is the end, or `undefined` where the bytes are no such message. */
type Judged<T> = T | DtlsFailure | undefined;

function verdict<T extends object>(judged: Judged<T>, next: (established: T) => ServerStep): ServerVerdict {
  if (judged === undefined) return { kind: 'ignored', reason: 'malformed-message' };
  return typeof judged === 'string'
    ? { kind: 'failed', reason: judged }
    : { kind: 'step', step: next(judged) };
}

export interface Negotiated {
  readonly suite: CipherSuite;
  readonly srtpProfile: SrtpProfile;
  readonly serverRandom: Uint8Array;
}

/** What the server chose, checked against what was offered. */
function judgeServerHello(body: Uint8Array, offered: readonly SrtpProfile[]): Judged<Negotiated> {
  const hello = decodeServerHello(body);
  if (hello === undefined) return undefined;
  if (hello.version !== DTLS_1_2) return 'unsupported-version';
  const suite = cipherSuiteById(hello.suite);
  if (suite === undefined) return 'unsupported-suite';
  if (hello.compression !== 0) return 'illegal-parameter';
  const refused = judgeExtensions(hello);
  if (refused !== undefined) return refused;
  const srtpProfile = selectedProfile(hello, offered);
  if (srtpProfile === undefined) return 'no-srtp-profile';
  return { suite, srtpProfile, serverRandom: hello.random };
}

/** The key of the certificate, which is the one whose fingerprint was signalled. */
function judgeCertificate(
  body: Uint8Array,
  suite: CipherSuite,
  accepted: readonly Fingerprint[],
): Judged<{ readonly key: KeyObject }> {
  const chain = decodeCertificate(body);
  if (chain === undefined) return undefined;
  const leaf = chain[0];
  // The fingerprint first: X.509 is parsed only in certificates that were vouched for.
  if (leaf === undefined || !matchesFingerprint(leaf, accepted)) return 'fingerprint-mismatch';
  const key = publicKeyOf(leaf);
  if (key === undefined || !isAcceptableKey(key, suite.authentication)) return 'bad-certificate';
  return { key };
}

/** The server's key share, signed by the certificate's key over both nonces (RFC 5246 §7.4.3). */
function judgeServerKeyExchange(
  body: Uint8Array,
  key: KeyObject,
  randoms: HelloRandoms,
): Judged<ServerKeyExchange> {
  const exchange = decodeServerKeyExchange(body);
  if (exchange === undefined) return undefined;
  if (!NAMED_GROUPS.includes(exchange.group) || !SIGNATURE_SCHEMES.includes(exchange.scheme))
    return 'illegal-parameter';
  const signed = signedParameters(randoms, exchange.params);
  return verifySignature(exchange.scheme, key, signed, exchange.signature) ? exchange : 'bad-signature';
}

/** Whether our certificate is what the server asks for (RFC 5246 §7.4.4). */
function judgeCertificateRequest(body: Uint8Array): Judged<CertificateRequest> {
  const request = decodeCertificateRequest(body);
  if (request === undefined) return undefined;
  const usable =
    request.certificateTypes.includes(ECDSA_SIGN) &&
    request.schemes.includes(SIGNATURE_SCHEME.ecdsaSecp256r1Sha256);
  return usable ? request : 'no-client-authentication';
}

function judgeExtensions({ extensions }: ServerHello): DtlsFailure | undefined {
  for (const type of extensions.keys()) {
    // RFC 5246 §7.4.1.4: an answer to what was not asked MUST end the handshake.
    if (!ANSWERABLE.has(type)) return 'unsupported-extension';
  }
  // RFC 7627 §5.2: without it, the keys could be made equal to those of another session (triple handshake).
  const extended = extensions.get(EXTENSION.extendedMasterSecret);
  if (extended === undefined || extended.length > 0) return 'no-extended-master-secret';
  // RFC 8422 §5.1.2: the list MUST have uncompressed points, the only ones there are.
  const formats = extensions.get(EXTENSION.ecPointFormats);
  if (formats !== undefined && !(formats[0] === formats.length - 1 && formats.includes(UNCOMPRESSED, 1)))
    return 'illegal-parameter';
  // RFC 5746 §3.4: in a first handshake it MUST hold an empty vector. Absence is fine, as nothing is ever renegotiated.
  const renegotiation = extensions.get(EXTENSION.renegotiationInfo);
  if (renegotiation !== undefined && !(renegotiation.length === 1 && renegotiation[0] === 0))
    return 'illegal-parameter';
  return undefined;
}

/** RFC 5764 §4.1.1: exactly one profile, one of ours; §4.1.3: an MKI we did not offer MUST be refused. */
function selectedProfile(hello: ServerHello, offered: readonly SrtpProfile[]): SrtpProfile | undefined {
  const useSrtp = decodeUseSrtp(hello.extensions.get(EXTENSION.useSrtp) ?? new Uint8Array(0));
  const id = useSrtp?.profiles[0];
  if (useSrtp?.profiles.length !== 1 || useSrtp.mki.length > 0 || id === undefined) return undefined;
  const profile = srtpProfileById(id);
  return profile !== undefined && offered.includes(profile) ? profile : undefined;
}

function publicKeyOf(certificate: Uint8Array): KeyObject | undefined {
  try {
    const { raw, publicKey } = new X509Certificate(certificate);
    // RFC 5246 §7.4.2: the certificate and nothing else. What parses it also takes PEM, and whatever stands behind it.
    return equalConstantTime(raw, certificate) ? publicKey : undefined;
  } catch {
    return undefined;
  }
}

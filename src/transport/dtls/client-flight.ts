import type { KeyObject } from 'node:crypto';
import type { RandomSource } from '../../util/rng.ts';
import type { Secret } from '../../util/secret.ts';
import type { DtlsSrtpKeys } from '../srtp/profile.ts';
import type { FlightMessage } from './flight.ts';
import { HANDSHAKE_TYPE, type HandshakeMessage } from './handshake.ts';
import { ecdhe } from './key-exchange.ts';
import {
  exportSrtpKeys,
  extendedMasterSecret,
  type HelloRandoms,
  recordProtections,
  verifyData,
} from './key-schedule.ts';
import { encodeCertificate } from './messages/certificate.ts';
import { encodeCertificateVerify } from './messages/certificate-verify.ts';
import { encodeClientKeyExchange } from './messages/client-key-exchange.ts';
import type { ServerKeyExchange } from './messages/server-key-exchange.ts';
import type { RecordProtection } from './record-protection.ts';
import type { Negotiated } from './server-flight.ts';
import { SIGNATURE_SCHEME, signEcdsaP256 } from './signature.ts';
import type { Transcript } from './transcript.ts';

/** What the server shows in handshakes, and proves to have. */
export interface DtlsIdentity {
  /** X.509, DER. */
  readonly certificate: Uint8Array;
  /** EC P-256. */
  readonly privateKey: KeyObject;
}

export interface ServerFlight {
  readonly chosen: Negotiated;
  readonly exchange: ServerKeyExchange;
  readonly clientRandom: Uint8Array;
  /** Ends with ServerHelloDone; goes on with what is sent. */
  readonly transcript: Transcript;
  /** message_seq of our first message. */
  readonly firstSeq: number;
}

/** Our flight and every secret that outlives the master secret. The receiver owns them. */
export interface ClientFlight {
  readonly flight: readonly FlightMessage[];
  readonly send: RecordProtection;
  readonly receive: RecordProtection;
  /** The `verify_data` that the server's Finished must hold. */
  readonly expectedFinished: Secret;
  readonly keys: DtlsSrtpKeys;
}

/**
 * The answer to the server's flight: Certificate, ClientKeyExchange, CertificateVerify, ChangeCipherSpec, Finished. The private
 * ECDHE key, the premaster and the master secret are made and wiped in here. `undefined` where the server's key share is none.
 */
export function makeClientFlight(
  server: ServerFlight,
  identity: DtlsIdentity,
  rng: RandomSource,
): ClientFlight | undefined {
  const { chosen, exchange, transcript } = server;
  const { prf } = chosen.suite;
  const shared = ecdhe(exchange.group, exchange.publicKey, rng);
  if (shared === undefined) return undefined;

  const flight: FlightMessage[] = [];
  let seq = server.firstSeq;
  const say = (epoch: 0 | 1, type: number, body: Uint8Array): void => {
    const message: HandshakeMessage = { type, seq: seq++, body };
    transcript.add(message);
    flight.push({ kind: 'handshake', epoch, message });
  };

  say(0, HANDSHAKE_TYPE.certificate, encodeCertificate([identity.certificate]));
  say(0, HANDSHAKE_TYPE.clientKeyExchange, encodeClientKeyExchange(shared.publicKey));
  const master = extendedMasterSecret(prf, shared.premaster, transcript.hash(prf));
  shared.premaster.dispose();

  const scheme = SIGNATURE_SCHEME.ecdsaSecp256r1Sha256;
  const signature = signEcdsaP256(identity.privateKey, transcript.bytes());
  say(0, HANDSHAKE_TYPE.certificateVerify, encodeCertificateVerify(scheme, signature));
  flight.push({ kind: 'change-cipher-spec' });
  const ours = verifyData(prf, master, 'client', transcript.hash(prf));
  say(1, HANDSHAKE_TYPE.finished, ours.bytes.slice());
  ours.dispose();

  const randoms: HelloRandoms = { client: server.clientRandom, server: chosen.serverRandom };
  const protections = recordProtections(chosen.suite, master, randoms);
  const expectedFinished = verifyData(prf, master, 'server', transcript.hash(prf));
  const keys = exportSrtpKeys(prf, master, randoms, chosen.srtpProfile, 'client');
  master.dispose();
  return { flight, send: protections.client, receive: protections.server, expectedFinished, keys };
}

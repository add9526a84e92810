import {
  constants,
  createECDH,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  sign,
  X509Certificate,
} from 'node:crypto';
import { type CipherSuite, cipherSuiteById } from '../../src/transport/dtls/cipher-suite.ts';
import type { DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { type FlightMessage, packFlight, RecordWriter } from '../../src/transport/dtls/flight.ts';
import {
  decodeFragments,
  encodeFragment,
  HANDSHAKE_TYPE,
  type HandshakeMessage,
} from '../../src/transport/dtls/handshake.ts';
import { NAMED_GROUP } from '../../src/transport/dtls/key-exchange.ts';
import {
  exportSrtpKeys,
  extendedMasterSecret,
  prf,
  recordProtections,
  verifyData,
} from '../../src/transport/dtls/key-schedule.ts';
import { decodeCertificate, encodeCertificate } from '../../src/transport/dtls/messages/certificate.ts';
import { EXTENSION } from '../../src/transport/dtls/messages/client-hello.ts';
import { Reassembly } from '../../src/transport/dtls/reassembly.ts';
import { CONTENT_TYPE, DTLS_1_2, type DtlsRecord, decodeRecords } from '../../src/transport/dtls/record.ts';
import { GCM_SALT_BYTES, type RecordProtection } from '../../src/transport/dtls/record-protection.ts';
import { SIGNATURE_SCHEME, verifySignature } from '../../src/transport/dtls/signature.ts';
import { Transcript } from '../../src/transport/dtls/transcript.ts';
import { ReplayWindow } from '../../src/transport/replay-window.ts';
import {
  type DtlsSrtpKeys,
  SRTP_PROFILES,
  type SrtpProfile,
  srtpProfileById,
} from '../../src/transport/srtp/profile.ts';
import { concat, fromHex } from '../../src/util/bytes.ts';
import type { Millis } from '../../src/util/clock.ts';
import { type RandomSource, randomBytes } from '../../src/util/rng.ts';
import { Secret } from '../../src/util/secret.ts';
import {
  type DecodedClientHello,
  decodeCertificateVerify,
  decodeClientHello,
  encodeCertificateRequest,
  encodeEcdhParams,
  encodeHelloVerifyRequest,
  encodeServerHello,
  encodeServerKeyExchange,
  encodeUseSrtp,
  offeredProfiles,
} from './dtls-messages.ts';

/** How the server differs from an honest one with defaults. */
export interface ServerKnobs {
  /** Asks for a cookie first. */
  readonly cookie?: boolean;
  readonly suite?: number;
  readonly group?: number;
  readonly scheme?: number;
  readonly version?: number;
  readonly compression?: number;
  /** Body of the answer; `null` leaves it out. */
  readonly extendedMasterSecret?: Uint8Array | null;
  /** Body of the answer; `null` leaves it out. */
  readonly renegotiationInfo?: Uint8Array | null;
  /** Selects this one, in place of the first that is offered. */
  readonly profile?: SrtpProfile;
  /** Body of the use_srtp answer; `null` leaves it out. */
  readonly useSrtp?: Uint8Array | null;
  /** One more in the ServerHello. */
  readonly extension?: readonly [type: number, body: Uint8Array];
  /** Shows this certificate in place of its own. */
  readonly certificate?: Uint8Array;
  readonly askForCertificate?: boolean;
  readonly certificateRequest?: Uint8Array;
  /** `forged`: bits flipped. `stale`: over another client random. */
  readonly signature?: 'forged' | 'stale' | 'random' | 'empty';
  /** Signs and sends this key share in place of its own. */
  readonly keyShare?: Uint8Array;
  /** A number: the byte of it that is wrong. */
  readonly finished?: 'random' | 'plaintext' | number;
  /** Cuts every handshake message to pieces of this size, each in a datagram of its own. */
  readonly fragmentBytes?: number;
  /** So many bytes of each piece are those of the one before. */
  readonly fragmentOverlap?: number;
}

export interface DtlsServerOptions {
  readonly identity: DtlsIdentity;
  readonly rng: RandomSource;
  readonly knobs?: ServerKnobs;
}

/** What a handshake keeps from everybody: known here so that it can be looked for where it must not be. */
export interface HandshakeSecrets {
  /** The client's key share, which anybody may know: its private key is the secret. */
  readonly clientShare: Uint8Array;
  readonly premaster: Secret;
  readonly master: Secret;
  /** Record keys of both sides, then their salts (RFC 5246 §6.3). */
  readonly keyBlock: Secret;
}

const FIRST_RETRANSMIT_MS = 50;

/**
 * A DTLS 1.2 server for tests: honest by default, with knobs to lie. Strict in what it checks of the client, and free of any
 * defence against load, which nobody should take for a server to deploy. Sans-IO like the client.
 */
export class DtlsTestServer {
  readonly #identity: DtlsIdentity;
  readonly #rng: RandomSource;
  readonly #knobs: ServerKnobs;
  readonly #random: Uint8Array;
  readonly #cookie: Uint8Array;
  readonly #transcript = new Transcript();
  readonly #writer = new RecordWriter();
  #reassembly = new Reassembly(0);
  #outbox: Uint8Array[] = [];
  #flight: FlightMessage[] = [];
  #nextSeq = 0;
  #sentAt: Millis | undefined;
  #interval = FIRST_RETRANSMIT_MS;
  #agree: ((peer: Uint8Array) => Buffer) | undefined;
  #read: RecordProtection | undefined;
  #early: DtlsRecord[] = [];
  /** Of epoch 0. The stacks of browsers, and OpenSSL, drop the copy of a record there too, though nothing in it is authenticated (RFC 6347 §4.1.2.6). */
  readonly #seen = new ReplayWindow(64);
  #ready = false;

  /** What the exporter gave, from the server's side. */
  keys: DtlsSrtpKeys | undefined;
  secrets: HandshakeSecrets | undefined;
  connected = false;
  clientCertificate: Uint8Array | undefined;
  /** Why the client was not believed. */
  refused: string | undefined;
  /** The ClientHello that was answered. */
  hello: DecodedClientHello | undefined;
  /** ClientHello bodies in the order of arrival. */
  readonly hellos: Uint8Array[] = [];
  /** Largest datagram received. */
  largest = 0;
  /** Alerts received, by epoch. */
  readonly alerts: { readonly epoch: number; readonly description: number }[] = [];

  constructor(options: DtlsServerOptions) {
    this.#identity = options.identity;
    this.#rng = options.rng;
    this.#knobs = options.knobs ?? {};
    this.#random = randomBytes(options.rng, 32);
    this.#cookie = randomBytes(options.rng, 20);
  }

  get #suite(): CipherSuite {
    const type = this.#identity.privateKey.asymmetricKeyType;
    return (
      cipherSuiteById(this.#knobs.suite ?? (type === 'ec' ? 0xc02b : 0xc02f)) ?? cipherSuiteById(0xc02b)!
    );
  }

  handleDatagram(datagram: Uint8Array, now: Millis): void {
    this.largest = Math.max(this.largest, datagram.length);
    for (const record of decodeRecords(datagram)) {
      if (record === undefined) throw new Error('the client sent a malformed record');
      if (record.epoch > 0) this.#early.push(record);
      else if (this.#seen.check(record.sequence)) {
        this.#seen.update(record.sequence);
        this.#handleRecord(record, now);
      }
    }
    // Finished is not looked at before all of the flight ahead of it is here.
    while (this.#ready && this.#early.length > 0) this.#handleProtected(this.#early.shift()!, now);
  }

  handleTimeout(now: Millis): void {
    const due = this.nextTimeout();
    if (due === undefined || now < due) return;
    this.#interval *= 2;
    this.#transmit(now);
  }

  nextTimeout(): Millis | undefined {
    return this.#sentAt === undefined || this.connected ? undefined : this.#sentAt + this.#interval;
  }

  pollDatagram(): Uint8Array | undefined {
    return this.#outbox.shift();
  }

  /** Sends an authenticated record of any kind, once there are keys. */
  sendProtected(type: number, fragment: Uint8Array): void {
    this.#outbox.push(this.#writer.write(type, 1, fragment));
  }

  #handleProtected(record: DtlsRecord, now: Millis): void {
    const open = this.#read?.open(record);
    if (open === undefined) throw new Error('the client sent a record that does not authenticate');
    this.#handleRecord(open, now);
  }

  #handleRecord(record: DtlsRecord, now: Millis): void {
    if (record.type === CONTENT_TYPE.alert) {
      this.alerts.push({ epoch: record.epoch, description: record.fragment[1]! });
    }
    if (record.type !== CONTENT_TYPE.handshake) return;
    for (const fragment of decodeFragments(record.fragment)) {
      if (fragment === undefined) throw new Error('the client sent a malformed message');
      const repeated = fragment.seq < this.#reassembly.next;
      const last = fragment.type === HANDSHAKE_TYPE.finished || fragment.type === HANDSHAKE_TYPE.clientHello;
      if (repeated && last && this.#flight.length > 0) this.#transmit(now);
      this.#reassembly.add(fragment);
    }
    for (;;) {
      const message = this.#reassembly.peek();
      if (message === undefined) return;
      this.#reassembly.accept();
      this.#handleMessage(message, record.epoch, now);
    }
  }

  #handleMessage(message: HandshakeMessage, epoch: number, now: Millis): void {
    const { type, body } = message;
    if ((type === HANDSHAKE_TYPE.finished) !== (epoch === 1)) throw new Error('message in the wrong epoch');
    switch (type) {
      case HANDSHAKE_TYPE.clientHello:
        this.#onClientHello(message, now);
        return;
      case HANDSHAKE_TYPE.certificate:
        this.clientCertificate = decodeCertificate(body)?.[0];
        this.#transcript.add(message);
        return;
      case HANDSHAKE_TYPE.clientKeyExchange:
        this.#transcript.add(message);
        this.#deriveKeys(body.subarray(1));
        this.#ready = this.clientCertificate === undefined;
        return;
      case HANDSHAKE_TYPE.certificateVerify:
        this.#onCertificateVerify(body);
        this.#transcript.add(message);
        this.#ready = true;
        return;
      case HANDSHAKE_TYPE.finished:
        this.#onFinished(message, now);
        return;
      default:
        throw new Error(`the client sent message type ${type}`);
    }
  }

  #onClientHello(message: HandshakeMessage, now: Millis): void {
    const hello = decodeClientHello(message.body);
    if (hello === undefined) throw new Error('the client sent a malformed ClientHello');
    this.hellos.push(message.body);
    if (this.#knobs.cookie === true && Buffer.compare(hello.cookie, this.#cookie) !== 0) {
      const body = encodeHelloVerifyRequest(this.#cookie);
      const request = { type: HANDSHAKE_TYPE.helloVerifyRequest, seq: this.#nextSeq++, body };
      this.#flight = [{ kind: 'handshake', epoch: 0, message: request }];
      this.#transmit(now);
      // RFC 6347 §4.2.1: it is the client that repeats here.
      this.#sentAt = undefined;
      return;
    }
    this.hello = hello;
    this.#transcript.add(message);
    this.#flight = [];
    this.#say(HANDSHAKE_TYPE.serverHello, this.#serverHello(hello));
    const certificate = this.#knobs.certificate ?? this.#identity.certificate;
    this.#say(HANDSHAKE_TYPE.certificate, encodeCertificate([certificate]));
    this.#say(HANDSHAKE_TYPE.serverKeyExchange, this.#serverKeyExchange(hello));
    if (this.#knobs.askForCertificate ?? true) {
      const honest = encodeCertificateRequest([1, 64], [0x0403, 0x0804]);
      this.#say(HANDSHAKE_TYPE.certificateRequest, this.#knobs.certificateRequest ?? honest);
    }
    this.#say(HANDSHAKE_TYPE.serverHelloDone, new Uint8Array(0));
    this.#transmit(now);
  }

  #serverHello(hello: DecodedClientHello): Uint8Array {
    const knobs = this.#knobs;
    const extensions: [number, Uint8Array][] = [];
    const selected = encodeUseSrtp([SRTP_PROFILES[this.#profile(hello)].id]);
    const useSrtp = knobs.useSrtp === undefined ? selected : knobs.useSrtp;
    if (useSrtp !== null) extensions.push([EXTENSION.useSrtp, useSrtp]);
    const extended =
      knobs.extendedMasterSecret === undefined ? new Uint8Array(0) : knobs.extendedMasterSecret;
    if (extended !== null) extensions.push([EXTENSION.extendedMasterSecret, extended]);
    const renegotiation = knobs.renegotiationInfo === undefined ? Uint8Array.of(0) : knobs.renegotiationInfo;
    if (renegotiation !== null) extensions.push([EXTENSION.renegotiationInfo, renegotiation]);
    if (knobs.extension !== undefined) extensions.push([...knobs.extension]);
    return encodeServerHello({
      version: knobs.version ?? DTLS_1_2,
      random: this.#random,
      sessionId: randomBytes(this.#rng, 32),
      suite: knobs.suite ?? this.#suite.id,
      compression: knobs.compression ?? 0,
      extensions,
    });
  }

  #serverKeyExchange(hello: DecodedClientHello): Uint8Array {
    const group = this.#knobs.group ?? NAMED_GROUP.x25519;
    const own = group === NAMED_GROUP.secp256r1 ? this.#p256() : this.#x25519();
    const params = encodeEcdhParams(group, this.#knobs.keyShare ?? own);
    const ec = this.#identity.privateKey.asymmetricKeyType === 'ec';
    const scheme =
      this.#knobs.scheme ?? (ec ? SIGNATURE_SCHEME.ecdsaSecp256r1Sha256 : SIGNATURE_SCHEME.rsaPssRsaeSha256);
    const nonce = this.#knobs.signature === 'stale' ? new Uint8Array(32) : hello.random;
    const genuine = this.#sign(scheme, concat(nonce, this.#random, params));
    return encodeServerKeyExchange(params, scheme, this.#distort(genuine));
  }

  #distort(signature: Uint8Array): Uint8Array {
    switch (this.#knobs.signature) {
      case 'forged':
        signature[signature.length - 1]! ^= 1;
        return signature;
      case 'random':
        return randomBytes(this.#rng, signature.length);
      case 'empty':
        return new Uint8Array(0);
      default:
        return signature;
    }
  }

  #sign(scheme: number, data: Uint8Array): Uint8Array {
    const key = this.#identity.privateKey;
    const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
    const how = scheme === SIGNATURE_SCHEME.rsaPssRsaeSha256 ? { key, ...pss } : { key };
    return new Uint8Array(sign('sha256', data, how));
  }

  #x25519(): Uint8Array {
    const der = concat(fromHex('302e020100300506032b656e04220420'), randomBytes(this.#rng, 32));
    const privateKey = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
    const prefix = fromHex('302a300506032b656e032100');
    this.#agree = (peer) =>
      diffieHellman({
        privateKey,
        publicKey: createPublicKey({ key: Buffer.from(concat(prefix, peer)), format: 'der', type: 'spki' }),
      });
    return createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(prefix.length);
  }

  #p256(): Uint8Array {
    const ecdh = createECDH('prime256v1');
    ecdh.generateKeys();
    this.#agree = (peer) => ecdh.computeSecret(peer);
    return ecdh.getPublicKey();
  }

  #deriveKeys(peer: Uint8Array): void {
    const { prf: hash, keyBytes } = this.#suite;
    const premaster = Secret.take(this.#agree!(peer));
    const master = extendedMasterSecret(hash, premaster, this.#transcript.hash(hash));
    const randoms = { client: this.hello!.random, server: this.#random };
    const seed = concat(randoms.server, randoms.client);
    const keyBlock = prf(hash, master, 'key expansion', seed, 2 * (keyBytes + GCM_SALT_BYTES));
    this.secrets = { clientShare: peer, premaster, master, keyBlock };
    const protections = recordProtections(this.#suite, master, randoms);
    this.#read = protections.client;
    this.#writer.protect(protections.server);
    this.keys = exportSrtpKeys(hash, master, randoms, this.#profile(this.hello!), 'server');
  }

  #profile(hello: DecodedClientHello): SrtpProfile {
    const offered = offeredProfiles(hello.extensions.get(EXTENSION.useSrtp)!);
    return this.#knobs.profile ?? srtpProfileById(offered[0]!)!;
  }

  #onCertificateVerify(body: Uint8Array): void {
    const verify = decodeCertificateVerify(body);
    const key = new X509Certificate(this.clientCertificate!).publicKey;
    const genuine =
      verify !== undefined && verifySignature(verify.scheme, key, this.#transcript.bytes(), verify.signature);
    if (!genuine) this.refused = 'CertificateVerify';
  }

  #onFinished(message: HandshakeMessage, now: Millis): void {
    const { prf: hash } = this.#suite;
    const { master } = this.secrets!;
    const expected = verifyData(hash, master, 'client', this.#transcript.hash(hash));
    if (Buffer.compare(message.body, expected.bytes) !== 0) this.refused = 'Finished';
    if (this.refused !== undefined) return;
    this.#transcript.add(message);
    this.connected = true;
    this.#flight = [{ kind: 'change-cipher-spec' }];
    const honest = verifyData(hash, master, 'server', this.#transcript.hash(hash)).bytes.slice();
    const { finished } = this.#knobs;
    const body = finished === 'random' ? randomBytes(this.#rng, honest.length) : honest;
    if (typeof finished === 'number') body[finished]! ^= 1;
    this.#say(HANDSHAKE_TYPE.finished, body, finished === 'plaintext' ? 0 : 1);
    this.#transmit(now);
  }

  #say(type: number, body: Uint8Array, epoch: 0 | 1 = 0): void {
    const message = { type, seq: this.#nextSeq++, body };
    this.#transcript.add(message);
    this.#flight.push({ kind: 'handshake', epoch, message });
  }

  #transmit(now: Millis): void {
    const { fragmentBytes, fragmentOverlap = 0 } = this.#knobs;
    this.#sentAt = now;
    if (fragmentBytes === undefined) {
      this.#outbox.push(...packFlight(this.#flight, this.#writer));
      return;
    }
    for (const item of this.#flight) {
      if (item.kind === 'change-cipher-spec') {
        this.#outbox.push(this.#writer.write(CONTENT_TYPE.changeCipherSpec, 0, Uint8Array.of(1)));
        continue;
      }
      const { type, seq, body } = item.message;
      for (let offset = 0; offset === 0 || offset < body.length; offset += fragmentBytes) {
        const start = Math.max(0, offset - fragmentOverlap);
        const bytes = body.subarray(start, offset + fragmentBytes);
        const fragment = encodeFragment({ type, seq, length: body.length, offset: start, bytes });
        this.#outbox.push(this.#writer.write(CONTENT_TYPE.handshake, item.epoch, fragment));
      }
    }
  }
}

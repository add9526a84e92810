import * as sdpTransform from 'sdp-transform';
import { PAYLOAD_TYPE } from '../../src/room/media.ts';
import { parseRtp, writeRtp } from '../../src/rtp/packet.ts';
import { parseRtcp, type RtcpPacket, writeRtcp } from '../../src/rtp/rtcp.ts';
import type { Admission } from '../../src/signaling/admission.ts';
import type {
  ClientMessage,
  IceServer,
  PagePosition,
  Role,
  ServerMessage,
} from '../../src/signaling/protocol.ts';
import type { Address } from '../../src/transport/address.ts';
import { classifyDatagram } from '../../src/transport/demux.ts';
import type { DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { fingerprintOf } from '../../src/transport/dtls/fingerprint.ts';
import { createIceCredentials, type IceCredentials } from '../../src/transport/ice/ice-lite.ts';
import {
  bindingSuccess,
  parseStun,
  STUN_TYPE,
  type StunMessage,
  verifyIntegrity,
} from '../../src/transport/ice/stun.ts';

import type { DtlsSrtpKeys } from '../../src/transport/srtp/profile.ts';
import { SrtpReceiveContext } from '../../src/transport/srtp/receive-context.ts';
import { SrtpSendContext } from '../../src/transport/srtp/send-context.ts';
import { concat, toHex } from '../../src/util/bytes.ts';
import type { Millis } from '../../src/util/clock.ts';
import { type RandomSource, randomBytes } from '../../src/util/rng.ts';
import { Secret } from '../../src/util/secret.ts';
import { DtlsTestServer, type HandshakeSecrets, type ServerKnobs } from './dtls-server.ts';
import { vp8Payload } from './room-media.ts';
import { bindingRequest } from './stun.ts';

const CHECK_INTERVAL: Millis = 500;
const FIRST_CHECKS_INTERVAL: Millis = 50;
/** Answers to older checks come too late to count. */
const MAX_CHECKS = 32;
const FRAME_INTERVAL: Millis = 33;
/** Of frames that have become late, what is made up for. */
const MAX_BEHIND: Millis = 50;
/** Packets of a frame, and bytes that are added to the payload of each. */
export interface FrameShape {
  readonly packets: number;
  readonly padding: number;
  /** From one to the next; looked at for each. */
  readonly interval?: Millis;
}
const USUAL_FRAME: FrameShape = { packets: 3, padding: 0 };

/**
 * From where a browser sends while an ICE restart is under way.
 *
 * `when-answered`: from the port in use, until a check from the new one has been answered; what follows nominates it. So RFC 8445 §12.1 has it
 * (the selected pair is the previous one until there is another), and so Chromium does: in recordings its DTLS and media change ports behind the
 * first answer, and toward a lite agent libwebrtc nominates a pair once it has selected it (`BasicIceController`, `GetUseCandidateAttr`).
 *
 * `at-once`: from the new port, with the first check. The server sees the same where a NAT forgets a mapping, or where the network is another.
 */
export type PortChange = 'when-answered' | 'at-once';

type Offer = Extract<ServerMessage, { type: 'offer' }>;

/** Copies of the secrets of one DTLS association, kept to check afterwards what was sent under them and what became of them. */
export interface Association {
  readonly connection: number;
  readonly epoch: number;
  /** What the server has shown, DER. */
  readonly serverCertificate: Uint8Array;
  readonly keys: DtlsSrtpKeys;
  readonly secrets: HandshakeSecrets;
}

export interface BrowserPorts {
  /** `to` is what the offer names. */
  readonly transmit: (from: Address, datagram: Uint8Array, to: Address) => void;
  readonly say: (message: ClientMessage) => void;
}

/**
 * A page and its browser without either: it answers offers as libwebrtc does (a changed fingerprint starts a new DTLS association, an ICE
 * restart goes to a new port), checks connectivity, broadcasts or watches. Sans-IO: runs on virtual time.
 */
export class VirtualBrowser {
  readonly name: string;
  /** Whether it takes new keys on the connection it has, as Firefox does not. */
  readonly rekeyInPlace: boolean;
  readonly connections = new Map<number, VirtualConnection>();
  readonly associations: Association[] = [];
  readonly errors: string[] = [];
  pongs = 0;
  /** What the token of its page lets it do; everything where it is absent. */
  admission: Admission | undefined;
  readonly knobs: ServerKnobs;
  /** What it sends as a broadcaster. */
  readonly frame: FrameShape;
  /** From one connectivity check to the next. */
  readonly checkInterval: Millis;
  readonly changesPort: PortChange;
  readonly #identity: DtlsIdentity;
  readonly #rng: RandomSource;
  readonly #server: Address;
  readonly #ports: BrowserPorts;
  readonly #ip: string;
  token: string | undefined;
  role: Role | undefined;
  inUse = 0;
  /** Every one that it was told. */
  readonly relays: IceServer[] = [];
  /** What it was told of the room last. */
  room: Extract<ServerMessage, { type: 'room' }> | undefined;
  /** How often. */
  roomsTold = 0;
  /** RTCPeerConnections ever made. */
  made = 0;
  #nextPort = 40_000;
  readonly #firstSequence: number;

  constructor(options: {
    name: string;
    ip: string;
    identity: DtlsIdentity;
    rng: RandomSource;
    server: Address;
    ports: BrowserPorts;
    firstSequence?: number;
    rekeyInPlace?: boolean;
    /** How its side of the DTLS handshake differs from the usual. */
    knobs?: ServerKnobs;
    frame?: FrameShape;
    checkInterval?: Millis;
    changesPort?: PortChange;
  }) {
    this.name = options.name;
    this.rekeyInPlace = options.rekeyInPlace ?? true;
    this.#ip = options.ip;
    this.#identity = options.identity;
    this.#rng = options.rng;
    this.#server = options.server;
    this.#ports = options.ports;
    this.#firstSequence = options.firstSequence ?? 1000;
    this.knobs = options.knobs ?? {};
    this.frame = options.frame ?? USUAL_FRAME;
    this.checkInterval = options.checkInterval ?? CHECK_INTERVAL;
    this.changesPort = options.changesPort ?? 'when-answered';
  }

  /** What it shows in every handshake, DER. */
  get certificate(): Uint8Array {
    return this.#identity.certificate;
  }

  get rng(): RandomSource {
    return this.#rng;
  }

  get current(): VirtualConnection | undefined {
    return this.connections.get(this.inUse);
  }

  /** Subprotocol facts of a page that comes back. */
  get position(): PagePosition | undefined {
    if (this.current === undefined) return undefined;
    return { connection: this.inUse, epoch: this.current.epoch, settled: this.current.connected };
  }

  handleMessage(message: ServerMessage, now: Millis): void {
    switch (message.type) {
      case 'welcome':
        this.token = message.token;
        this.role = message.role;
        this.#ports.say({ type: 'confirm' });
        break;
      case 'role':
        this.role = message.role;
        break;
      case 'offer':
        this.#applyOffer(message, now);
        break;
      case 'close':
        this.connections.delete(message.connection);
        if (message.connection === this.inUse) this.inUse = Math.max(0, ...this.connections.keys());
        break;
      case 'relays':
        this.relays.push(...message.servers);
        break;
      case 'room':
        this.room = message;
        this.roomsTold++;
        break;
      case 'pong':
        this.pongs++;
        break;
      case 'error':
        this.errors.push(message.code);
        if (message.code === 'TOKEN_UNKNOWN') this.token = undefined;
        break;
    }
  }

  /** Its page is loaded again: what it had is gone, but for the token that it has put by. */
  reload(): void {
    this.connections.clear();
    this.inUse = 0;
    this.role = undefined;
  }

  handleDatagram(to: Address, datagram: Uint8Array, now: Millis): void {
    for (const connection of this.connections.values()) {
      if (connection.ports.includes(to.port)) connection.handleDatagram(datagram, to.port, now);
    }
  }

  /** Sends the frame and the checks that are due. */
  tick(now: Millis): void {
    for (const connection of this.connections.values()) connection.tick(now);
  }

  /** When the next {@link tick} has something to do. */
  nextTimeout(): Millis {
    return Math.min(...[...this.connections.values()].map((connection) => connection.nextTimeout()));
  }

  /** The broadcaster's numbering leaps ahead, as behind an encoder that was held up. */
  leap(by: number): void {
    this.current?.leap(by);
  }

  /** The broadcaster's encoder starts anew: another SSRC, other numbers. */
  restartEncoder(sequence: number): void {
    this.current?.restartEncoder(sequence);
  }

  playing(connection: number): void {
    this.inUse = connection;
    this.#ports.say({ type: 'playing', connection });
  }

  #applyOffer(offer: Offer, now: Millis): void {
    // What was being brought up is overtaken, also where the server had no chance to say so.
    for (const number of this.connections.keys()) {
      if (number !== this.inUse && number !== offer.connection) this.connections.delete(number);
    }
    // As the page does: what is not for keys of the same connection is another, be its number known.
    let connection = offer.kind === 'rekey' ? this.connections.get(offer.connection) : undefined;
    if (connection === undefined) {
      connection = new VirtualConnection(
        this,
        this.#identity,
        this.#server,
        (port, datagram, to) => this.#ports.transmit({ ip: this.#ip, port }, datagram, to),
        this.#firstSequence + this.made * 5_000,
      );
      this.made++;
      this.connections.set(offer.connection, connection);
      if (this.current === undefined) this.inUse = offer.connection;
    }
    const sdp = connection.apply(offer, ++this.#nextPort, now);
    this.#ports.say({ type: 'answer', connection: offer.connection, offer: offer.offer, sdp });
  }
}

/** One RTCPeerConnection. */
export class VirtualConnection {
  /** Of each ICE restart, the newest first; all of them are listened at. */
  readonly ports: number[] = [];
  epoch = -1;
  role: Role = 'viewer';
  connected = false;
  /** Plaintext of what arrived, by `ssrc/sequence` in order of first arrival. */
  readonly received = new Map<string, Uint8Array>();
  readonly nacked: number[] = [];
  plis = 0;
  /** DTLS datagrams that could not be made sense of. */
  nonsense = 0;
  receivedAt: Millis | undefined;
  readonly #browser: VirtualBrowser;
  readonly #identity: DtlsIdentity;
  readonly #server: Address;
  readonly #transmit: (port: number, datagram: Uint8Array) => void;
  /** Where it is offered to send. */
  #to: Address;
  #number = 0;
  #remote: IceCredentials = { ufrag: '', pwd: '' };
  #local: IceCredentials;
  /** As before the last ICE restart: its pairs are still there. */
  #before: { readonly local: IceCredentials; readonly remote: IceCredentials } | undefined;
  #fingerprint = '';
  #dtls: DtlsTestServer | undefined;
  #send: SrtpSendContext | undefined;
  #receive: SrtpReceiveContext | undefined;
  #checkAt: Millis = 0;
  /** Where it sent from when the last ICE restart began, and goes on to until a check from the newest port is answered. */
  #portBefore: number | undefined;
  /** The last checks from the newest port, while none is answered. */
  #checks: string[] = [];
  /** The newest port has been answered: it is nominated with each check. */
  #answered = false;
  #frameAt: Millis = 0;
  #sent = new Map<number, Uint8Array>();
  #rtxSequence = 1;
  /** The broadcaster's numbering, as one encoder has it over re-keys of its connection. */
  readonly #video: { ssrc: number; sequence: number; timestamp: number; keyframe: boolean };

  constructor(
    browser: VirtualBrowser,
    identity: DtlsIdentity,
    server: Address,
    transmit: (port: number, datagram: Uint8Array, to: Address) => void,
    firstSequence: number,
  ) {
    this.#browser = browser;
    this.#video = { ssrc: 0, sequence: firstSequence, timestamp: 90_000, keyframe: true };
    this.#identity = identity;
    this.#server = server;
    this.#to = server;
    this.#transmit = (port, datagram) => transmit(port, datagram, this.#to);
    this.#local = createIceCredentials(browser.rng);
  }

  /** Its own, as its last answer has told them. */
  get credentials(): IceCredentials {
    return this.#local;
  }

  /** Where it sends from. */
  get port(): number | undefined {
    const before = this.#portBefore;
    return before !== undefined && this.ports.includes(before) ? before : this.ports[0];
  }

  /** Applies an offer and gives the answer. */
  apply(offer: Offer, port: number, now: Millis): string {
    const session = sdpTransform.parse(offer.sdp);
    const media = session.media[0]!;
    if (this.epoch >= 0 && offer.role !== this.role) throw new Error('a connection is to change its role');
    this.#number = offer.connection;
    const [candidate] = media.candidates ?? [];
    if (candidate !== undefined) this.#to = { ip: candidate.ip, port: candidate.port };
    this.role = offer.role;
    this.epoch = offer.epoch;
    const remote = { ufrag: String(media.iceUfrag), pwd: String(media.icePwd) };
    if (remote.ufrag !== this.#remote.ufrag) {
      this.#before = { local: this.#local, remote: this.#remote };
      this.#remote = remote;
      this.#local = createIceCredentials(this.#browser.rng);
      const atOnce = this.#browser.changesPort === 'at-once';
      this.#portBefore = atOnce ? undefined : this.port;
      this.#answered = atOnce;
      this.#checks = [];
      this.ports.unshift(port);
      this.#checkAt = now;
    }
    const fingerprint = `${media.fingerprint!.type} ${media.fingerprint!.hash}`;
    if (fingerprint !== this.#fingerprint) {
      this.#fingerprint = fingerprint;
      this.#send = undefined;
      this.#receive = undefined;
      this.connected = false;
      const { rng, knobs } = this.#browser;
      this.#dtls = new DtlsTestServer({ identity: this.#identity, rng, knobs });
    }
    return this.#answer();
  }

  handleDatagram(datagram: Uint8Array, port: number, now: Millis): void {
    const kind = classifyDatagram(datagram);
    if (kind === 'stun') this.#handleStun(parseStun(datagram), port, now);
    else if (kind === 'dtls') {
      this.#handleDtls(datagram, now);
      this.#drainDtls();
    } else if (kind === 'srtp') this.#handleRtp(this.#receive?.unprotectRtp(datagram)?.packet, now);
    else if (kind === 'srtcp') this.#handleRtcp(this.#receive?.unprotectRtcp(datagram));
  }

  tick(now: Millis): void {
    this.#dtls?.handleTimeout(now);
    this.#drainDtls();
    if (now >= this.#checkAt) this.#check(now);
    if (this.role === 'broadcaster' && now >= this.#frameAt) {
      this.#frameAt = this.#nextFrame(now);
      this.#sendFrame();
    }
  }

  nextTimeout(): Millis {
    const frameAt = this.role === 'broadcaster' ? this.#frameAt : Number.POSITIVE_INFINITY;
    return Math.min(this.#dtls?.nextTimeout() ?? Number.POSITIVE_INFINITY, this.#checkAt, frameAt);
  }

  /** An interval that is asked for is kept on average, as long as nothing holds up the process: a timer of a millisecond or two is often late. */
  #nextFrame(now: Millis): Millis {
    const { interval } = this.#browser.frame;
    if (interval === undefined) return now + FRAME_INTERVAL;
    return Math.max(this.#frameAt + interval, now - MAX_BEHIND);
  }

  #check(now: Millis): void {
    const isUp = this.connected && this.#answered;
    this.#checkAt = now + (isUp ? this.#browser.checkInterval : FIRST_CHECKS_INTERVAL);
    const transactionId = randomBytes(this.#browser.rng, 12);
    if (!this.#answered) this.#checks = [...this.#checks, toHex(transactionId)].slice(-MAX_CHECKS);
    this.#out(
      bindingRequest({
        transactionId,
        username: `${this.#remote.ufrag}:${this.#local.ufrag}`,
        password: this.#remote.pwd,
        priority: 1,
        tieBreaker: new Uint8Array(8),
        useCandidate: this.#answered,
      }),
      this.ports[0],
    );
  }

  #handleStun(message: StunMessage | undefined, port: number, now: Millis): void {
    if (message?.type === STUN_TYPE.bindingRequest) this.#answerCheck(message, port);
    else if (message?.type === STUN_TYPE.bindingSuccess) this.#handleSuccess(message, now);
  }

  /** The newest port is good: it is taken, and nominated at once. */
  #handleSuccess(response: StunMessage, now: Millis): void {
    if (!this.#checks.includes(toHex(response.transactionId))) return;
    if (!verifyIntegrity(response, this.#remote.pwd)) return;
    this.#answered = true;
    this.#checks = [];
    this.#portBefore = undefined;
    this.#checkAt = now;
  }

  /** As every full agent does, on the port that it was asked on (RFC 8445 §7.3). */
  #answerCheck(request: StunMessage, port: number): void {
    const asked = [{ local: this.#local, remote: this.#remote }, this.#before].find(
      (pair) => pair !== undefined && request.username === `${pair.local.ufrag}:${pair.remote.ufrag}`,
    );
    if (asked === undefined || !verifyIntegrity(request, asked.local.pwd)) return;
    this.#transmit(port, bindingSuccess(request, this.#server, asked.local.pwd));
  }

  /** What a killed server has sent may arrive in the handshake of the next, and makes no sense there: stacks drop it. */
  #handleDtls(datagram: Uint8Array, now: Millis): void {
    try {
      this.#dtls?.handleDatagram(datagram, now);
    } catch {
      this.nonsense++;
    }
  }

  #drainDtls(): void {
    const dtls = this.#dtls;
    if (dtls === undefined) return;
    for (let datagram = dtls.pollDatagram(); datagram !== undefined; datagram = dtls.pollDatagram())
      this.#out(datagram);
    if (dtls.connected && !this.connected && dtls.keys !== undefined) this.#connect(dtls);
  }

  #connect(dtls: DtlsTestServer): void {
    const [algorithm, hash] = this.#fingerprint.split(' ') as ['sha-256', string];
    const offered = toHex(fingerprintOf(dtls.clientCertificate ?? new Uint8Array(0), algorithm).digest);
    if (offered !== hash.replaceAll(':', '').toLowerCase())
      throw new Error('the server has another certificate than it offered');
    const { profile, local, remote } = dtls.keys!;
    this.connected = true;
    const copy = ({ key, salt }: typeof local) => ({
      key: Secret.copy(key.bytes),
      salt: Secret.copy(salt.bytes),
    });
    this.#browser.associations.push({
      connection: this.#number,
      epoch: this.epoch,
      serverCertificate: dtls.clientCertificate ?? new Uint8Array(0),
      keys: { profile, local: copy(local), remote: copy(remote) },
      secrets: dtls.secrets!,
    });
    this.#send = SrtpSendContext.create(profile, copy(local));
    this.#receive = SrtpReceiveContext.create(profile, copy(remote));
    if (this.role === 'broadcaster') {
      this.#video.keyframe = true;
      if (this.#browser.inUse !== this.#number) this.#browser.playing(this.#number);
    }
  }

  #sendFrame(): void {
    const video = this.#video;
    const keyframe = video.keyframe;
    video.keyframe = false;
    video.timestamp += FRAME_INTERVAL * 90;
    const { packets, padding } = this.#browser.frame;
    for (let i = 0; i < packets; i++) {
      const sequence = video.sequence++;
      const packet = writeRtp({
        marker: i === packets - 1,
        payloadType: PAYLOAD_TYPE.vp8,
        sequenceNumber: sequence & 0xffff,
        timestamp: video.timestamp >>> 0,
        ssrc: 0x1000 + this.#number + video.ssrc * 0x100,
        payload: concat(vp8Payload(keyframe && i === 0, sequence), new Uint8Array(padding)),
      });
      this.#sent.set(sequence & 0xffff, packet);
      this.#protect(packet, sequence);
    }
  }

  #protect(packet: Uint8Array, index: number): void {
    // Numbers go on over a re-key; what the encoder made while there were no keys is lost, but can be asked for.
    const datagram = this.connected ? this.#send?.protectRtp(packet, index) : undefined;
    if (datagram !== undefined) this.#out(datagram);
  }

  #handleRtp(packet: Uint8Array | undefined, now: Millis): void {
    const parsed = packet && parseRtp(packet);
    if (packet === undefined || parsed === undefined) return;
    this.receivedAt = now;
    if (parsed.payloadType === PAYLOAD_TYPE.vp8Rtx) return;
    const key = `${parsed.ssrc}/${parsed.sequenceNumber}`;
    if (!this.received.has(key)) this.received.set(key, packet);
    if (this.#browser.inUse !== this.#number) this.#browser.playing(this.#number);
  }

  #handleRtcp(compound: Uint8Array | undefined): void {
    for (const packet of (compound && parseRtcp(compound)) ?? []) {
      if (packet.type === 'pli') {
        this.plis++;
        this.#video.keyframe = true;
      } else if (packet.type === 'nack') {
        for (const sequence of packet.sequences) this.#retransmit(sequence);
      }
    }
  }

  #retransmit(sequence: number): void {
    this.nacked.push(sequence);
    const original = parseRtp(this.#sent.get(sequence) ?? new Uint8Array(0));
    if (original === undefined || !this.connected) return;
    const rtx = this.#rtxSequence++;
    this.#protect(
      writeRtp({
        ...original,
        payloadType: PAYLOAD_TYPE.vp8Rtx,
        sequenceNumber: rtx & 0xffff,
        ssrc: 0x9000 + this.#number,
        payload: Uint8Array.of(sequence >> 8, sequence & 0xff, ...original.payload),
      }),
      rtx,
    );
  }

  leap(by: number): void {
    this.#video.sequence += by;
  }

  restartEncoder(sequence: number): void {
    const video = this.#video;
    Object.assign(video, { ssrc: video.ssrc + 1, sequence, keyframe: true });
    this.#sent.clear();
  }

  /** A receiver report, and a NACK for what is asked. */
  report(nack: readonly number[], ssrc: number): void {
    this.sendRtcp([
      { type: 'receiverReport', ssrc: 7, reports: [] },
      ...(nack.length === 0 ? [] : [{ type: 'nack' as const, sender: 7, media: ssrc, sequences: nack }]),
    ]);
  }

  sendRtcp(packets: readonly RtcpPacket[]): void {
    const compound = writeRtcp(packets);
    const datagram = this.#send?.protectRtcp(compound);
    if (datagram !== undefined) this.#out(datagram);
  }

  #out(datagram: Uint8Array, port = this.port): void {
    if (port !== undefined && this.#server.port > 0) this.#transmit(port, datagram);
  }

  #answer(): string {
    const { digest } = fingerprintOf(this.#identity.certificate, 'sha-256');
    const hash = toHex(digest)
      .toUpperCase()
      .replace(/..(?=.)/g, '$&:');
    const direction = this.role === 'broadcaster' ? 'sendonly' : 'recvonly';
    const section = (type: string, mid: number, payloads: string) =>
      [
        `m=${type} 9 UDP/TLS/RTP/SAVPF ${payloads}`,
        'c=IN IP4 0.0.0.0',
        `a=ice-ufrag:${this.#local.ufrag}`,
        `a=ice-pwd:${this.#local.pwd}`,
        `a=fingerprint:sha-256 ${hash}`,
        'a=setup:passive',
        `a=mid:${mid}`,
        `a=${direction}`,
        'a=rtcp-mux',
      ].join('\r\n');
    return `v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n${section('audio', 0, '111')}\r\n${section('video', 1, '96 97')}\r\n`;
  }
}

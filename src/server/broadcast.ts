/**
 * The whole server without its sockets and files: sessions, room and what survives of them.
 *
 * It takes datagrams, pages' messages and the time, and is drained for what leaves. The one call out is `persistMedia`, synchronous
 * because index limits have to be on file before they are used. So a test can run it, kill it at any point and start another from
 * what was written, on virtual time.
 */
import { type MediaPacket, PAYLOAD_TYPE } from '../room/media.ts';
import { Room, type RoomOutput } from '../room/room.ts';
import { writeRtcp } from '../rtp/rtcp.ts';
import type { Connection, PagePosition } from '../session/connection.ts';
import { digestOf } from '../session/rekey.ts';
import { Session, type SessionEvent, type SessionOutput } from '../session/session.ts';
import { ResumeTokens } from '../session/tokens.ts';
import {
  type Capabilities,
  CLOSE_CODE,
  type ClientMessage,
  type Role,
  type ServerMessage,
} from '../signaling/protocol.ts';
import { createOffer, parseAnswer, type VideoCodec } from '../signaling/sdp.ts';
import type {
  CertificateRecord,
  IdentitySnapshot,
  MediaSnapshot,
  PeerMediaRecord,
  SessionRecord,
} from '../snapshot/schema.ts';
import { type Address, addressKey } from '../transport/address.ts';
import { classifyDatagram } from '../transport/demux.ts';
import type { DtlsIdentity } from '../transport/dtls/client.ts';
import { fingerprintOf } from '../transport/dtls/fingerprint.ts';
import { createIceCredentials, localUfragOf } from '../transport/ice/ice-lite.ts';
import { Peer } from '../transport/peer.ts';
import type { SrtpProfile } from '../transport/srtp/profile.ts';
import { type MediaProtector, PlainProtector } from '../transport/srtp/protector.ts';
import { fromHex, toHex } from '../util/bytes.ts';
import { earliest, type Millis, type WallMillis } from '../util/clock.ts';
import { Counters } from '../util/counters.ts';
import { type RandomSource, randomBytes } from '../util/rng.ts';
import type { Secret } from '../util/secret.ts';

/** A broadcaster whose page and media are both gone for this long has left: the next to ask takes over. */
const BROADCASTER_GRACE: Millis = 15_000;
/** A visitor who was given the room and has not gone on air for this long may be taken over (an unanswered camera prompt). */
const ON_AIR_GRACE: Millis = 60_000;
/** More visitors than one process can feed; the next is told that the room is full. */
const MAX_SESSIONS = 2_000;

export interface BroadcastOptions {
  readonly certificate: CertificateRecord;
  readonly identity: DtlsIdentity;
  readonly tokenKey: Secret;
  /** Names this run of the server to the pages. */
  readonly instance: string;
  readonly rng: RandomSource;
  readonly candidates: readonly Address[];
  readonly videoCodecs: readonly VideoCodec[];
  readonly srtpProfiles: readonly SrtpProfile[];
  readonly staleKeyTtl: Millis;
  readonly sessionTtl: Millis;
  readonly rekeyInterval: Millis | undefined;
  /** Wall-clock time minus monotonic time. */
  readonly wallOffset: number;
  /** How long the contexts in a media snapshot may be resumed. */
  readonly mediaTtl: Millis;
  /**
   * Writes a media snapshot before it returns, or gives `false` when there is none on file any more. Absent in strict mode: no context
   * is ever written, and no index is limited.
   */
  readonly persistMedia?: (snapshot: MediaSnapshot) => boolean;
}

/** A WebSocket of a page. */
export type PageId = number;

export type BroadcastEvent =
  | SessionEvent
  | {
      readonly event: 'session-opened' | 'session-resumed' | 'session-closed';
      readonly session: string;
      readonly role: Role;
    }
  | { readonly event: 'token-refused' }
  | { readonly event: 'protect-failed'; readonly connection: string; readonly reason: string }
  | { readonly event: 'first-media-forwarded' };

export type BroadcastOutput =
  | { readonly kind: 'transmit'; readonly to: Address; readonly datagram: Uint8Array }
  /** `afterWrite`: only once the identity snapshot holds what the message promises. */
  | {
      readonly kind: 'message';
      readonly page: PageId;
      readonly message: ServerMessage;
      readonly afterWrite: boolean;
    }
  | { readonly kind: 'disconnect'; readonly page: PageId; readonly code: number; readonly reason: string }
  /** The identity snapshot is out of date. */
  | { readonly kind: 'identity-changed' }
  | { readonly kind: 'event'; readonly event: BroadcastEvent };

export type BroadcastDropReason = 'unanswerable' | 'unknown kind' | 'unknown peer';

export class Broadcast {
  readonly drops = new Counters<BroadcastDropReason>();
  readonly #options: BroadcastOptions;
  readonly #room: Room;
  readonly #tokens: ResumeTokens;
  readonly #protector: MediaProtector = new PlainProtector();
  readonly #sessions = new Map<string, Session>();
  /** When each session wants its next timeout, as of when it was last touched. */
  readonly #deadlines = new Map<Session, Millis>();
  readonly #connections = new Map<string, Attached>();
  /** Connections by local ufrag and by address. An entry is a hint: the peer itself says whether it holds. */
  readonly #byUfrag = new Map<string, string>();
  readonly #byAddress = new Map<string, string>();
  readonly #pages = new Map<PageId, string>();
  readonly #pageOf = new Map<string, PageId>();
  #broadcaster: { readonly session: string; readonly since: Millis } | undefined;
  #roomTold = '';
  #identityChanged = false;
  #forwarded = false;
  #now: Millis;
  readonly #outputs: BroadcastOutput[] = [];

  constructor(
    options: BroadcastOptions,
    now: Millis,
    restored?: { identity: IdentitySnapshot; media: MediaSnapshot | undefined },
  ) {
    this.#options = options;
    this.#now = now;
    this.#tokens = new ResumeTokens(options.tokenKey, options.rng);
    const state = restored?.media?.room ?? restored?.identity.room;
    this.#room = new Room({
      rng: options.rng,
      now,
      wall: now + options.wallOffset,
      ...(state === undefined ? {} : { state }),
    });
    if (restored !== undefined) this.#restore(restored.identity, restored.media, now);
  }

  get sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  get roomStats(): Room['stats'] {
    return this.#room.stats;
  }

  handleDatagram(datagram: Uint8Array, from: Address, now: Millis): void {
    this.#now = now;
    // RFC 768: port zero is nobody's to answer to. Nominated, it would be an address that no snapshot can hold.
    if (from.port === 0) {
      this.drops.add('unanswerable');
      return;
    }
    const kind = classifyDatagram(datagram);
    if (kind === undefined) {
      this.drops.add('unknown kind');
      return;
    }
    const attached = kind === 'stun' ? this.#findByUfrag(datagram) : this.#findByAddress(from);
    if (attached === undefined) {
      this.drops.add('unknown peer');
      return;
    }
    attached.session.handleDatagram(attached.connection, datagram, from, now);
    this.#drain(attached.session, now);
    this.#drainRoom(now);
  }

  /** A page has opened its WebSocket; with a token that holds it gets its session back and its new offer in the same turn. */
  openPage(page: PageId, token: string | undefined, position: PagePosition | undefined, now: Millis): void {
    this.#now = now;
    if (token === undefined) return;
    const id = this.#tokens.redeem(token);
    const session = id === undefined ? undefined : this.#sessions.get(id);
    if (session === undefined) {
      this.#event({ event: 'token-refused' });
      this.#tell(page, {
        type: 'error',
        code: 'TOKEN_UNKNOWN',
        message: 'This resume token is unknown, expired or was used before. Join anew.',
      });
      return;
    }
    this.#bind(page, session);
    this.#event({ event: 'session-resumed', session: session.id, role: session.role });
    if (session.role === 'broadcaster' && this.#broadcaster === undefined) this.#takeSlot(session, now);
    session.attach(position, now);
    this.#welcome(session, true);
    this.#settle(session, now);
  }

  handleMessage(page: PageId, message: ClientMessage, now: Millis): void {
    this.#now = now;
    const session = this.#sessions.get(this.#pages.get(page) ?? '');
    if (session === undefined) {
      if (message.type === 'join') this.#join(page, message.capabilities, now);
      else
        this.#tell(page, {
          type: 'error',
          code: 'MESSAGE_INVALID',
          message: 'The first message has to be "join".',
        });
      return;
    }
    switch (message.type) {
      case 'confirm':
        this.#tokens.confirm(session.id);
        this.#identityChanged = true;
        break;
      case 'publish':
        this.#publish(session, now);
        break;
      case 'decline':
        if (this.#broadcaster?.session === session.id) this.#broadcaster = undefined;
        session.changeRole('viewer', now);
        break;
      case 'leave':
        session.close();
        this.#outputs.push({ kind: 'disconnect', page, code: CLOSE_CODE.left, reason: 'left' });
        break;
      case 'stalled':
        // Where the broadcaster is silent there is nothing that another connection would bring.
        if (session.role === 'broadcaster' || this.#room.isFlowing(now)) session.handleMessage(message, now);
        break;
      default:
        session.handleMessage(message, now);
    }
    this.#settle(session, now);
  }

  /** A page's WebSocket is gone; its media goes on. */
  closePage(page: PageId, now: Millis): void {
    this.#now = now;
    const session = this.#sessions.get(this.#pages.get(page) ?? '');
    this.#pages.delete(page);
    if (session === undefined || this.#pageOf.get(session.id) !== page) return;
    this.#pageOf.delete(session.id);
    session.detach(now);
    this.#settle(session, now);
  }

  /** New keys for everybody, unnoticed (an operator's order). */
  rekeyAll(now: Millis): void {
    this.#now = now;
    for (const session of this.#sessions.values()) {
      session.rekey('order', now);
      this.#drain(session, now);
    }
    this.#drainRoom(now);
  }

  handleTimeout(now: Millis): void {
    this.#now = now;
    for (const [session, deadline] of this.#deadlines) {
      if (deadline > now) continue;
      session.handleTimeout(now);
      this.#drain(session, now);
    }
    if (now >= (this.#slotEnds ?? Number.POSITIVE_INFINITY)) this.#broadcaster = undefined;
    this.#room.handleTimeout(now);
    this.#drainRoom(now);
    this.#tellRoom();
  }

  nextTimeout(): Millis | undefined {
    let next = earliest(this.#room.nextTimeout(), this.#slotEnds) ?? Number.POSITIVE_INFINITY;
    for (const deadline of this.#deadlines.values()) if (deadline < next) next = deadline;
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  pollOutput(): BroadcastOutput | undefined {
    const output = this.#outputs.shift();
    if (output !== undefined || !this.#identityChanged) return output;
    this.#identityChanged = false;
    return { kind: 'identity-changed' };
  }

  captureIdentity(): IdentitySnapshot {
    return {
      certificate: this.#options.certificate,
      tokenKey: this.#options.tokenKey,
      room: this.#room.capture(),
      sessions: [...this.#sessions.values()].flatMap((session) => this.#captureSession(session) ?? []),
    };
  }

  /** Keeps the media snapshot ahead of what is used, and its deadline ahead of the time. */
  refreshMedia(now: Millis): void {
    this.#now = now;
    this.#persistMedia();
  }

  /** The SRTP contexts with proposed index limits: binding once {@link granted}. */
  captureMedia(): MediaSnapshot {
    const { wallOffset, mediaTtl } = this.#options;
    const writtenAt: WallMillis = Math.round(this.#now + wallOffset);
    return {
      writtenAt,
      notAfter: writtenAt + mediaTtl,
      room: this.#room.capture(),
      peers: [...this.#connections.values()].flatMap((attached) => captureContexts(attached) ?? []),
    };
  }

  /** This snapshot has been written: indices up to its limits may be used. */
  granted(snapshot: MediaSnapshot): void {
    this.#room.granted(snapshot.room);
    for (const record of snapshot.peers) {
      this.#connections.get(connectionId(record.session, record.connection))?.connection.peer.granted(record);
    }
  }

  /** Ends every session and wipes every key. */
  close(): void {
    for (const session of this.#sessions.values()) {
      for (const connection of session.connections) connection.peer.close();
    }
  }

  #persistMedia(): void {
    const { persistMedia } = this.#options;
    if (persistMedia === undefined) return;
    const snapshot = this.captureMedia();
    this.granted(persistMedia(snapshot) ? snapshot : unlimited(snapshot));
  }

  #restore(identity: IdentitySnapshot, media: MediaSnapshot | undefined, now: Millis): void {
    const contexts = new Map(
      media?.peers.map((record) => [connectionId(record.session, record.connection), record]),
    );
    for (const record of identity.sessions) {
      const session = this.#createSession(toHex(record.id), record.role, record.capabilities, now);
      this.#tokens.restore(session.id, {
        current: record.tokenHash,
        next: record.nextTokenHash.length === 0 ? undefined : record.nextTokenHash,
      });
      if (record.role === 'broadcaster') this.#broadcaster = { session: session.id, since: now };
      if (record.connection === undefined) {
        this.#drain(session, now);
        continue;
      }
      const id = connectionId(record.id, record.connection.number);
      const stale = contexts.get(id);
      contexts.delete(id);
      session.resume(
        { ...record.connection, remoteAddress: stale?.remoteAddress ?? record.connection.remoteAddress },
        stale && { contexts: stale, floors: media?.room.streams ?? [] },
        now,
      );
      const connection = session.current!;
      this.#route(session, connection);
      if (record.role === 'viewer') this.#room.addConsumer(connection.id, now, { resumed: true });
      // Speak first: a browser that hears nothing would wait for its own next check.
      connection.peer.sendRtcp(
        writeRtcp([
          { type: 'receiverReport', ssrc: 1, reports: [] },
          { type: 'sourceDescription', chunks: [{ ssrc: 1, cname: 'rekeycast' }] },
        ]),
      );
      session.flush(connection, now);
      this.#drain(session, now);
    }
    // What was sent while nobody ran cannot be repaired under the stale keys: ask before the first packet shows the gap.
    if (media !== undefined && media.peers.length > 0) this.#room.requestKeyframe(now);
    // Contexts whose session is not known any more are of no use to anybody.
    for (const record of contexts.values()) disposeContexts(record);
    this.#drainRoom(now);
  }

  #join(page: PageId, capabilities: Capabilities, now: Millis): void {
    if (this.#sessions.size >= MAX_SESSIONS) {
      this.#tell(page, { type: 'error', code: 'ROOM_FULL', message: 'The room is full.' });
      return;
    }
    const free = this.#slotFree(now);
    const session = this.#createSession(
      toHex(randomBytes(this.#options.rng, 8)),
      free ? 'broadcaster' : 'viewer',
      capabilities,
      now,
    );
    if (free) this.#takeSlot(session, now);
    this.#bind(page, session);
    this.#event({ event: 'session-opened', session: session.id, role: session.role });
    this.#welcome(session, false);
    session.attach(undefined, now);
    this.#settle(session, now);
  }

  #publish(session: Session, now: Millis): void {
    if (session.role === 'broadcaster') return;
    if (!this.#slotFree(now)) {
      this.#tellSession(session, {
        type: 'error',
        code: 'BROADCASTER_PRESENT',
        message: 'Somebody else is broadcasting.',
      });
      return;
    }
    this.#takeSlot(session, now);
    session.changeRole('broadcaster', now);
  }

  #takeSlot(session: Session, now: Millis): void {
    this.#broadcaster = { session: session.id, since: now };
    for (const other of this.#sessions.values()) {
      if (other === session || other.role !== 'broadcaster') continue;
      other.changeRole('viewer', now);
      this.#drain(other, now);
    }
  }

  #slotFree(now: Millis): boolean {
    const holder = this.#holder;
    if (this.#broadcaster === undefined || holder === undefined) return true;
    return !isOnAir(holder) && now - this.#broadcaster.since > ON_AIR_GRACE;
  }

  get #holder(): Session | undefined {
    return this.#sessions.get(this.#broadcaster?.session ?? '');
  }

  /** When the broadcaster's place is given up, where its page is away. */
  get #slotEnds(): Millis | undefined {
    const holder = this.#holder;
    return holder === undefined || holder.attached ? undefined : holder.seenAt + BROADCASTER_GRACE;
  }

  #createSession(id: string, role: Role, capabilities: Capabilities, now: Millis): Session {
    const { certificate, identity, rng, srtpProfiles, candidates, videoCodecs } = this.#options;
    const session = new Session(
      {
        id,
        role,
        capabilities,
        staleKeyTtl: this.#options.staleKeyTtl,
        sessionTtl: this.#options.sessionTtl,
        rekeyInterval: this.#options.rekeyInterval,
        createCredentials: () => createIceCredentials(rng),
        createPeer: (ice, restored) =>
          new Peer({ identity, rng, srtpProfiles, ice, reserve: () => this.#persistMedia() }, restored),
        createOffer: (connection) =>
          createOffer({
            role: connection.role,
            connection: connection.number,
            offer: connection.offers,
            ice: connection.peer.iceCredentials,
            fingerprint: fingerprintOf(certificate.certificate, digestOf(connection.epoch)),
            candidates,
            videoCodecs,
            room: this.#room.capture(),
          }),
        parseAnswer,
      },
      now,
    );
    this.#sessions.set(id, session);
    return session;
  }

  /** A session has one page: the newest wins, and the other is told so. */
  #bind(page: PageId, session: Session): void {
    const before = this.#pageOf.get(session.id);
    if (before !== undefined && before !== page) {
      this.#pages.delete(before);
      this.#tell(before, {
        type: 'error',
        code: 'SUPERSEDED',
        message: 'This session was opened elsewhere.',
      });
      this.#outputs.push({
        kind: 'disconnect',
        page: before,
        code: CLOSE_CODE.superseded,
        reason: 'opened elsewhere',
      });
    }
    this.#pages.set(page, session.id);
    this.#pageOf.set(session.id, page);
  }

  #welcome(session: Session, resumed: boolean): void {
    const page = this.#pageOf.get(session.id);
    if (page === undefined) return;
    this.#identityChanged = true;
    const { instance } = this.#options;
    const token = this.#tokens.issue(session.id);
    this.#outputs.push({
      kind: 'message',
      page,
      message: { type: 'welcome', session: session.id, token, resumed, instance, role: session.role },
      afterWrite: true,
    });
    this.#roomTold = '';
  }

  #settle(session: Session, now: Millis): void {
    this.#drain(session, now);
    this.#drainRoom(now);
    this.#tellRoom();
  }

  #drain(session: Session, now: Millis): void {
    for (let output = session.pollOutput(); output !== undefined; output = session.pollOutput()) {
      this.#handleSessionOutput(session, output, now);
    }
    for (const connection of session.connections) this.#route(session, connection);
    this.#deadlines.set(session, session.nextTimeout() ?? Number.POSITIVE_INFINITY);
    if (session.closed) this.#removeSession(session);
  }

  #handleSessionOutput(session: Session, output: SessionOutput, now: Millis): void {
    switch (output.kind) {
      case 'transmit':
        this.#outputs.push(output);
        break;
      case 'message':
        this.#tellSession(session, output.message);
        break;
      case 'validated':
        for (const { id, peer } of session.connections) {
          if (peer === output.peer) this.#byAddress.set(addressKey(output.address), id);
        }
        break;
      case 'rtp':
        this.#handleRtp(output.connection, output.packet, now);
        break;
      case 'rtcp':
        if (output.connection.role === 'viewer')
          this.#room.handleConsumerRtcp(output.connection.id, output.packet, now);
        else this.#room.handleProducerRtcp(output.connection.id, output.packet, now);
        break;
      case 'rekey-started':
        if (output.connection.role === 'viewer') this.#room.consumerRekeyStarted(output.connection.id, now);
        break;
      case 'keyed':
        this.#handleKeyed(output.connection, output.first, now);
        break;
      case 'closed':
        this.#handleClosed(session, output.connection, now);
        break;
      case 'changed':
        this.#identityChanged = true;
        break;
      case 'event':
        this.#event(output.event);
        break;
    }
  }

  /** Media of the broadcaster's replacement connection takes over with its first video packet, which is a keyframe's. */
  #handleRtp(connection: Connection, packet: Uint8Array, now: Millis): void {
    if (connection.role !== 'broadcaster') return;
    if (isVideo(packet) && this.#succeeds(connection)) this.#room.setProducer(connection.id, now);
    this.#room.handleProducerRtp(connection.id, packet, now);
  }

  /** Until the page closes the one before, both carry media: there is no way back to that one. */
  #succeeds(connection: Connection): boolean {
    const { producer = '' } = this.#room;
    if (producer === connection.id) return false;
    const before = this.#connections.get(producer)?.connection;
    return (
      before === undefined || !isOfSameSession(producer, connection.id) || connection.number > before.number
    );
  }

  #handleKeyed(connection: Connection, first: boolean, now: Millis): void {
    if (connection.role === 'broadcaster') {
      const producer = this.#room.producer;
      if (producer === connection.id) this.#room.producerRekeyed(now);
      else if (producer === undefined || !isOfSameSession(producer, connection.id))
        this.#room.setProducer(connection.id, now);
    } else {
      if (first) this.#room.addConsumer(connection.id, now);
      else this.#room.consumerRekeyed(connection.id, now);
    }
    // The keys before these are gone from memory; now also from the file, together with what they were limited to.
    this.#persistMedia();
  }

  #handleClosed(session: Session, connection: Connection, now: Millis): void {
    this.#connections.delete(connection.id);
    if (connection.role === 'viewer') this.#room.removeConsumer(connection.id);
    else if (this.#room.producer === connection.id) {
      const successor = session.connections.find(
        ({ role, peer }) => role === 'broadcaster' && peer.keyEpoch !== undefined,
      );
      this.#room.setProducer(successor?.id, now);
    }
  }

  #drainRoom(now: Millis): void {
    for (let output = this.#room.pollOutput(); output !== undefined; output = this.#room.pollOutput()) {
      this.#handleRoomOutput(output, now);
    }
  }

  #handleRoomOutput(output: RoomOutput, now: Millis): void {
    switch (output.kind) {
      case 'broadcast':
        this.#protect([...this.#connections.values()].filter(isViewer), output.media);
        break;
      case 'send': {
        const attached = this.#connections.get(output.consumer);
        if (attached !== undefined) this.#protect([attached], output.media);
        break;
      }
      case 'producerRtcp':
        this.#sendRtcp(this.#connections.get(output.producer), output.packet, now);
        break;
      case 'consumerRtcp':
        for (const attached of this.#connections.values()) {
          if (
            output.consumer === undefined ? isViewer(attached) : attached.connection.id === output.consumer
          ) {
            this.#sendRtcp(attached, output.packet, now);
          }
        }
        break;
      case 'reserve':
        this.#persistMedia();
        break;
    }
  }

  #protect(viewers: readonly Attached[], packet: MediaPacket): void {
    const jobs = viewers.flatMap(({ connection }) => {
      const { sendContext: context, remoteAddress: to } = connection.peer;
      return context === undefined || to === undefined ? [] : [{ connection, context, packet, to }];
    });
    this.#protector.protect(
      jobs,
      ({ to }, datagram) => this.#outputs.push({ kind: 'transmit', to, datagram }),
      ({ connection }, error) =>
        this.#event({ event: 'protect-failed', connection: connection.id, reason: String(error) }),
    );
    if (this.#forwarded || jobs.length === 0) return;
    this.#forwarded = true;
    this.#event({ event: 'first-media-forwarded' });
  }

  #sendRtcp(attached: Attached | undefined, packet: Uint8Array, now: Millis): void {
    if (attached === undefined) return;
    attached.connection.peer.sendRtcp(packet);
    attached.session.flush(attached.connection, now);
    this.#drain(attached.session, now);
  }

  #route(session: Session, connection: Connection): void {
    this.#connections.set(connection.id, { session, connection });
    for (const ufrag of connection.peer.ufrags) this.#byUfrag.set(ufrag, connection.id);
    const address = connection.peer.remoteAddress;
    if (address !== undefined) this.#byAddress.set(addressKey(address), connection.id);
  }

  #findByUfrag(datagram: Uint8Array): Attached | undefined {
    const ufrag = localUfragOf(datagram);
    if (ufrag === undefined) return undefined;
    const attached = this.#connections.get(this.#byUfrag.get(ufrag) ?? '');
    if (attached?.connection.peer.ufrags.includes(ufrag)) return attached;
    this.#byUfrag.delete(ufrag);
    return undefined;
  }

  #findByAddress(from: Address): Attached | undefined {
    const key = addressKey(from);
    const attached = this.#connections.get(this.#byAddress.get(key) ?? '');
    if (attached?.connection.peer.isValidated(from)) return attached;
    this.#byAddress.delete(key);
    return undefined;
  }

  #removeSession(session: Session): void {
    this.#deadlines.delete(session);
    if (!this.#sessions.delete(session.id)) return;
    this.#tokens.remove(session.id);
    const page = this.#pageOf.get(session.id);
    this.#pageOf.delete(session.id);
    if (page !== undefined) this.#pages.delete(page);
    if (this.#broadcaster?.session === session.id) this.#broadcaster = undefined;
    this.#event({ event: 'session-closed', session: session.id, role: session.role });
  }

  #captureSession(session: Session): SessionRecord | undefined {
    const hashes = this.#tokens.capture(session.id);
    if (hashes === undefined) return undefined;
    return {
      id: fromHex(session.id),
      tokenHash: hashes.current,
      nextTokenHash: hashes.next ?? new Uint8Array(0),
      role: session.role,
      capabilities: session.capabilities,
      lastSeenAt: Math.round(session.seenAt + this.#options.wallOffset),
      connection: session.captureConnection(),
    };
  }

  /** Tells every page how many watch and whether somebody is on air, when that has changed. */
  #tellRoom(): void {
    let viewers = 0;
    for (const session of this.#sessions.values()) {
      if (session.role === 'viewer' && (session.attached || session.current?.peer.keyEpoch !== undefined))
        viewers++;
    }
    const holder = this.#sessions.get(this.#broadcaster?.session ?? '');
    const message: ServerMessage = { type: 'room', viewers, onAir: holder !== undefined && isOnAir(holder) };
    const text = JSON.stringify(message);
    if (text === this.#roomTold) return;
    this.#roomTold = text;
    for (const page of this.#pageOf.values()) this.#tell(page, message);
  }

  #tellSession(session: Session, message: ServerMessage): void {
    const page = this.#pageOf.get(session.id);
    if (page !== undefined) this.#tell(page, message);
  }

  #tell(page: PageId, message: ServerMessage): void {
    this.#outputs.push({ kind: 'message', page, message, afterWrite: false });
  }

  #event(event: BroadcastEvent): void {
    this.#outputs.push({ kind: 'event', event });
  }
}

interface Attached {
  readonly session: Session;
  readonly connection: Connection;
}

const isViewer = ({ connection }: Attached): boolean => connection.role === 'viewer';

/** Whether the broadcaster's media can arrive: it has keys, or had them when the server last ran. */
const isOnAir = (session: Session): boolean => session.current?.role === 'broadcaster';

const connectionId = (session: Uint8Array, number: number): string => `${toHex(session)}/${number}`;

/** Audio of a new connection waits for its video, so that both change over together. */
const isVideo = (packet: Uint8Array): boolean => {
  const payloadType = packet[1]! & 0x7f;
  return payloadType === PAYLOAD_TYPE.vp8 || payloadType === PAYLOAD_TYPE.h264;
};

const isOfSameSession = (a: string, b: string): boolean => a.split('/')[0] === b.split('/')[0];

function captureContexts({ session, connection }: Attached): PeerMediaRecord | undefined {
  const contexts = connection.peer.captureContexts();
  const remoteAddress = connection.peer.remoteAddress;
  if (contexts === undefined || remoteAddress === undefined) return undefined;
  return { session: fromHex(session.id), connection: connection.number, remoteAddress, ...contexts };
}

/** What is in no file cannot be resumed and needs no limit. */
function unlimited({ room, peers, ...rest }: MediaSnapshot): MediaSnapshot {
  const lift = <Limited extends { readonly limit: number }>(list: readonly Limited[]) =>
    list.map((item) => ({ ...item, limit: Number.POSITIVE_INFINITY }));
  return {
    ...rest,
    room: { ...room, streams: lift(room.streams) },
    peers: peers.map((peer) => ({
      ...peer,
      send: { ...peer.send, srtcpLimit: Number.POSITIVE_INFINITY },
      receive: { ...peer.receive, streams: lift(peer.receive.streams), srtcp: lift(peer.receive.srtcp) },
    })),
  };
}

function disposeContexts({ send, receive }: PeerMediaRecord): void {
  for (const { key, salt } of [send.master, receive.master]) {
    key.dispose();
    salt.dispose();
  }
}

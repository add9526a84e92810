/**
 * The whole server without its sockets and files: sessions, room and what survives of them.
 *
 * It takes datagrams, pages' messages and the time, and is drained for what leaves. The one call out is `persistMedia`, synchronous
 * because index limits have to be on file before they are used. So a test can run it, kill it at any point and start another from
 * what was written, on virtual time.
 */
import { Room } from '../room/room.ts';
import { writeRtcp } from '../rtp/rtcp.ts';
import type { Connection } from '../session/connection.ts';
import type { Session } from '../session/session.ts';
import type { SessionOutput } from '../session/session-io.ts';
import { ResumeTokens } from '../session/tokens.ts';
import type { Admission } from '../signaling/admission.ts';
import {
  type Capabilities,
  CLOSE_CODE,
  type ClientMessage,
  type PagePosition,
  type ServerMessage,
} from '../signaling/protocol.ts';
import type {
  CertificateRecord,
  IdentitySnapshot,
  MediaSnapshot,
  SessionRecord,
} from '../snapshot/schema.ts';
import type { Address } from '../transport/address.ts';
import { classifyDatagram } from '../transport/demux.ts';
import type { DtlsIdentity } from '../transport/dtls/client.ts';
import { fingerprintOf } from '../transport/dtls/fingerprint.ts';
import type { MediaProtector } from '../transport/srtp/protector.ts';
import { toHex } from '../util/bytes.ts';
import { earliest, type Millis, type WallMillis } from '../util/clock.ts';
import { Counters, countUnder } from '../util/counters.ts';
import { randomBytes } from '../util/rng.ts';
import { type BroadcastFacts, broadcastFacts, type Found } from './broadcast-facts.ts';
import type {
  BroadcastDropReason,
  BroadcastEvent,
  BroadcastOptions,
  BroadcastOutput,
} from './broadcast-io.ts';
import { BroadcasterSlot } from './broadcaster-slot.ts';
import { disposeContexts } from './contexts.ts';
import { Deadlines } from './deadlines.ts';
import { Forwarding } from './forwarding.ts';
import { Greetings } from './greetings.ts';
import { hasKeysOfBefore, MediaLedger } from './media-ledger.ts';
import { type OpenedPage, PageBindings, type PageId } from './page-bindings.ts';
import { PAGE_ERROR } from './page-errors.ts';
import { Places } from './places.ts';
import { ReturningPages } from './returning-pages.ts';
import { type RoomMessage, RoomNews, type RoomState, roomMessage } from './room-news.ts';
import { type Route, Routes } from './routes.ts';
import { createSession, type Visitor } from './session-factory.ts';
import { readSessions, writeSession } from './session-records.ts';
import { Tally } from './tally.ts';
import { Relay } from './workers/relay.ts';

/**
 * The server as an engine: one mutation (`handle…`, `openPage`, `closePage`, `rekeyAll`), then drain {@link pollOutput} until `undefined`; call
 * {@link handleTimeout} when {@link nextTimeout} has passed. Nothing from the network or from a page makes it throw: it is dropped and counted.
 *
 * A restart hands in what the store had (`restored`), whose secrets it takes over.
 */
export class Broadcast {
  readonly drops = new Counters<BroadcastDropReason>();
  /** @internal */
  readonly places: Places;
  /** @internal */
  readonly relay: Relay;
  readonly #options: BroadcastOptions;
  readonly #room: Room;
  readonly #tokens: ResumeTokens;
  readonly #sessions = new Map<string, Session>();
  /** When each session wants its next timeout, as of when it was last touched. */
  readonly #deadlines = new Deadlines<Session>();
  readonly #routes = new Routes();
  readonly #media: MediaLedger;
  readonly #forwarding: Forwarding;
  readonly #pages = new PageBindings();
  readonly #slot = new BroadcasterSlot();
  readonly #closedDrops = new Counters<string>();
  readonly #tally = new Tally();
  readonly #found: Found;
  /** When the process before wrote last. */
  #writtenBefore: WallMillis | undefined;
  #certificate: CertificateRecord;
  #identity: DtlsIdentity;
  #wallOffset: number;
  readonly #returning = new ReturningPages((session, now) => this.#drain(session, now));
  #refusesNew = false;
  readonly #greetings = new Greetings((route, now) => this.#greet(route, now));
  readonly #news = new RoomNews();
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
    this.places = new Places({
      maxSessions: options.maxSessions,
      maxSessionsPerOwner: options.maxSessionsPerOwner,
      isAway: (session) => this.#sessions.get(session)?.away === true,
    });
    this.#certificate = options.certificate;
    this.#identity = options.identity;
    this.#wallOffset = options.wallOffset;
    this.#now = now;
    this.#tokens = new ResumeTokens(options.tokenKey, options.rng);
    this.#found = {
      sessions: restored?.identity.sessions.map(({ id }) => toHex(id)) ?? [],
      contexts: restored?.media?.peers.length ?? 0,
      at: now,
      gapMs: undefined,
    };
    this.#writtenBefore = restored?.media?.writtenAt;
    const state = restored?.media?.room ?? restored?.identity.room;
    this.#room = new Room({
      rng: options.rng,
      now,
      wall: now + options.wallOffset,
      ...(state === undefined ? {} : { state }),
    });
    this.#media = new MediaLedger({
      routes: this.#routes,
      room: this.#room,
      mediaTtl: options.mediaTtl,
      resumedNotAfter: restored?.media?.notAfter ?? Number.POSITIVE_INFINITY,
      now: () => this.#now,
      wall: () => this.#now + this.#wallOffset,
      persist: options.persistMedia,
    });
    this.relay = new Relay(options.place, this.#room, now);
    this.#forwarding = new Forwarding({
      room: this.#room,
      routes: this.#routes,
      relay: this.relay,
      reserve: () => this.#media.write(),
      flush: ({ session, connection }, at) => {
        session.flush(connection, at);
        this.#drain(session, at);
      },
      queueFull: () => this.drops.add('media queue full'),
      protectFailed: ({ id }, error) =>
        this.#event({ event: 'protect-failed', connection: id, reason: String(error) }),
    });
    if (restored !== undefined) this.#restore(restored.identity, restored.media, now);
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
    const route = kind === 'stun' ? this.#routes.findAddressee(datagram) : this.#routes.findByAddress(from);
    if (route === undefined) {
      this.drops.add('unknown peer');
      return;
    }
    route.session.handleDatagram(route.connection, datagram, from, now);
    this.#drain(route.session, now);
    this.#forwarding.drain(now);
  }

  /** A page has opened its WebSocket; with a token that holds it gets its session back and its new offer in the same turn. */
  openPage(
    opened: OpenedPage,
    token: string | undefined,
    position: PagePosition | undefined,
    now: Millis,
  ): void {
    const page = opened.id;
    this.#now = now;
    this.#pages.open(opened);
    if (token === undefined) return;
    const id = this.#tokens.redeem(token);
    const session = id === undefined ? undefined : this.#sessions.get(id);
    if (session === undefined) {
      this.#event({ event: 'token-refused' });
      this.#tell(page, PAGE_ERROR.tokenUnknown);
      return;
    }
    session.comeBack();
    this.#bind(page, session);
    this.places.hold(session.id, opened.owner);
    this.#event({ event: 'session-resumed', session: session.id, role: session.role });
    // The token that lets it in is another now, or what tokens are good for.
    if (session.role === 'broadcaster' && this.#pages.admissionOf(page).right !== 'publish')
      this.#stepDown(session, now);
    if (session.role === 'broadcaster' && this.#slot.isEmpty) this.#takeSlot(session, now);
    this.#returning.letIn(session, position, now);
    this.#welcome(session, true);
    this.#settle(session, now);
  }

  handleMessage(page: PageId, message: ClientMessage, now: Millis): void {
    this.#now = now;
    if (message.type === 'ping') {
      this.#tell(page, { type: 'pong' });
      return;
    }
    const session = this.#sessions.get(this.#pages.sessionOf(page) ?? '');
    if (session === undefined) {
      if (message.type === 'join') this.#join(page, message.capabilities, now);
      else this.#tell(page, PAGE_ERROR.notJoined);
      return;
    }
    switch (message.type) {
      case 'confirm':
        this.#tokens.confirm(session.id);
        this.#identityChanged = true;
        break;
      case 'publish':
        this.#publish(page, session, now);
        break;
      case 'decline':
        this.#stepDown(session, now);
        break;
      case 'leave':
        session.close();
        this.#disconnect(page, 'left', 'left');
        break;
      case 'away':
        session.goAway(now);
        this.#returning.leave(session);
        this.#pages.unbindSession(session.id);
        this.#disconnect(page, 'left', 'away');
        break;
      case 'playing':
        // A broadcaster's new connection takes over with its first frame, not when it is up: until then the old one is needed.
        if (session.current?.id !== this.#room.producer || session.role === 'viewer') {
          session.handleMessage(message, now);
        }
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
    this.#news.remove(page);
    this.places.endMove(page);
    const session = this.#sessions.get(this.#pages.close(page) ?? '');
    if (session === undefined) return;
    session.detach(now);
    this.#returning.leave(session);
    this.#settle(session, now);
  }

  /** Whether every page that is there has keys of its own since then, and no others. */
  isRekeyedSince(time: Millis): boolean {
    for (const session of this.#sessions.values()) {
      if (session.attached && session.connections.some((connection) => hasKeysOfBefore(connection, time)))
        return false;
    }
    return true;
  }

  /** Media snapshots hold no keys of before from now on: who has no others resumes by re-key alone. */
  writeOnlySince(time: Millis): void {
    this.#media.writeOnlySince(time);
  }

  /** Takes nobody new from now on; who has a session keeps it, and may come back to it. */
  refuseNew(): void {
    this.#refusesNew = true;
  }

  /** What every handshake shows that begins from now on. */
  get certificate(): CertificateRecord {
    return this.#certificate;
  }

  /** Takes another certificate, which has to be on file by now, and moves everybody to it, unnoticed. The former one's key is wiped. */
  replaceCertificate(certificate: CertificateRecord, identity: DtlsIdentity, now: Millis): void {
    const former = this.#certificate;
    [this.#certificate, this.#identity] = [certificate, identity];
    const [sha256, before] = [certificate, former].map((record) =>
      toHex(fingerprintOf(record.certificate, 'sha-256').digest),
    );
    this.#event({ event: 'certificate-replaced', sha256: sha256!, before: before! });
    former.privateKey.dispose();
    this.#identityChanged = true;
    this.rekeyAll(now, 'certificate');
  }

  /** New keys for everybody, unnoticed (an operator's order). */
  rekeyAll(now: Millis, reason: 'order' | 'certificate' = 'order'): void {
    this.#now = now;
    for (const session of this.#sessions.values()) {
      session.rekey(reason, now);
      this.#drain(session, now);
    }
    this.#forwarding.drain(now);
  }

  handleTimeout(now: Millis): void {
    this.#now = now;
    this.#media.handleTimeout(now);
    this.#deadlines.pass(now, (session) => {
      session.handleTimeout(now);
      this.#drain(session, now);
    });
    this.#greetings.goOn(now);
    this.#returning.admit(now);
    this.#slot.handleTimeout(now);
    this.#room.handleTimeout(now);
    this.#forwarding.drain(now);
    this.#tellRoom(now);
  }

  /** May be early, and is never late. */
  nextTimeout(): Millis | undefined {
    const next = earliest(
      this.#room.nextTimeout(),
      this.#slot.nextTimeout(),
      this.#returning.nextTimeout(),
      this.#media.nextTimeout(),
      this.#deadlines.next,
      this.#news.nextTimeout(),
      this.#greetings.wait ? this.#now : undefined,
    );
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  pollOutput(): BroadcastOutput | undefined {
    if (this.#outputs.length === 0 && this.#options.holdMedia !== true) this.#sendAllMedia();
    const output = this.#outputs.shift();
    if (output !== undefined || !this.#identityChanged) return output;
    this.#identityChanged = false;
    return { kind: 'identity-changed' };
  }

  /** Media is to be sent: call {@link sendMedia}. @internal */
  get mediaWaits(): boolean {
    return this.#forwarding.waits;
  }

  /** Protects the next of the media that waits, for some of the viewers. A datagram is a view: it is valid until the next call. @internal */
  sendMedia(send: (datagram: Uint8Array, to: Address) => void): void {
    if (this.#forwarding.send(send)) this.#noteForwarded();
  }

  /** A faster one, when there is time to load it. @internal */
  useProtector(protector: MediaProtector): void {
    this.#forwarding.useProtector(protector);
  }

  captureIdentity(): IdentitySnapshot {
    return {
      certificate: this.#certificate,
      tokenKey: this.#options.tokenKey,
      room: this.#room.capture(),
      sessions: [...this.#sessions.values()].flatMap((session) => this.#captureSession(session) ?? []),
    };
  }

  /** The wall clock was set, or stood still while the machine slept: deadlines in snapshots go by it. */
  adjustWall(wallOffset: number): void {
    this.#wallOffset = wallOffset;
  }

  /** Keeps the media snapshot ahead of what is used, and its deadline ahead of the time. */
  refreshMedia(now: Millis): void {
    this.#now = now;
    this.#media.write();
  }

  /** The SRTP contexts with proposed index limits: binding once {@link granted}. */
  captureMedia(): MediaSnapshot {
    return this.#media.capture();
  }

  /** This snapshot has been written: indices up to its limits may be used. */
  granted(snapshot: MediaSnapshot): void {
    this.#media.granted(snapshot);
  }

  /** Counts of everything dropped so far, by engine and reason. */
  get dropCounts(): Counters<string> {
    const all = new Counters<string>();
    all.absorb(this.#closedDrops);
    countUnder(all, 'server', this.drops);
    for (const [reason, count] of Object.entries(this.#room.stats.drops)) all.add(`room: ${reason}`, count);
    for (const { connection } of this.#routes.all()) all.absorb(connection.peer.dropCounts);
    return all;
  }

  /** @internal */
  get sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  /** @internal */
  get roomStats(): Room['stats'] {
    return this.#room.stats;
  }

  /** @internal */
  facts(now: Millis): BroadcastFacts {
    const room = this.#room.stats;
    const viewers = this.#room.viewerReports;
    const state = { sessions: this.#sessions, tally: this.#tally, room, viewers, onAir: this.#slot.onAir };
    const mediaOut = this.#forwarding.sent;
    const { limit } = this.places;
    return broadcastFacts({ ...state, found: this.#found, mediaOut, limit }, now);
  }

  /** Ends every session and wipes every key. */
  close(): void {
    for (const session of this.#sessions.values()) {
      for (const connection of session.connections) connection.peer.close();
    }
  }

  /** From the engine that leads, which has taken it from its {@link Relay}. @internal */
  handleRelayed(packet: Uint8Array, now: Millis): void {
    this.#now = now;
    this.relay.receive(packet, now);
    this.#forwarding.drain(now);
  }

  /** An engine that follows needs a keyframe. @internal */
  requestKeyframe(now: Millis): void {
    this.#now = now;
    this.#room.requestKeyframe(now);
    this.#forwarding.drain(now);
  }

  /** Lets a page in whose session is to be in another engine, and gives the id that it has there. `undefined`: the page was told why not. @internal */
  admitElsewhere(page: PageId, now: Millis): string | undefined {
    this.#now = now;
    const id = this.#newId();
    if (!this.#admit(page, id, now)) return undefined;
    this.places.holdElsewhere(id, this.#pages.ownerOf(page));
    return id;
  }

  /** So many watch in one of the other engines. @internal */
  watchElsewhere(engine: number, viewers: number, now: Millis): void {
    this.#now = now;
    this.relay.watch(engine, viewers);
    this.#tellRoom(now);
  }

  /** What there is to say of the room. @internal */
  roomAt(now: Millis): RoomMessage {
    return roomMessage(this.#look(now), now);
  }

  /** A page that the engine that leads has let in: it watches. @internal */
  enter(page: PageId, id: string, capabilities: Capabilities, now: Millis): void {
    this.#now = now;
    this.#enter(page, { id, role: 'viewer', capabilities, seenAt: now }, now);
  }

  /** Ends a session whose place was given away: who holds most of a full room makes place for who holds less of it. @internal */
  dismiss(id: string, now: Millis): void {
    this.#now = now;
    const page = this.#pages.pageOf(id);
    if (page !== undefined) this.#tell(page, PAGE_ERROR.roomFull);
    this.#end(id, now);
  }

  /** Whether who joins by this page now is asked to broadcast. @internal */
  opensToBroadcast(page: PageId): boolean {
    return this.#pages.admissionOf(page).right === 'publish' && this.#slot.isOpen;
  }

  /** Whether this page may broadcast now; where not, it is told why. @internal */
  allowsToPublish(page: PageId, now: Millis): boolean {
    const admission = this.#pages.admissionOf(page);
    if (admission.right !== 'publish' || this.#hasExpired(admission, now)) {
      this.#tell(page, admission.right === 'publish' ? PAGE_ERROR.mayBeginNothing : PAGE_ERROR.mayOnlyView);
      return false;
    }
    if (this.#slot.isFree) return true;
    this.#tell(page, PAGE_ERROR.broadcasterPresent);
    return false;
  }

  /** @internal */
  sessionOf(page: PageId): string | undefined {
    return this.#pages.sessionOf(page);
  }

  /** Sessions, those in other engines too. @internal */
  get sessionCount(): number {
    return this.#sessions.size + this.places.elsewhere + this.places.moving;
  }

  #restore(identity: IdentitySnapshot, media: MediaSnapshot | undefined, now: Millis): void {
    const { found, strays } = readSessions(identity, media, { now, wallOffset: this.#wallOffset });
    for (const { visitor, away, hashes, onAirSince, connection, contexts } of found) {
      const session = this.#createSession(visitor);
      // It may not have found a server to come back to: its moment begins anew.
      if (away) session.stayAway(now);
      // Nobody's until its page is back: those who were here are not one visitor.
      this.places.hold(session.id);
      this.#tokens.restore(session.id, hashes);
      if (session.role === 'broadcaster') this.#slot.take(session, now, { onAirSince });
      const stale = contexts && { contexts, floors: media?.room.streams ?? [] };
      if (connection !== undefined) this.#resume(session, session.resume(connection, stale, now), now);
      this.#drain(session, now);
    }
    // What was sent while nobody ran cannot be repaired under the stale keys: ask before the first packet shows the gap.
    if (media !== undefined && media.peers.length > 0) this.#room.requestKeyframe(now);
    for (const record of strays) disposeContexts(record);
    this.#forwarding.drain(now);
  }

  #resume(session: Session, connection: Connection, now: Millis): void {
    this.#routes.put({ session, connection });
    this.#media.follow(connection);
    if (session.role === 'viewer') this.#room.addConsumer(connection.id, now, { resumed: true });
    this.#greetings.add({ session, connection }, now);
  }

  #greet({ session, connection }: Route, now: Millis): void {
    if (this.#routes.get(connection.id)?.connection !== connection) return;
    connection.peer.sendRtcp(
      writeRtcp([
        { type: 'receiverReport', ssrc: 1, reports: [] },
        { type: 'sourceDescription', chunks: [{ ssrc: 1, cname: this.#room.cname }] },
      ]),
    );
    session.flush(connection, now);
    this.#drain(session, now);
  }

  #join(page: PageId, capabilities: Capabilities, now: Millis): void {
    // Whoever is let in is let in by the engine that leads.
    if (this.relay.follows) {
      this.#tell(page, PAGE_ERROR.notJoined);
      return;
    }
    const id = this.#newId();
    if (!this.#admit(page, id, now)) return;
    const role = this.opensToBroadcast(page) ? 'broadcaster' : 'viewer';
    this.#enter(page, { id, role, capabilities, seenAt: now }, now);
  }

  #newId(): string {
    return toHex(randomBytes(this.#options.rng, 8));
  }

  /** Takes a place for this session, or tells the page why there is none. */
  #admit(page: PageId, id: string, now: Millis): boolean {
    const isNew = !this.places.endMove(page);
    if (this.#refusesNew && isNew) {
      this.#tell(page, PAGE_ERROR.shuttingDown);
      return false;
    }
    if (this.#hasExpired(this.#pages.admissionOf(page), now)) {
      this.#tell(page, PAGE_ERROR.accessExpired);
      this.#disconnect(page, 'locked', 'the token has expired');
      return false;
    }
    const { left, evicted, refused } = this.places.take(id, this.#pages.ownerOf(page));
    if (left !== undefined) this.#end(left, now);
    if (evicted !== undefined) this.dismiss(evicted, now);
    if (refused !== undefined) this.#tell(page, refused);
    return refused === undefined;
  }

  #enter(page: PageId, visitor: Visitor, now: Millis): void {
    const session = this.#createSession(visitor);
    if (session.role === 'broadcaster') this.#takeSlot(session, now);
    this.#bind(page, session);
    this.#event({ event: 'session-opened', session: session.id, role: session.role });
    this.#welcome(session, false);
    session.attach(undefined, now);
    this.#settle(session, now);
  }

  /** The place of this session is another's, in whichever engine it is. */
  #end(id: string, now: Millis): void {
    if (this.places.releaseElsewhere(id)) this.relay.dismiss(id);
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    session.close();
    this.#settle(session, now);
  }

  #publish(page: PageId, session: Session, now: Millis): void {
    if (session.role === 'broadcaster' || !this.allowsToPublish(page, now)) return;
    this.#takeSlot(session, now);
    session.changeRole('broadcaster', now);
  }

  #stepDown(session: Session, now: Millis): void {
    this.#slot.release(session);
    session.changeRole('viewer', now);
  }

  #hasExpired({ until }: Admission, now: Millis): boolean {
    return until !== undefined && now + this.#wallOffset >= until;
  }

  #takeSlot(session: Session, now: Millis): void {
    this.#slot.take(session, now);
    for (const other of this.#sessions.values()) {
      if (other === session || other.role !== 'broadcaster') continue;
      other.changeRole('viewer', now);
      this.#drain(other, now);
    }
  }

  #createSession(of: Visitor): Session {
    const session = createSession(of, {
      options: this.#options,
      room: this.#room,
      shown: () => ({ certificate: this.#certificate.certificate, identity: this.#identity }),
      reserve: () => this.#media.write(),
      contextsChanged: (peer) => this.#media.changed(peer),
    });
    this.#sessions.set(session.id, session);
    return session;
  }

  /** A session has one page: the newest wins, and the other is told so. */
  #bind(page: PageId, session: Session): void {
    const before = this.#pages.bind(page, session.id);
    if (before === undefined) return;
    this.#tell(before, PAGE_ERROR.superseded);
    this.#disconnect(before, 'superseded', 'opened elsewhere');
  }

  #welcome(session: Session, resumed: boolean): void {
    const page = this.#pages.pageOf(session.id);
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
    this.#news.add(page);
  }

  #settle(session: Session, now: Millis): void {
    this.#drain(session, now);
    this.#forwarding.drain(now);
    this.#tellRoom(now);
  }

  #drain(session: Session, now: Millis): void {
    for (let output = session.pollOutput(); output !== undefined; output = session.pollOutput()) {
      this.#handleSessionOutput(session, output, now);
    }
    this.#deadlines.set(session, session.nextTimeout() ?? Number.POSITIVE_INFINITY);
    if (session.closed) this.#removeSession(session);
    this.#returning.follow(session, now);
  }

  #handleSessionOutput(session: Session, output: SessionOutput, now: Millis): void {
    switch (output.kind) {
      case 'transmit':
        this.#outputs.push(output);
        break;
      case 'message':
        this.#tellSession(session, output.message);
        break;
      case 'probing':
        this.#routes.addTransaction({ session, connection: output.connection }, output.transaction);
        break;
      case 'validated':
        this.#routes.addAddress({ session, connection: output.connection }, output.address);
        break;
      case 'rtp':
        this.#handleRtp(session, output.connection, output.packet, now);
        break;
      case 'rtcp':
        this.#forwarding.takeRtcp(output.connection, output.packet, now);
        break;
      case 'rekey-started':
        this.#forwarding.rekeyStarted(output.connection, output.served, now);
        break;
      case 'keyed':
        this.#handleKeyed(output.connection, now);
        break;
      case 'connected':
        this.#tally.measured(output.connection.id, output.roundTrip);
        break;
      case 'closed':
        this.#handleClosed(session, output.connection);
        break;
      case 'changed':
        for (const connection of session.connections) {
          this.#routes.put({ session, connection });
          this.#media.follow(connection);
        }
        this.#identityChanged = true;
        break;
      case 'unreachable':
        this.#dismiss(session);
        break;
      case 'event':
        this.#event(output.event);
        break;
    }
  }

  /** The page is there, and nothing else came of it. */
  #dismiss(session: Session): void {
    const page = this.#pages.pageOf(session.id);
    if (page === undefined) return;
    this.#tell(page, PAGE_ERROR.unreachable);
    this.#disconnect(page, 'unreachable', 'no media connection');
  }

  #handleRtp(session: Session, connection: Connection, packet: Uint8Array, now: Millis): void {
    if (connection.role === 'broadcaster') this.#slot.heard(session, now);
    if (this.#forwarding.takeRtp(connection, packet, now))
      session.handleMessage({ type: 'playing', connection: connection.number }, now);
  }

  #handleKeyed(connection: Connection, now: Millis): void {
    this.#forwarding.keyed(connection, now);
    // The keys before these are gone from memory; soon also from the file, together with what they were limited to. What is not yet in it has no limit.
    this.#media.follow(connection);
    this.#media.writeSoon(now);
  }

  #handleClosed(session: Session, connection: Connection): void {
    if (!session.connections.includes(connection)) this.#closedDrops.absorb(connection.peer.dropCounts);
    this.#routes.remove(connection.id);
    this.#media.forget(connection);
    this.#tally.forget(connection.id);
    this.#forwarding.closed(connection, session.connections);
  }

  #sendAllMedia(): void {
    while (this.#forwarding.waits) this.sendMedia(this.#transmit);
  }

  /** The datagram is a view, which the next batch writes over. */
  readonly #transmit = (datagram: Uint8Array, to: Address): void => {
    this.#outputs.push({ kind: 'transmit', to, datagram: datagram.slice() });
  };

  #noteForwarded(): void {
    if (this.#forwarded) return;
    this.#forwarded = true;
    if (this.#writtenBefore !== undefined)
      this.#found.gapMs = Math.max(0, this.#now + this.#wallOffset - this.#writtenBefore);
    this.#event({ event: 'first-media-forwarded' });
  }

  #removeSession(session: Session): void {
    this.#deadlines.delete(session);
    if (!this.#sessions.delete(session.id)) return;
    this.#returning.leave(session);
    this.places.release(session.id);
    this.#tokens.remove(session.id);
    this.#pages.unbindSession(session.id);
    this.#slot.release(session);
    this.#event({ event: 'session-closed', session: session.id, role: session.role });
  }

  #captureSession(session: Session): SessionRecord | undefined {
    const hashes = this.#tokens.capture(session.id);
    if (hashes === undefined) return undefined;
    const onAirSince = this.#slot.onAirSinceOf(session);
    return writeSession(session, { hashes, onAirSince }, { now: this.#now, wallOffset: this.#wallOffset });
  }

  /** Tells every page how many watch and whether somebody is on air, when that has changed, and who is new in any case. */
  #tellRoom(now: Millis): void {
    if (!this.#news.isDue(this.#pages.count + this.places.elsewhere, now)) return;
    const news = this.#news.look(this.#look(now), now);
    if (news === undefined) return;
    const { message, changed, untold } = news;
    if (!this.relay.follows)
      for (const page of changed ? this.#pages.pages() : untold) this.#tell(page, message);
    if (changed) this.relay.tell(message);
  }

  #look(now: Millis): RoomState {
    return { viewers: this.#countViewers(), onAirSince: this.#slot.onAirSince(now) };
  }

  #countViewers(): number {
    let { viewers } = this.relay;
    for (const session of this.#sessions.values()) {
      if (session.role === 'viewer' && (session.attached || session.current?.peer.keyEpoch !== undefined))
        viewers++;
    }
    return viewers;
  }

  #tellSession(session: Session, message: ServerMessage): void {
    const page = this.#pages.pageOf(session.id);
    if (page === undefined) return;
    const { relaysFor } = this.#options;
    if (message.type === 'offer' && relaysFor !== undefined)
      this.#tell(page, { type: 'relays', servers: relaysFor(session.id, this.#now + this.#wallOffset) });
    this.#tell(page, message);
  }

  #tell(page: PageId, message: ServerMessage): void {
    this.#outputs.push({ kind: 'message', page, message, afterWrite: false });
  }

  #disconnect(page: PageId, why: keyof typeof CLOSE_CODE, reason: string): void {
    this.#outputs.push({ kind: 'disconnect', page, code: CLOSE_CODE[why], reason });
  }

  #event(event: BroadcastEvent): void {
    this.#tally.note(event);
    this.#outputs.push({ kind: 'event', event });
  }
}

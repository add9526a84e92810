/**
 * One visitor.
 *
 *   new → connecting → live(epoch n) → [crash] → resumed(epoch n, stale) → rekeying → live(epoch n+1)
 *   live → rekeying → live (interval, order)                              * → closed
 *
 * `current` carries media; `next` is being brought up. The first connection is promoted when it has keys, a replacement when the page
 * says that it plays.
 */

import type {
  Capabilities,
  ClientMessage,
  OfferKind,
  PagePosition,
  Role,
  ServerMessage,
} from '../signaling/protocol.ts';
import type { ConnectionRecord, FormerConnection } from '../snapshot/schema.ts';
import type { Address } from '../transport/address.ts';
import type { IceCredentials } from '../transport/ice/ice-lite.ts';
import { earliest, type Millis } from '../util/clock.ts';
import { Attempts } from './attempts.ts';
import { type Connection, connectionId } from './connection.ts';
import { nextEpoch, planRekey, type RekeyReason } from './rekey.ts';
import type { SessionEvent, SessionOptions, SessionOutput, StaleContexts } from './session-io.ts';

/** An in-place re-key takes two round trips; past this the browser is taken to be unable. */
const IN_PLACE_DEADLINE: Millis = 3_000;
/** A browser whose flight has come has taken the offer; its Finished, one round trip away, may be sent again a few times (RFC 6347 §4.2.4.1). */
const FINISHED_DEADLINE: Millis = 2_000;
/** A new connection with ICE from scratch. */
const CONNECT_DEADLINE: Millis = 15_000;
/** The same for who begins to broadcast: the browser asks for the camera first. */
const CAMERA_DEADLINE: Millis = 60_000;
/** A replacement that has keys but is never reported as playing takes over after this. */
const PROMOTE_DEADLINE: Millis = 8_000;
/** A page that has gone may be back so much later and finds its place: a reload takes a second or two, more on a slow network. */
const AWAY_GRACE: Millis = 10_000;
/** A session that never had keys is kept for no longer without its page: who joins and goes, over and over, fills no room. */
const UNUSED_TTL: Millis = 60_000;
/** A page that is there but has come to no connection for this long gives its place up: offers that it never answers would hold the room. */
const UNREACHABLE_TTL: Millis = 300_000;
/** Without a proof that the browser is there for this long nothing more is sent (RFC 7675 §5.1). */
const CONSENT_TIMEOUT: Millis = 30_000;

export class Session {
  readonly #options: SessionOptions;
  role: Role;
  #current: Connection | undefined;
  #next: Connection | undefined;
  #lastNumber: number;
  /** Of the last connection that was in use and is not any more. */
  #formerEpoch: number;
  #capabilities: Capabilities;
  #attached = false;
  #position: PagePosition | undefined;
  #seenAt: Millis;
  /** When its page has said that it goes, until it is back. */
  #awaySince: Millis | undefined;
  #promoteAt: Millis | undefined;
  readonly #attempts = new Attempts();
  /** It has had keys, here or in an earlier process. */
  #used: boolean;
  #closed = false;
  /** What has to be done once the page is back, or connected. */
  #owed: RekeyReason | undefined;
  readonly #outputs: SessionOutput[] = [];

  /** @param seenAt when the page was last there: now, or before the process began. */
  constructor(options: SessionOptions, seenAt: Millis) {
    this.#options = options;
    this.role = options.role;
    this.#seenAt = seenAt;
    this.#capabilities = options.capabilities;
    const { former } = options;
    this.#lastNumber = former?.number ?? 0;
    this.#formerEpoch = former?.epoch ?? -1;
    this.#used = former !== undefined;
  }

  get id(): string {
    return this.#options.id;
  }

  get capabilities(): Capabilities {
    return this.#capabilities;
  }

  get attached(): boolean {
    return this.#attached;
  }

  /** Its page has gone and may be back in a moment. */
  get away(): boolean {
    return this.#awaySince !== undefined;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get connections(): readonly Connection[] {
    return [this.#current, this.#next].filter((connection) => connection !== undefined);
  }

  get current(): Connection | undefined {
    return this.#current;
  }

  /** When the page was last there, or the browser where media goes to. */
  get seenAt(): Millis {
    const heard = this.connections.map((connection) => connection.peer.heardAt ?? Number.NEGATIVE_INFINITY);
    return Math.max(this.#seenAt, ...heard);
  }

  /** Takes up the connection of an earlier process; its keys are stale from the start. */
  resume(record: ConnectionRecord, stale: StaleContexts | undefined, now: Millis): Connection {
    const peer = this.#options.createPeer(
      { ufrag: record.localUfrag, pwd: record.localPwd },
      {
        remoteUfrag: record.remoteUfrag === '' ? undefined : record.remoteUfrag,
        remoteFingerprint: record.remoteFingerprint,
        remoteAddress: record.remoteAddress,
      },
    );
    if (stale !== undefined) peer.resume(stale.contexts, stale.floors, now + this.#options.staleKeyTtl);
    const connection: Connection = {
      id: connectionId(this.id, record.number),
      number: record.number,
      role: this.role,
      peer,
      offers: record.offers,
      epoch: record.epoch,
      pending: undefined,
      keyedAt: undefined,
    };
    this.#current = connection;
    this.#lastNumber = record.number;
    this.#used = true;
    return connection;
  }

  /** What of this session survives; `undefined` before the first answer of a connection of its role. */
  captureConnection(): ConnectionRecord | undefined {
    // The record has no role of its own: a connection of another one would come back as what it is not.
    const connection = this.connections.find(({ role }) => role === this.role);
    const identity = connection?.peer.captureIdentity();
    if (connection === undefined || identity === undefined) return undefined;
    const { ufrag, pwd } = connection.peer.iceCredentials;
    return {
      number: connection.number,
      offers: connection.offers,
      epoch: connection.epoch,
      localUfrag: ufrag,
      localPwd: pwd,
      remoteUfrag: identity.remoteUfrag ?? '',
      remoteFingerprint: identity.remoteFingerprint,
      remoteAddress: identity.remoteAddress,
    };
  }

  /** What the next connection counts on from, where there is none that survives. */
  captureFormer(): FormerConnection | undefined {
    if (this.captureConnection() !== undefined || (this.#formerEpoch < 0 && !this.away)) return undefined;
    return { number: this.#lastNumber, epoch: Math.max(0, this.#formerEpoch), away: this.away };
  }

  /** The page has joined or come back. What it has missed, or what is stale, is offered anew in the same turn. */
  attach(position: PagePosition | undefined, now: Millis): void {
    // While it was away nothing was tried.
    if (!this.#attached) this.#attempts.discount(now - this.#seenAt);
    this.#attached = true;
    this.#seenAt = now;
    this.#position = position;
    if (position === undefined) {
      // The page was loaded again: the browser has closed what it had.
      this.#closeConnection('next');
      this.#closeConnection('current');
      this.#connect('first', now);
      return;
    }
    const current = this.#current;
    if (
      current?.keyedAt !== undefined &&
      current.role === this.role &&
      position.connection === current.number &&
      this.#owed === undefined
    ) {
      this.#tellKeyed(current);
      // The offer of what was being brought up beside it went with the page's last link.
      if (this.#next !== undefined) this.#connect('replacement', now, 'resume');
    } else this.rekey(current?.keyedAt === undefined ? 'resume' : (this.#owed ?? 'resume'), now);
  }

  /** The page's signaling is gone; media goes on. */
  detach(now: Millis): void {
    this.#attached = false;
    this.#seenAt = now;
  }

  /** The page is going, and its connections with it. Its place is kept for {@link AWAY_GRACE}; after that, all is as if it had left. */
  goAway(now: Millis): void {
    this.#closeConnection('next');
    this.#closeConnection('current');
    this.#owed = undefined;
    this.#attempts.begin();
    this.detach(now);
    this.stayAway(now);
    this.#outputs.push({ kind: 'changed' });
  }

  /** The moment begins (anew, where the server was away itself). */
  stayAway(now: Millis): void {
    this.#awaySince = now;
  }

  /** The page is here again, though its turn may come later. */
  comeBack(): void {
    this.#awaySince = undefined;
  }

  /**
   * Replaces the keys; does nothing while the page is away. Only nobody is to stay on an old certificate of the server: what cannot be done now,
   * or would disturb an attempt that is under way, is done later.
   */
  rekey(reason: RekeyReason, now: Millis): void {
    const busy = this.connections.some(({ pending }) => pending !== undefined);
    if (reason === 'certificate' && (!this.#attached || busy)) this.#owed = reason;
    if (!this.#attached || this.#closed || (reason === 'certificate' && busy)) return;
    const current = this.#current?.role === this.role ? this.#current : undefined;
    const way = planRekey(reason, this.capabilities, current, this.#position);
    if (way === 'in-place') this.#rekeyInPlace(reason, now);
    else this.#connect('replacement', now, reason);
  }

  /** Another role: needs another connection. Nothing more is taken from or sent over the one in use if it was the broadcaster's. */
  changeRole(role: Role, now: Millis): void {
    if (role === this.role) return;
    this.role = role;
    this.#closeConnection('next');
    if (this.#current?.role === 'broadcaster') this.#closeConnection('current');
    this.#outputs.push({ kind: 'message', message: { type: 'role', role } }, { kind: 'changed' });
    if (this.#attached) this.#connect('replacement', now);
  }

  handleMessage(message: ClientMessage, now: Millis): void {
    this.#seenAt = now;
    if (message.type === 'answer') this.#handleAnswer(message, now);
    else if (message.type === 'playing') this.#handlePlaying(message.connection);
    else if (message.type === 'stalled') this.#handleStalled(message.connection, now);
    else if (message.type === 'capabilities') this.#handleCapabilities(message.capabilities);
  }

  handleDatagram(connection: Connection, datagram: Uint8Array, from: Address, now: Millis): void {
    connection.peer.handleDatagram(datagram, from, now);
    this.#drainPeer(connection, now);
  }

  /** Hands on what one of its peers was made to send. */
  flush(connection: Connection, now: Millis): void {
    this.#drainPeer(connection, now);
  }

  handleTimeout(now: Millis): void {
    for (const connection of this.connections) {
      connection.peer.handleTimeout(now);
      this.#drainPeer(connection, now);
    }
    if (this.#promoteAt !== undefined && now >= this.#promoteAt) this.#promote();
    const late = this.connections.find(({ pending }) => pending !== undefined && now >= pending.deadline);
    if (late !== undefined) this.#giveUpAttempt(late, now);
    const current = this.#current;
    if (current?.keyedAt !== undefined && now >= this.#consentEnds(current)) this.#loseConsent(current, now);
    const { retryAt } = this.#attempts;
    if (retryAt !== undefined && now >= retryAt) {
      this.#attempts.begin();
      this.rekey('missed-deadline', now);
    }
    const rekeyAt = this.#rekeyAt();
    if (rekeyAt !== undefined && now >= rekeyAt) this.rekey('interval', now);
    const expiresAt = this.#expiresAt();
    if (expiresAt !== undefined && now >= expiresAt) this.close();
  }

  nextTimeout(): Millis | undefined {
    if (this.#closed) return undefined;
    const current = this.#current;
    return earliest(
      ...this.connections.flatMap(({ peer, pending }) => [peer.nextTimeout(), pending?.deadline]),
      this.#promoteAt,
      this.#attempts.retryAt,
      current?.keyedAt === undefined ? undefined : this.#consentEnds(current),
      this.#rekeyAt(),
      this.#expiresAt(),
    );
  }

  pollOutput(): SessionOutput | undefined {
    return this.#outputs.shift();
  }

  /** Ends the session and wipes its keys. */
  close(): void {
    if (this.#closed) return;
    this.#closeConnection('next');
    this.#closeConnection('current');
    this.#closed = true;
    this.#outputs.push({ kind: 'changed' });
  }

  #rekeyInPlace(reason: RekeyReason, now: Millis): void {
    const connection = this.#current!;
    this.#closeConnection('next');
    connection.epoch = nextEpoch(connection.epoch, this.#position?.epoch ?? connection.epoch);
    const { keyEpoch, lacksStreams } = connection.peer;
    const hasKeys =
      keyEpoch !== undefined && this.#position?.settled === true && this.#position.epoch === keyEpoch;
    const served = hasKeys && !lacksStreams;
    this.#outputs.push({ kind: 'rekey-started', connection, served });
    this.#offer(connection, 'rekey', reason, this.#options.createCredentials(), now);
  }

  /** Brings up a connection of its own, beside the current one if there is one. */
  #connect(kind: OfferKind, now: Millis, reason?: RekeyReason): void {
    this.#closeConnection('next');
    this.#lastNumber = Math.max(this.#lastNumber, this.#position?.connection ?? 0) + 1;
    const ice = this.#options.createCredentials();
    const connection: Connection = {
      id: connectionId(this.id, this.#lastNumber),
      number: this.#lastNumber,
      role: this.role,
      peer: this.#options.createPeer(ice),
      offers: 0,
      // A session's epochs count on over its connections, so that a higher one always means newer keys.
      epoch: (this.#current?.epoch ?? this.#formerEpoch) + 1,
      pending: undefined,
      keyedAt: undefined,
    };
    this.#next = connection;
    this.#offer(connection, kind, reason, ice, now);
  }

  #offer(
    connection: Connection,
    kind: OfferKind,
    reason: RekeyReason | undefined,
    ice: IceCredentials,
    now: Millis,
  ): void {
    this.#attempts.begin();
    this.#owed = undefined;
    connection.offers++;
    connection.keyedAt = undefined;
    connection.pending = {
      sentAt: now,
      deadline: now + this.#patience(connection, kind),
    };
    // A page whose last handshake is not complete would take an early ClientHello for that one.
    connection.peer.offer(connection.epoch, ice, kind === 'rekey' && this.#position?.settled === true, now);
    this.#outputs.push({
      kind: 'message',
      message: {
        type: 'offer',
        connection: connection.number,
        offer: connection.offers,
        epoch: connection.epoch,
        kind,
        role: connection.role,
        sdp: this.#options.createOffer(connection),
      },
    });
    if (reason !== undefined) {
      this.#event({
        event: 'rekey-started',
        connection: connection.id,
        epoch: connection.epoch,
        reason,
        way: kind,
      });
    }
    this.#outputs.push({ kind: 'changed' });
    this.#drainPeer(connection, now);
  }

  #patience({ role }: Connection, kind: OfferKind): Millis {
    if (kind === 'rekey') return IN_PLACE_DEADLINE;
    return role === 'broadcaster' && this.#current?.role !== role ? CAMERA_DEADLINE : CONNECT_DEADLINE;
  }

  #handleAnswer(message: Extract<ClientMessage, { type: 'answer' }>, now: Millis): void {
    const connection = this.#connectionNumbered(message.connection);
    // An answer to an offer that a newer one has overtaken says nothing about the newer one.
    if (connection === undefined || connection.offers !== message.offer) return;
    const answer = this.#options.parseAnswer(message.sdp);
    if (answer === undefined) {
      const error: ServerMessage = {
        type: 'error',
        code: 'SDP_INVALID',
        message: 'This answer is not one that the server can use.',
      };
      this.#outputs.push({ kind: 'message', message: error });
      return;
    }
    if (connection === this.#current) this.#moveTo(connection);
    connection.peer.acceptAnswer(answer, now);
    this.#outputs.push({ kind: 'changed' });
    this.#drainPeer(connection, now);
  }

  #handlePlaying(number: number): void {
    if (this.#next?.number === number && this.#next.keyedAt !== undefined) this.#promote();
  }

  #handleCapabilities(capabilities: Capabilities): void {
    if (capabilities.rekeyInPlace === this.#capabilities.rekeyInPlace) return;
    this.#capabilities = capabilities;
    this.#outputs.push({ kind: 'changed' });
  }

  #handleStalled(number: number, now: Millis): void {
    // One attempt at a time: the page says it again if that does not help.
    if (this.#connectionNumbered(number) !== undefined && this.#next === undefined)
      this.rekey('stalled', now);
  }

  #drainPeer(connection: Connection, now: Millis): void {
    const { peer } = connection;
    for (let output = peer.pollOutput(); output !== undefined; output = peer.pollOutput()) {
      switch (output.kind) {
        case 'transmit':
          this.#outputs.push(output);
          break;
        case 'selected':
          this.#outputs.push({ kind: 'changed' });
          break;
        case 'probing':
        case 'validated':
        case 'rtp':
        case 'rtcp':
          this.#outputs.push({ ...output, connection });
          break;
        case 'stale-keys-destroyed':
          this.#event({
            event: 'stale-keys-destroyed',
            connection: connection.id,
            by: output.by,
            sinceOfferMs: connection.pending && now - connection.pending.sentAt,
          });
          break;
        case 'keyed':
          this.#handleKeyed(connection, output.epoch, now);
          break;
        case 'connected':
          this.#handleConnected(connection, now);
          break;
        case 'failed':
          this.#event({ event: 'handshake-failed', connection: connection.id, reason: output.reason });
          if (connection.pending !== undefined || connection.keyedAt !== undefined)
            this.#giveUpAttempt(connection, now);
          break;
      }
    }
  }

  #handleKeyed(connection: Connection, epoch: number, now: Millis): void {
    const { pending } = connection;
    const sinceOfferMs = pending && now - pending.sentAt;
    connection.keyedAt = now;
    if (pending !== undefined)
      connection.pending = { ...pending, deadline: Math.max(pending.deadline, now + FINISHED_DEADLINE) };
    this.#used = true;
    this.#event({ event: 'keyed', connection: connection.id, epoch, sinceOfferMs });
    this.#outputs.push({ kind: 'keyed', connection }, { kind: 'changed' });
    this.#tellKeyed(connection);
    if (connection !== this.#next) return;
    if (this.#current === undefined) this.#promote();
    else this.#promoteAt = now + PROMOTE_DEADLINE;
  }

  /** Only now is the attempt over: the keys may be of an association that the browser has given up since. */
  #handleConnected(connection: Connection, now: Millis): void {
    connection.pending = undefined;
    this.#attempts.succeed();
    if (connection === this.#current) this.#moveTo(connection);
    const roundTrip = now - (connection.keyedAt ?? now);
    this.#outputs.push({ kind: 'connected', connection, roundTrip }, { kind: 'changed' });
    if (this.#owed !== undefined) this.rekey(this.#owed, now);
  }

  #tellKeyed({ number, epoch }: Connection): void {
    this.#outputs.push({ kind: 'message', message: { type: 'keyed', connection: number, epoch } });
  }

  #promote(): void {
    this.#promoteAt = undefined;
    const next = this.#next;
    if (next === undefined) return;
    this.#next = undefined;
    this.#closeConnection('current');
    this.#current = next;
    this.#moveTo(next);
    this.#outputs.push({ kind: 'changed' });
  }

  /** The page uses this connection and has applied its last offer. */
  #moveTo({ number, epoch, pending }: Connection): void {
    this.#position = { connection: number, epoch, settled: pending === undefined };
  }

  /** No browser is left silent: what did not work in place, or at the first try, is tried with a connection of its own. */
  #giveUpAttempt(connection: Connection, now: Millis): void {
    const since = connection.pending?.sentAt ?? now;
    connection.pending = undefined;
    // Keys of a handshake that has failed in the end are gone.
    connection.keyedAt = undefined;
    if (connection === this.#next) this.#closeConnection('next');
    this.#attempts.fail(since, this.#current?.keyedAt !== undefined, now);
    // Who has had media is kept for as long as somebody who is away.
    const patience = Math.max(UNREACHABLE_TTL, this.#used ? this.#options.sessionTtl : 0);
    if (!this.#attached || this.#attempts.failingFor(now) < patience) return;
    this.#outputs.push({ kind: 'unreachable' });
    this.close();
  }

  #loseConsent(connection: Connection, now: Millis): void {
    connection.keyedAt = undefined;
    connection.peer.close();
    this.#event({ event: 'consent-lost', connection: connection.id });
    this.#outputs.push({ kind: 'closed', connection }, { kind: 'changed' });
    // The page is there and only its path is gone: an ICE restart finds another.
    this.rekey('resume', now);
  }

  #closeConnection(which: 'current' | 'next'): void {
    const connection = which === 'current' ? this.#current : this.#next;
    if (connection === undefined) return;
    if (which === 'current') {
      this.#current = undefined;
      this.#formerEpoch = Math.max(this.#formerEpoch, connection.epoch);
    } else {
      this.#next = undefined;
      this.#promoteAt = undefined;
    }
    const hadKeys = connection.peer.keyEpoch !== undefined;
    connection.peer.close();
    this.#outputs.push(
      { kind: 'message', message: { type: 'close', connection: connection.number } },
      { kind: 'closed', connection },
    );
    if (!hadKeys) return;
    const { id } = connection;
    this.#event({ event: 'stale-keys-destroyed', connection: id, by: 'closed', sinceOfferMs: undefined });
  }

  #connectionNumbered(number: number): Connection | undefined {
    return this.connections.find((connection) => connection.number === number);
  }

  #consentEnds(connection: Connection): Millis {
    return Math.max(connection.peer.heardAt ?? 0, connection.keyedAt ?? 0) + CONSENT_TIMEOUT;
  }

  #rekeyAt(): Millis | undefined {
    const { rekeyInterval } = this.#options;
    const keyedAt = this.#current?.keyedAt;
    if (rekeyInterval === undefined || keyedAt === undefined || this.#next !== undefined || !this.#attached)
      return undefined;
    // An attempt that has failed waits for its retry, however old the keys are.
    return this.#attempts.retryAt === undefined ? keyedAt + rekeyInterval : undefined;
  }

  #expiresAt(): Millis | undefined {
    const { sessionTtl } = this.#options;
    if (this.#attached) return undefined;
    const unseen = this.seenAt + (this.#used ? sessionTtl : Math.min(sessionTtl, UNUSED_TTL));
    return earliest(unseen, this.#awaySince === undefined ? undefined : this.#awaySince + AWAY_GRACE);
  }

  #event(event: SessionEvent): void {
    this.#outputs.push({ kind: 'event', event });
  }
}

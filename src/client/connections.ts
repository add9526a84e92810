import type { ClientMessage, PagePosition, Role, ServerMessage } from '../signaling/protocol.ts';
import { earliest, type Millis } from '../util/clock.ts';

/**
 * The page's RTCPeerConnections: which one is shown, which one is being brought up beside it, which one may go.
 *
 *   first        ─▶ in use at once, where nothing else is
 *   rekey        ─▶ the same peer connection, answered again
 *   replacement  ─▶ pending ─▶ plays ─▶ in use; the one before is retired and closed
 *
 * A *peer* is the page's own number of an RTCPeerConnection. Connection numbers are the server's and begin again when the page has to
 * join anew, while the peers of the lost session still show their picture.
 */
export type ConnectionsOutput =
  | ApplyOffer
  | { readonly kind: 'show'; readonly peer: number | undefined }
  | { readonly kind: 'closePeer'; readonly peer: number }
  | { readonly kind: 'send'; readonly message: ClientMessage }
  | { readonly kind: 'inPlaceFailed' };

/** Answer this offer on `peer`, which is made for it where `create` is set. */
export interface ApplyOffer {
  readonly kind: 'apply';
  readonly peer: number;
  readonly create: boolean;
  readonly offer: number;
  readonly epoch: number;
  readonly role: Role;
  readonly sdp: string;
}

export type OfferMessage = Extract<ServerMessage, { type: 'offer' }>;
export type PeerState = 'new' | 'connecting' | 'connected' | 'disconnected' | 'failed' | 'closed';

/** A picture that stands still for so long is reported. */
export const STALL_LIMIT_MS = 3_000;
/** Reports of a standing picture are at least so far apart. */
export const STALL_INTERVAL_MS = 5_000;
/** A replacement is given so long before the connection in use is reported again. */
export const PENDING_PATIENCE_MS = 8_000;
/** A connected replacement without a picture is taken anyway (sound only), later if the one in use still moves. */
export const PICTURE_DEADLINE_MS = 1_500;
export const PICTURE_DEADLINE_WHILE_PLAYING_MS = 5_000;
/** The server closes a replaced connection; the page does not wait longer than this. */
export const RETIRE_AFTER_MS = 3_000;
/** What was on its way under the old keys still shows up this long after a re-key offer. */
const STALE_MEDIA_MS = 1_000;
/** A replacement that has shown so many frames runs evenly. */
const STEADY_FRAMES = 6;
/** A picture whose last frame is younger than this moves. */
const MOVING_MS = 1_000;

interface Connection {
  readonly peer: number;
  readonly connection: number;
  /** Counts the sessions of this page. */
  readonly session: number;
  readonly role: Role;
  offeredAt: Millis;
  state: PeerState;
  stateAt: Millis;
  /** An in-place re-key that the server has not confirmed. */
  rekeying: boolean;
  rekeyedAt: Millis | undefined;
  /** Epoch of the last offer that the browser was given, and of the last that it has answered. */
  givenEpoch: number;
  answeredEpoch: number | undefined;
  /** The DTLS association of the answered epoch is complete. */
  settled: boolean;
  keyed: boolean;
  progressAt: Millis | undefined;
  /** Nothing had moved when it was looked for last. */
  still: boolean;
  frameAt: Millis | undefined;
  /** Frames shown so far. */
  frames: number;
  plays: boolean;
  announced: boolean;
  takeBy: Millis | undefined;
  closeBy: Millis | undefined;
}

export class Connections {
  readonly #outputs: ConnectionsOutput[] = [];
  #inUse: Connection | undefined;
  #pending: Connection | undefined;
  #retired: Connection[] = [];
  #made = 0;
  #session = 0;
  #upAt: Millis | undefined;
  #onAirAt: Millis | undefined;
  #stalledAt: Millis | undefined;
  #hidden = false;

  /** RTCPeerConnections ever made by this page. */
  get made(): number {
    return this.#made;
  }

  get inUse(): Readonly<Connection> | undefined {
    return this.#inUse;
  }

  /** The media shows that the server is there: connected, and not standing still since that was reported. */
  get alive(): boolean {
    const shown = this.#inUse;
    if (shown?.state !== 'connected') return false;
    return this.#stalledAt === undefined || (shown.progressAt ?? shown.stateAt) > this.#stalledAt;
  }

  get position(): PagePosition | undefined {
    const shown = this.#inUse;
    if (shown?.answeredEpoch === undefined || !this.#isCurrent(shown)) return undefined;
    return { connection: shown.connection, epoch: shown.givenEpoch, settled: shown.settled };
  }

  /** The page joins anew: what it has belongs to a session that the server does not know. */
  beginSession(): void {
    this.#session++;
  }

  /** The server has taken the page in. */
  handleUp(now: Millis): void {
    this.#upAt = now;
    const shown = this.#inUse;
    if (shown?.plays && this.#isCurrent(shown)) this.#announce(shown);
  }

  handleDown(): void {
    this.#upAt = undefined;
  }

  handleOnAir(onAir: boolean, now: Millis): void {
    if (!onAir) this.#onAirAt = undefined;
    else this.#onAirAt ??= now;
  }

  /** A hidden page presents no frames: there, decoded media has to do. */
  handleVisibility(hidden: boolean): void {
    this.#hidden = hidden;
  }

  /** An offer may come before the welcome, and says as well that the server knows the page. */
  handleOffer(message: OfferMessage, now: Millis): void {
    this.#upAt ??= now;
    const known = this.#find(message.connection);
    if (message.kind !== 'rekey') this.#offerNew(message, now);
    else if (known !== undefined) this.#offerAgain(known, message, now);
    else this.#stalled(message.connection, now);
  }

  /** The offer of `epoch` was applied: returns the server's number of the connection, where it belongs to the present session. */
  handleAnswered(peer: number, epoch: number): number | undefined {
    const entry = this.#byPeer(peer);
    if (entry === undefined) return undefined;
    entry.answeredEpoch = epoch;
    return this.#isCurrent(entry) ? entry.connection : undefined;
  }

  /** The server has the keys of the last offer. Returns the peer, or `undefined` where the page has no such connection. */
  handleKeyed(connection: number): number | undefined {
    const entry = this.#find(connection);
    if (entry === undefined) return undefined;
    entry.rekeying = false;
    entry.keyed = true;
    if (entry.plays) this.#announce(entry);
    return entry.peer;
  }

  /** The state of the DTLS transport has changed. What it says before the last offer is answered is of the association before. */
  handleTransport(peer: number, connected: boolean): void {
    const entry = this.#byPeer(peer);
    if (entry !== undefined) entry.settled = connected && entry.answeredEpoch === entry.givenEpoch;
  }

  /** The offer could not be applied. */
  handleAnswerFailed(peer: number, now: Millis): void {
    const entry = this.#byPeer(peer);
    if (entry === undefined) return;
    entry.givenEpoch = entry.answeredEpoch ?? entry.givenEpoch;
    if (!this.#isCurrent(entry)) return;
    if (entry.rekeying) this.#outputs.push({ kind: 'inPlaceFailed' });
    if (this.#upAt !== undefined) this.#stalled(entry.connection, now);
  }

  handlePeerState(peer: number, state: PeerState, now: Millis): void {
    const entry = this.#byPeer(peer);
    if (entry === undefined || entry.state === state) return;
    entry.state = state;
    entry.stateAt = now;
    if (state !== 'connected') return;
    if (entry.role === 'broadcaster') this.#played(entry, now);
    else if (entry === this.#pending) this.#awaitPicture(entry, now);
  }

  /** A frame of this peer was put on the screen. */
  handleFrame(peer: number, now: Millis): void {
    const entry = this.#byPeer(peer);
    if (entry === undefined || entry.role === 'broadcaster') return;
    entry.frameAt = now;
    entry.progressAt = now;
    entry.still = false;
    entry.frames++;
    // While the picture in use moves there is no hurry: a new connection shows its first frames unevenly.
    if (entry === this.#pending && this.#isMoving(now) && entry.frames < STEADY_FRAMES) return;
    this.#played(entry, now);
  }

  /** Media of this peer was looked for, and was decoded since the last look or not. */
  handleProgress(peer: number, moved: boolean, now: Millis): void {
    const entry = this.#byPeer(peer);
    if (entry === undefined || entry.role === 'broadcaster') return;
    entry.still = !moved;
    if (!moved) return;
    entry.progressAt = now;
    if (entry !== this.#pending || this.#hidden) this.#played(entry, now);
  }

  handleClose(connection: number, now: Millis): void {
    const entry = this.#find(connection);
    if (entry === undefined) return;
    if (entry === this.#inUse) {
      this.#inUse = undefined;
      if (this.#pending !== undefined) this.#take(this.#pending, now);
      else this.#outputs.push({ kind: 'show', peer: undefined });
    }
    this.#drop(entry);
  }

  closeAll(): void {
    for (const entry of this.#all()) this.#drop(entry);
    this.#inUse = undefined;
    this.#outputs.push({ kind: 'show', peer: undefined });
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#pending?.takeBy, ...this.#retired.map((entry) => entry.closeBy), this.#stallDue());
  }

  handleTimeout(now: Millis): void {
    const pending = this.#pending;
    if (pending?.takeBy !== undefined && now >= pending.takeBy) this.#played(pending, now);
    for (const entry of [...this.#retired]) {
      if (entry.closeBy !== undefined && now >= entry.closeBy) this.#drop(entry);
    }
    const due = this.#stallDue();
    if (due !== undefined && now >= due) this.#reportStall(now);
  }

  pollOutput(): ConnectionsOutput | undefined {
    return this.#outputs.shift();
  }

  #offerAgain(entry: Connection, message: OfferMessage, now: Millis): void {
    entry.offeredAt = now;
    entry.rekeying = true;
    entry.rekeyedAt = now;
    entry.givenEpoch = message.epoch;
    entry.settled = false;
    // A replacement that was under way is not on the server any more, which may have had no chance to say so.
    if (entry === this.#inUse && this.#pending !== undefined) this.#drop(this.#pending);
    this.#outputs.push(applyOffer(entry, false, message));
  }

  #offerNew(message: OfferMessage, now: Millis): void {
    if (message.kind === 'replacement' && this.#inUse?.rekeying && this.#isCurrent(this.#inUse)) {
      this.#inUse.rekeying = false;
      this.#outputs.push({ kind: 'inPlaceFailed' });
    }
    if (this.#pending !== undefined) this.#drop(this.#pending);
    const entry = newConnection(++this.#made, this.#session, message, now);
    if (this.#inUse === undefined) this.#inUse = entry;
    else this.#pending = entry;
    this.#outputs.push(applyOffer(entry, true, message));
    if (entry === this.#inUse) this.#outputs.push({ kind: 'show', peer: entry.peer });
  }

  #awaitPicture(entry: Connection, now: Millis): void {
    const patience = this.#isMoving(now) ? PICTURE_DEADLINE_WHILE_PLAYING_MS : PICTURE_DEADLINE_MS;
    if (this.#onAirAt === undefined) this.#played(entry, now);
    else entry.takeBy = now + patience;
  }

  /** Whether the picture in use moves. */
  #isMoving(now: Millis): boolean {
    const lastFrame = this.#inUse?.frameAt;
    return lastFrame !== undefined && now - lastFrame < MOVING_MS;
  }

  #played(entry: Connection, now: Millis): void {
    if (entry === this.#pending) this.#take(entry, now);
    else if (entry !== this.#inUse) return;
    entry.plays = true;
    this.#announce(entry);
  }

  #take(entry: Connection, now: Millis): void {
    const before = this.#inUse;
    this.#inUse = entry;
    this.#pending = undefined;
    this.#outputs.push({ kind: 'show', peer: entry.peer });
    if (before === undefined) return;
    before.closeBy = now + RETIRE_AFTER_MS;
    this.#retired.push(before);
    if (!this.#isCurrent(before)) this.#drop(before);
  }

  #announce(entry: Connection): void {
    // The server takes the word of a page for keys that it has itself only.
    if (entry.announced || !entry.keyed || this.#upAt === undefined || !this.#isCurrent(entry)) return;
    entry.announced = true;
    this.#send({ type: 'playing', connection: entry.connection });
  }

  /** When the connection in use has to be reported, if nothing moves until then. */
  #stallDue(): Millis | undefined {
    const entry = this.#inUse;
    if (entry === undefined || this.#upAt === undefined || !this.#isCurrent(entry)) return undefined;
    // Right after a resume or an offer the re-key is about to repair it: a report would cost a second connection.
    const grace = Math.max(this.#upAt, entry.offeredAt) + STALL_LIMIT_MS;
    const interval = (this.#stalledAt ?? Number.NEGATIVE_INFINITY) + STALL_INTERVAL_MS;
    const patience = (this.#pending?.offeredAt ?? Number.NEGATIVE_INFINITY) + PENDING_PATIENCE_MS;
    const silent = Math.max(grace, interval, patience);
    if (entry.state === 'failed') return Math.max(silent, entry.stateAt);
    if (entry.role !== 'viewer' || entry.state !== 'connected' || this.#onAirAt === undefined)
      return undefined;
    // Time alone says nothing: a hidden page looks once a minute, and a machine that has slept not for hours.
    if (!entry.still) return undefined;
    const moved = Math.max(entry.stateAt, entry.progressAt ?? entry.stateAt, this.#onAirAt);
    return Math.max(silent, moved + STALL_LIMIT_MS);
  }

  #reportStall(now: Millis): void {
    const entry = this.#inUse!;
    const { rekeyedAt, progressAt } = entry;
    if (rekeyedAt !== undefined && (progressAt === undefined || progressAt < rekeyedAt + STALE_MEDIA_MS)) {
      this.#outputs.push({ kind: 'inPlaceFailed' });
    }
    this.#stalled(entry.connection, now);
  }

  #stalled(connection: number, now: Millis): void {
    if (this.#stalledAt !== undefined && now < this.#stalledAt + STALL_INTERVAL_MS) return;
    this.#stalledAt = now;
    this.#send({ type: 'stalled', connection });
  }

  #send(message: ClientMessage): void {
    this.#outputs.push({ kind: 'send', message });
  }

  #drop(entry: Connection): void {
    if (entry === this.#pending) this.#pending = undefined;
    this.#retired = this.#retired.filter((other) => other !== entry);
    this.#outputs.push({ kind: 'closePeer', peer: entry.peer });
  }

  #isCurrent(entry: Connection): boolean {
    return entry.session === this.#session;
  }

  #find(connection: number): Connection | undefined {
    return this.#all().find((entry) => entry.connection === connection && this.#isCurrent(entry));
  }

  #byPeer(peer: number): Connection | undefined {
    return this.#all().find((entry) => entry.peer === peer);
  }

  #all(): Connection[] {
    return [this.#pending, this.#inUse, ...this.#retired].filter((entry) => entry !== undefined);
  }
}

function newConnection(peer: number, session: number, message: OfferMessage, now: Millis): Connection {
  return {
    peer,
    connection: message.connection,
    session,
    role: message.role,
    offeredAt: now,
    state: 'new',
    stateAt: now,
    rekeying: false,
    rekeyedAt: undefined,
    givenEpoch: message.epoch,
    answeredEpoch: undefined,
    settled: false,
    keyed: false,
    progressAt: undefined,
    still: false,
    frameAt: undefined,
    frames: 0,
    plays: false,
    announced: false,
    takeBy: undefined,
    closeBy: undefined,
  };
}

function applyOffer({ peer, role }: Connection, create: boolean, message: OfferMessage): ApplyOffer {
  const { offer, epoch, sdp } = message;
  return { kind: 'apply', peer, create, offer, epoch, role, sdp };
}

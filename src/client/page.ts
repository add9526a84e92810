import {
  type Capabilities,
  CLOSE_CODE,
  type PageMessage,
  type Role,
  type ServerMessage,
} from '../signaling/protocol.ts';
import { earliest, type Millis } from '../util/clock.ts';
import { Ability } from './capabilities.ts';
import { Casting, type CastingOutput } from './casting.ts';
import { Connections, type ConnectionsOutput, type OfferMessage, type PeerState } from './connections.ts';
import { Continuity, type ContinuityReading } from './continuity.ts';
import type { DemoOffer, Facts, PageState } from './facts.ts';
import type { PageInput, PageOutput } from './io.ts';
import { Link, type LinkOutput } from './link.ts';
import { Problems } from './problems.ts';

export interface PageOptions {
  /** The browser starts a new DTLS association when the fingerprint changes. */
  readonly rekeyInPlace: boolean;
  /** `viewer`: leaves the broadcast to others until somebody presses the button. */
  readonly role?: 'any' | 'viewer';
  /** The resume token of the document that was here before. */
  readonly token?: string | undefined;
  readonly jitter: () => number;
}

/** The server answers a join and a resume in one turn; silence means a host that is gone. */
const REPLY_TIMEOUT_MS = 5_000;
/** Two reports of when the broadcast began that are nearer to each other speak of the same one. */
const SAME_BROADCAST_MS = 2_500;

/**
 * The page as a state machine: `handle` one input, then drain `pollOutput` until `undefined`; call `handleTimeout` when `nextTimeout`
 * has passed. It owns no socket, peer connection, camera or timer.
 *
 *   1. start ─▶ openSocket ─▶ opened: join, or a resume token in the handshake
 *   2. offer ─▶ a broadcaster's camera is opened ─▶ apply (with its tracks) ─▶ answered ─▶ answer
 *   3. welcome (sooner or later than the offer) ─▶ confirm
 *   4. keyed and frames ─▶ playing
 *   5. closed ─▶ probe … ─▶ openSocket with the token ─▶ offer, welcome: the media has gone on meanwhile
 */
export class Page {
  readonly #outputs: PageOutput[] = [];
  readonly #link: Link;
  readonly #casting: Casting;
  readonly #connections = new Connections();
  readonly #continuity = new Continuity();
  /** Offers of the present link without an answer: after a reconnect the server makes new ones. */
  readonly #openOffers = new Set<string>();
  readonly #ability: Ability;
  readonly #problems = new Problems();
  #presence: 'new' | 'welcome' | 'lost' | 'locked' | 'stopped' = 'new';
  #outageFrom: Millis | undefined;
  #viewers = 0;
  #onAir = false;
  #onAirSince: Millis | undefined;
  #epoch: number | undefined;
  #restarts = 0;
  #frames = 0;
  #instance = '';
  #demo: DemoOffer | undefined;

  constructor(options: PageOptions) {
    this.#ability = new Ability(options);
    this.#casting = new Casting(options.role);
    this.#link = new Link({
      jitter: options.jitter,
      mediaAlive: () => this.#connections.alive,
      position: () => this.#connections.position,
    });
    this.#link.setToken(options.token);
  }

  handle(input: PageInput, now: Millis): void {
    this.#dispatch(input, now);
    this.#settle(now);
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#link.nextTimeout(), this.#connections.nextTimeout());
  }

  handleTimeout(now: Millis): void {
    this.#link.handleTimeout(now);
    this.#connections.handleTimeout(now);
    this.#settle(now);
  }

  pollOutput(): PageOutput | undefined {
    return this.#outputs.shift();
  }

  /** For the panel: to be read, never written. */
  get continuity(): ContinuityReading {
    return this.#continuity;
  }

  facts(): Facts {
    const { role, camera, publishing } = this.#casting;
    const welcome = this.#presence === 'welcome';
    const { certificates } = this.#continuity.seal;
    return {
      role,
      state: this.#state(),
      epoch: this.#epoch,
      viewers: this.#viewers,
      onAir: this.#onAir,
      onAirSince: this.#onAirSince,
      restarts: this.#restarts,
      connections: this.#connections.made,
      certificate: certificates.verdict,
      certificateSource: certificates.source,
      certificateSha256: certificates.sha256,
      seal: this.#continuity.sealState,
      lastGapMs: this.#continuity.lastGapMs,
      frames: this.#frames,
      instance: this.#instance,
      problem: this.#problems.current,
      picture: role === 'broadcaster' ? camera === 'open' : this.#onAir,
      canBroadcast: welcome && role === 'viewer' && !publishing && !this.#onAir,
      canStop: role === 'broadcaster' && camera === 'open',
      asksForToken: this.#problems.asksForToken,
      demo: this.#demo,
    };
  }

  #dispatch(input: PageInput, now: Millis): void {
    switch (input.kind) {
      case 'start':
        this.#link.start(now);
        break;
      case 'probed':
        this.#link.handleProbe(input.attempt, input.ready, now);
        break;
      case 'opened':
        this.#link.handleOpen(input.attempt, now);
        break;
      case 'received':
        if (this.#link.handleMessage(input.attempt, now)) this.#receive(input.message, now);
        break;
      case 'closed':
        this.#link.handleClose(input.attempt, input.code, now);
        break;
      case 'wake':
        this.#link.wake(now);
        break;
      case 'visibility':
        this.#continuity.handleVisibility(input.hidden, now);
        this.#connections.handleVisibility(input.hidden);
        break;
      case 'leaving':
        this.#send({ type: 'leave' });
        this.#link.leave();
        break;
      case 'away':
        this.#goAway();
        break;
      case 'answered':
        this.#answer(input);
        break;
      case 'answerFailed':
        this.#connections.handleAnswerFailed(input.peer, now);
        break;
      case 'transport':
        this.#connections.handleTransport(input.peer, input.connected);
        this.#continuity.handleTransport(input.peer, input.connected, now);
        break;
      case 'peerState':
        this.#peerState(input.peer, input.state, now);
        break;
      case 'frame':
        this.#frame(input.peer, input.at, now);
        break;
      case 'progress':
        this.#connections.handleProgress(input.peer, input.moved, now);
        break;
      case 'certificate':
        this.#continuity.handleCertificate(input.peer, input.associations, input.digest);
        break;
      case 'path':
        if (input.peer === this.#connections.inUse?.peer) this.#continuity.handlePath(input.path);
        break;
      case 'cameraReady':
        this.#casting.handleCameraReady();
        break;
      case 'cameraGone':
        if (this.#casting.handleCameraGone(input.problem)) this.#problems.note(input.problem);
        break;
      case 'token':
        this.#enter(input.token, now);
        break;
      case 'demonstrate':
        this.#send({ type: 'demo', action: input.action });
        break;
      case 'tried':
        this.#tellOf(this.#ability.handleTried(input.rekeyInPlace));
        break;
      case 'press':
        this.#problems.clear();
        if (input.button === 'broadcast') this.#casting.broadcast();
        else this.#casting.stop();
    }
  }

  #receive(message: ServerMessage, now: Millis): void {
    switch (message.type) {
      case 'welcome':
        this.#welcome(message, now);
        break;
      case 'role':
        this.#roleMayChange(message.role, now);
        this.#casting.handleRole(message.role);
        break;
      case 'offer':
        this.#roleMayChange(message.role, now);
        this.#casting.handleOffer(message);
        break;
      case 'relays':
        this.#outputs.push({ kind: 'useRelays', servers: message.servers });
        break;
      case 'keyed':
        this.#keyed(message.connection, message.epoch, now);
        break;
      case 'close':
        this.#connections.handleClose(message.connection, now);
        break;
      case 'room':
        this.#room(message, now);
        break;
      case 'demo':
        this.#demo = { ...this.#demo, actions: message.actions };
        break;
      case 'demo-outcome':
        this.#demo = { actions: this.#demo?.actions ?? [], outcome: message };
        break;
      case 'error':
        this.#error(message, now);
    }
  }

  #welcome(message: Extract<ServerMessage, { type: 'welcome' }>, now: Millis): void {
    const restarted = this.#instance !== '' && this.#instance !== message.instance;
    if (restarted && message.resumed && this.#connections.inUse !== undefined) this.#restarts++;
    this.#instance = message.instance;
    this.#presence = 'welcome';
    this.#link.established();
    this.#link.setToken(message.token);
    this.#send({ type: 'confirm' });
    if (message.resumed) this.#tellOf(this.#ability.news);
    this.#connections.handleUp(now);
    this.#continuity.handleTakenBack(restarted, now);
    this.#roleMayChange(message.role, now);
    this.#casting.handleWelcome(message.role);
  }

  #room(message: Extract<ServerMessage, { type: 'room' }>, now: Millis): void {
    this.#viewers = message.viewers;
    this.#onAir = message.onAir;
    const { onAir, onAirSeconds } = message;
    const timed = onAir && onAirSeconds !== undefined;
    this.#onAirSince = timed ? beganAt(onAirSeconds, this.#onAirSince, now) : undefined;
    if (!onAir && this.#casting.role !== 'broadcaster') this.#continuity.handleIdle(now);
    this.#connections.handleOnAir(message.onAir, now);
  }

  #roleMayChange(role: Role, now: Millis): void {
    if (role === this.#casting.role) return;
    this.#continuity.handleIdle(now);
    this.#outageFrom = undefined;
  }

  #keyed(connection: number, epoch: number, now: Millis): void {
    const peer = this.#connections.handleKeyed(connection);
    if (peer === undefined) return;
    this.#problems.handleKeyed();
    this.#epoch = Math.max(epoch, this.#epoch ?? 0);
    this.#continuity.handleKeyed(peer, epoch, now);
    this.#outputs.push({ kind: 'readCertificate', peer });
  }

  #answer({ peer, offer, epoch, sdp }: Extract<PageInput, { kind: 'answered' }>): void {
    const connection = this.#connections.handleAnswered(peer, epoch);
    if (connection === undefined || !this.#openOffers.delete(offerKey(connection, offer))) return;
    this.#send({ type: 'answer', connection, offer, sdp });
  }

  #error(message: Extract<ServerMessage, { type: 'error' }>, now: Millis): void {
    const comesBackIn = this.#problems.handleError(message.code);
    if (comesBackIn !== undefined) this.#link.comeBackIn(comesBackIn, now);
    if (message.code === 'BROADCASTER_PRESENT' || message.code === 'PUBLISH_FORBIDDEN')
      this.#casting.handleRefused();
    if (message.code !== 'TOKEN_UNKNOWN') return;
    this.#link.setToken(undefined);
    this.#join(now);
  }

  /** A page that was let in keeps all that it has: it comes back with its session. */
  #enter(token: string, now: Millis): void {
    this.#problems.clear();
    if (this.#presence === 'locked') this.#presence = 'new';
    this.#link.setAccess(toBase64Url(token), now);
  }

  /** The place is kept also where the server does not hear of it: it may be away itself. */
  #goAway(): void {
    const { token } = this.#link;
    const isOver = this.#presence === 'stopped' || this.#presence === 'locked';
    if (token !== undefined && !isOver) this.#outputs.push({ kind: 'keepPlace', token });
    this.#send({ type: 'away' });
    this.#link.leave();
  }

  #peerState(peer: number, state: PeerState, now: Millis): void {
    this.#connections.handlePeerState(peer, state, now);
    if (state === 'connected') {
      this.#continuity.handleConnected(peer, now);
      this.#outputs.push({ kind: 'readCertificate', peer });
    }
    if (this.#connections.inUse?.peer !== peer) return;
    if (state === 'disconnected' || state === 'failed') this.#link.check(now);
    if (this.#casting.role !== 'broadcaster') return;
    if (state !== 'connected') this.#outageFrom ??= now;
    else if (this.#outageFrom !== undefined) {
      this.#continuity.handleDisconnection(this.#outageFrom, now);
      this.#outageFrom = undefined;
    }
  }

  #frame(peer: number | undefined, at: Millis, now: Millis): void {
    if (peer === undefined) {
      if (this.#casting.role !== 'broadcaster') return;
      this.#frames++;
      if (this.#connections.inUse?.state !== 'connected') return;
      this.#continuity.handlePreview(at, now);
      this.#tryOut();
      return;
    }
    this.#connections.handleFrame(peer, now);
    if (this.#casting.role !== 'viewer' || peer !== this.#connections.inUse?.peer) return;
    this.#frames++;
    this.#continuity.handleFrame(at, now);
    this.#tryOut();
  }

  /** The picture is there: now there is time to see what this browser can do. */
  #tryOut(): void {
    if (this.#presence === 'welcome' && this.#ability.takeTrial()) this.#outputs.push({ kind: 'tryRekey' });
  }

  /** Before its welcome the page has no say, and is asked again then. */
  #tellOf(capabilities: Capabilities | undefined): void {
    if (capabilities !== undefined && this.#presence === 'welcome')
      this.#send({ type: 'capabilities', capabilities });
  }

  #join(now: Millis): void {
    this.#epoch = undefined;
    this.#continuity.handleJoin();
    this.#connections.beginSession();
    this.#send({ type: 'join', capabilities: this.#ability.capabilities });
    this.#link.expectReply(REPLY_TIMEOUT_MS, now);
  }

  #send(message: PageMessage): void {
    if (this.#link.isOpen) this.#outputs.push({ kind: 'send', message });
  }

  /** Lets what one part has put out reach the others. */
  #settle(now: Millis): void {
    for (;;) {
      const fromLink = this.#link.pollOutput();
      const fromCasting = fromLink === undefined ? this.#casting.pollOutput() : undefined;
      const rest = fromLink ?? fromCasting;
      const fromConnections = rest === undefined ? this.#connections.pollOutput() : undefined;
      if (fromLink !== undefined) this.#fromLink(fromLink, now);
      else if (fromCasting !== undefined) this.#fromCasting(fromCasting, now);
      else if (fromConnections !== undefined) this.#fromConnections(fromConnections, now);
      else return;
    }
  }

  #fromLink(output: LinkOutput, now: Millis): void {
    if (output.kind === 'up') {
      this.#continuity.handleOpen(now);
      if (this.#link.token !== undefined) this.#link.expectReply(REPLY_TIMEOUT_MS, now);
      else this.#join(now);
    } else if (output.kind === 'lost') {
      if (this.#presence === 'welcome') this.#lost(now);
      this.#openOffers.clear();
      this.#casting.handleLost();
      this.#connections.handleDown();
    } else if (output.kind === 'stopped') this.#stop(output.code, now);
    else if (output.kind === 'ping') this.#send({ type: 'ping' });
    else this.#outputs.push(output);
  }

  #fromCasting(output: CastingOutput, now: Millis): void {
    // Before its welcome the page has no say; what it wants is said again then.
    if (output.kind === 'send') {
      if (this.#presence === 'welcome') this.#send(output.message);
    } else if (output.kind === 'answerable') this.#apply(output.offer, now);
    else this.#outputs.push(output);
  }

  #lost(now: Millis): void {
    this.#presence = 'lost';
    // Until the next server offers them.
    if (this.#demo !== undefined) this.#demo = { actions: [] };
    this.#continuity.handleLost(this.#casting.role ?? 'viewer', this.#epoch, now);
  }

  #fromConnections(output: ConnectionsOutput, now: Millis): void {
    if (output.kind === 'apply') this.#continuity.handleOffer(output, now);
    else if (output.kind === 'show') this.#continuity.handleShown(output.peer);
    else if (output.kind === 'closePeer') this.#continuity.handleClosed(output.peer);
    if (output.kind === 'inPlaceFailed') this.#tellOf(this.#ability.handleFailure());
    else if (output.kind === 'send') {
      this.#send(output.message);
      if (output.message.type === 'stalled') this.#link.check(now);
    } else this.#outputs.push(output);
  }

  #apply(offer: OfferMessage, now: Millis): void {
    this.#openOffers.add(offerKey(offer.connection, offer.offer));
    this.#connections.handleOffer(offer, now);
  }

  #stop(code: number, now: Millis): void {
    const locked = code === CLOSE_CODE.locked;
    this.#presence = locked ? 'locked' : 'stopped';
    if (locked) {
      // Its session is over for it: with another token it joins anew.
      this.#link.setToken(undefined);
      this.#openOffers.clear();
      this.#problems.handleLocked();
    } else this.#problems.handleEnd(code);
    this.#continuity.handleIdle(now);
    this.#connections.handleDown();
    this.#connections.closeAll();
    this.#casting.close();
  }

  #state(): PageState {
    const shown = this.#connections.inUse;
    if (this.#presence === 'stopped' || this.#presence === 'locked') return this.#presence;
    if (this.#presence === 'lost') return 'reconnecting';
    if (this.#presence === 'new') return 'connecting';
    if (this.#casting.camera === 'opening') return 'camera';
    if (shown === undefined || (shown.state !== 'connected' && !shown.plays)) return 'connecting';
    if (shown.rekeying) return 'rekeying';
    if (shown.state !== 'connected') return 'interrupted';
    return this.#casting.role === 'viewer' && !this.#onAir ? 'waiting' : 'live';
  }
}

/** Whole seconds, and what the message took to come, make each report of the same beginning a little late: the earliest is the nearest. */
function beganAt(seconds: number, known: Millis | undefined, now: Millis): Millis {
  const reported = now - seconds * 1_000;
  const same = known !== undefined && Math.abs(reported - known) < SAME_BROADCAST_MS;
  return same ? Math.min(known, reported) : reported;
}

/** RFC 4648 §5, without padding: a subprotocol has the characters of a token of HTTP (RFC 6455 §4.1). */
function toBase64Url(text: string): string {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

const offerKey = (connection: number, offer: number): string => `${connection}/${offer}`;

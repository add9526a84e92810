/**
 * One connection to one browser: ICE-lite, DTLS client and SRTP contexts, joined without I/O.
 *
 *   first connection                          re-key in place
 *   1. offer()          epoch, credentials    1. offer()         ICE restart; ClientHello leaves at once to the address in use
 *   2. acceptAnswer()   fingerprint           2. the peer's flight verified → keys → media under the new keys
 *   3. nomination       address → ClientHello    or acceptAnswer(): whichever is first ends the stale keys
 *   4. keys → media                           3. nomination      the new address
 */
import { Budget } from '../util/budget.ts';
import { toHex } from '../util/bytes.ts';
import type { Millis } from '../util/clock.ts';
import { earliest } from '../util/clock.ts';
import { Counters, countUnder } from '../util/counters.ts';
import type { RandomSource } from '../util/rng.ts';
import type { Address } from './address.ts';
import { classifyDatagram } from './demux.ts';
import { DtlsClient, type DtlsFailure, type DtlsIdentity } from './dtls/client.ts';
import type { Fingerprint } from './dtls/fingerprint.ts';
import { type IceCredentials, IceLite } from './ice/ice-lite.ts';
import type { DtlsSrtpKeys, SrtpProfile } from './srtp/profile.ts';
import { SrtpReceiveContext } from './srtp/receive-context.ts';
import { SrtpSendContext } from './srtp/send-context.ts';
import type { SrtpPersistence, SrtpReceiveState, SrtpSendState } from './srtp/state.ts';

/** The ClientHello of a re-key repeats at this interval: the browser drops those that come before it has applied the offer. */
const HELLO_INTERVAL: Millis = 10;

/**
 * Snapshots that what one browser sends may cause, in a burst and in each further second. A keyframe out of silence takes a few; indices that leap
 * from packet to packet would each take one, and a snapshot is of everybody.
 */
const RESERVE_BURST = 40;
const RESERVES_PER_SECOND = 20;

/** What a {@link Peer} is made with. */
export interface PeerOptions {
  /** Asked for at each offer, and shown in the handshake of that one: by then there may be another. */
  readonly identity: DtlsIdentity;
  readonly rng: RandomSource;
  readonly srtpProfiles: readonly SrtpProfile[];
  readonly ice: IceCredentials;
  /** Called when a context needs higher index limits: writes a snapshot before it returns (ARCHITECTURE, "never the same nonce twice"). */
  readonly reserve: () => void;
  /** The next {@link Peer.captureContexts} may give others than the last, or another address is to be kept with them. Called again and again until it is asked. */
  readonly contextsChanged?: () => void;
}

/** What survives of a peer apart from its SRTP contexts. */
export interface PeerIdentity {
  /** `undefined` while an ICE restart has not been answered. */
  readonly remoteUfrag: string | undefined;
  readonly remoteFingerprint: Fingerprint;
  readonly remoteAddress: Address | undefined;
}

/** The SRTP contexts of a peer as plain data. */
export interface PeerContexts {
  readonly epoch: number;
  readonly send: SrtpSendState;
  readonly receive: SrtpReceiveState;
}

/** The lowest room index that may still be sent for an SSRC. */
export interface SendFloor {
  readonly ssrc: number;
  readonly limit: number;
}

/** What an answer says of the browser (see `parseAnswer`). */
export interface RemoteParameters {
  readonly ice: IceCredentials;
  readonly fingerprints: readonly Fingerprint[];
}

/** What ended a set of stale keys. */
export type StaleKeysEnd = 'answer' | 'flight' | 'deadline' | 'closed';

export type PeerDropReason = 'unknown kind' | 'address not validated' | 'no handshake' | 'no keys';

/** What a {@link Peer} wants done, and what has come of it. */
export type PeerOutput =
  | { readonly kind: 'transmit'; readonly to: Address; readonly datagram: Uint8Array }
  /** A STUN response with this transaction id, as hex, is for this peer. */
  | { readonly kind: 'probing'; readonly transaction: string }
  /** Datagrams from this address belong to this peer: said of each proof that it is there, since another may have been before. */
  | { readonly kind: 'validated'; readonly address: Address }
  /** Media goes to this address from now on. */
  | { readonly kind: 'selected'; readonly address: Address }
  | { readonly kind: 'rtp'; readonly packet: Uint8Array }
  | { readonly kind: 'rtcp'; readonly packet: Uint8Array }
  /** The keys before `epoch` have been wiped. */
  | { readonly kind: 'stale-keys-destroyed'; readonly by: StaleKeysEnd }
  /** Fresh keys are in use, for sending at once: the peer's certificate and signature have been verified. */
  | { readonly kind: 'keyed'; readonly epoch: number }
  /** The handshake is complete: the peer's Finished has been verified and the DTLS secrets are wiped. */
  | { readonly kind: 'connected'; readonly epoch: number }
  | { readonly kind: 'failed'; readonly reason: DtlsFailure };

interface Contexts {
  readonly epoch: number;
  readonly send: SrtpSendContext;
  readonly receive: SrtpReceiveContext;
}

/**
 * One connection to one browser. One mutation, then drain {@link pollOutput} until `undefined`; call {@link handleTimeout} when {@link nextTimeout}
 * has passed. A hostile datagram is dropped and counted, never thrown.
 *
 * What has to survive is {@link captureIdentity} and {@link captureContexts}; another process hands the first to the constructor and the second to
 * {@link resume}.
 */
export class Peer {
  readonly drops = new Counters<PeerDropReason>();
  readonly #options: PeerOptions;
  readonly #ice: IceLite;
  /** What the last offer has announced. */
  #identity: DtlsIdentity | undefined;
  #dtls: DtlsClient | undefined;
  #contexts: Contexts | undefined;
  /** The epoch that was offered and has no keys yet. */
  #offered: number | undefined;
  /** The browser is known to take a ClientHello for the offered epoch, and for no other. */
  #mayStart = false;
  #fingerprints: readonly Fingerprint[] = [];
  #staleDeadline: Millis | undefined;
  readonly #reserves = new Budget(RESERVE_BURST, RESERVES_PER_SECOND);
  #now: Millis = 0;
  readonly #endedDrops = new Counters<string>();
  readonly #outputs: PeerOutput[] = [];

  constructor(options: PeerOptions, restored?: PeerIdentity) {
    this.#options = options;
    this.#ice = new IceLite(options.ice, options.rng, restored?.remoteUfrag, restored?.remoteAddress);
    if (restored !== undefined) this.#fingerprints = [restored.remoteFingerprint];
  }

  get iceCredentials(): IceCredentials {
    return this.#ice.credentials;
  }

  /** Local ufrags under which checks for this peer may come. */
  get ufrags(): readonly string[] {
    return this.#ice.ufrags;
  }

  get remoteAddress(): Address | undefined {
    return this.#ice.selected;
  }

  /** When the address that media goes to has last shown that the peer is there. */
  get heardAt(): Millis | undefined {
    return this.#ice.heardAt;
  }

  /** The epoch of the keys in use; `undefined` while there are none. */
  get keyEpoch(): number | undefined {
    return this.#contexts?.epoch;
  }

  /** Its keys are an earlier process's. */
  get isStale(): boolean {
    return this.#staleDeadline !== undefined;
  }

  /** Protects what is sent; `undefined` while there are no keys. */
  get sendContext(): SrtpSendContext | undefined {
    return this.#contexts?.send;
  }

  /** Under an earlier process's keys: whether there was media of a stream that has not begun under them, and so cannot any more. @internal */
  get lacksStreams(): boolean {
    return (this.#contexts?.send.drops.get('unknownStream') ?? 0) > 0;
  }

  isValidated(address: Address): boolean {
    return this.#ice.isValidated(address);
  }

  isProbing(transaction: string): boolean {
    return this.#ice.isProbing(transaction);
  }

  /** Counts of everything dropped, also by handshakes and contexts that have ended: `<engine>: <reason>`. */
  get dropCounts(): Counters<string> {
    const all = new Counters<string>();
    all.absorb(this.#endedDrops);
    countUnder(all, 'peer', this.drops);
    countUnder(all, 'ice', this.#ice.drops);
    if (this.#dtls !== undefined) countUnder(all, 'dtls', this.#dtls.drops);
    if (this.#contexts !== undefined) countUnder(all, 'srtp', this.#contexts.receive.drops);
    return all;
  }

  /**
   * Takes contexts of an earlier process. They are stale: they end at a re-key or at `deadline`. Nothing is sent below `floors`, the room's
   * limits in the same snapshot.
   */
  resume(contexts: PeerContexts, floors: readonly SendFloor[], deadline: Millis): void {
    this.#contexts = {
      epoch: contexts.epoch,
      send: SrtpSendContext.restore(contexts.send, this.#persistence(this.#options.reserve), floors),
      receive: SrtpReceiveContext.restore(
        contexts.receive,
        this.#persistence(() => this.#reserveForReceived()),
      ),
    };
    this.#staleDeadline = deadline;
    this.#changed();
  }

  /**
   * An offer with these credentials leaves now: new keys are wanted under `epoch`. With `early` the ClientHello leaves with it, where address
   * and fingerprint are known: the browser takes it as soon as it has applied the offer. Else it waits for the answer.
   */
  offer(epoch: number, ice: IceCredentials, early: boolean, now: Millis): void {
    this.#offered = epoch;
    this.#identity = this.#options.identity;
    this.#mayStart = early;
    if (ice !== this.#ice.credentials) this.#ice.restart(ice);
    this.#endHandshake();
    this.#startHandshake(now, HELLO_INTERVAL);
  }

  /** The answer to the last offer: the browser has given up the old keys. */
  acceptAnswer(answer: RemoteParameters, now: Millis): void {
    this.#ice.setRemote(answer.ice, now);
    this.#drainIce(now);
    if (this.#offered === undefined) return;
    this.#mayStart = true;
    this.#destroyContexts('answer');
    if (!sameFingerprints(answer.fingerprints, this.#fingerprints)) {
      this.#endHandshake();
      this.#fingerprints = answer.fingerprints;
    }
    if (this.#dtls === undefined) this.#startHandshake(now);
    else this.#dtls.peerIsReady(now);
  }

  handleDatagram(datagram: Uint8Array, from: Address, now: Millis): void {
    this.#now = now;
    const kind = classifyDatagram(datagram);
    if (kind === undefined) this.drops.add('unknown kind');
    else if (kind === 'stun') {
      this.#ice.handleDatagram(datagram, from, now);
      this.#drainIce(now);
    } else if (!this.#ice.isValidated(from)) this.drops.add('address not validated');
    else if (kind === 'dtls') this.#handleDtls(datagram, now);
    else this.#handleMedia(kind, datagram);
  }

  /** Protects and sends a compound RTCP packet; dropped where there are no keys or no address. */
  sendRtcp(packet: Uint8Array): void {
    const to = this.#ice.selected;
    const datagram = to && this.#contexts?.send.protectRtcp(packet);
    if (to !== undefined && datagram !== undefined) this.#outputs.push({ kind: 'transmit', to, datagram });
  }

  handleTimeout(now: Millis): void {
    if (this.#staleDeadline !== undefined && now >= this.#staleDeadline) this.#destroyContexts('deadline');
    const dtlsDeadline = this.#dtls?.nextTimeout();
    if (dtlsDeadline !== undefined && now >= dtlsDeadline) {
      this.#dtls?.handleTimeout(now);
      this.#drainDtls();
    }
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#staleDeadline, this.#dtls?.nextTimeout());
  }

  pollOutput(): PeerOutput | undefined {
    return this.#outputs.shift();
  }

  /** Identity for the snapshot; `undefined` before the first answer. */
  captureIdentity(): PeerIdentity | undefined {
    const remoteFingerprint = this.#fingerprints[0];
    if (remoteFingerprint === undefined) return undefined;
    return { remoteUfrag: this.#ice.remoteUfrag, remoteFingerprint, remoteAddress: this.#ice.selected };
  }

  /** The contexts in use with fresh limits; `undefined` while there are none. */
  captureContexts(): PeerContexts | undefined {
    if (this.#contexts === undefined) return undefined;
    const { epoch, send, receive } = this.#contexts;
    return { epoch, send: send.capture(), receive: receive.capture() };
  }

  /** The captured contexts are written: indices up to their limits may be used. */
  granted(contexts: PeerContexts): void {
    if (this.#contexts?.epoch !== contexts.epoch) return;
    this.#contexts.send.granted(contexts.send);
    this.#contexts.receive.granted(contexts.receive);
  }

  /** Ends everything and wipes all keys. */
  close(): void {
    this.#endHandshake();
    this.#destroyContexts('closed');
    this.#offered = undefined;
  }

  #drainIce(now: Millis): void {
    for (let output = this.#ice.pollOutput(); output !== undefined; output = this.#ice.pollOutput()) {
      this.#outputs.push(output);
      if (output.kind !== 'selected') continue;
      this.#changed();
      if (this.#dtls === undefined) this.#startHandshake(now);
      else {
        this.#dtls.pathChanged(now);
        this.#drainDtls();
      }
    }
  }

  #handleDtls(datagram: Uint8Array, now: Millis): void {
    if (this.#dtls === undefined) {
      // Between handshakes nobody holds keys that could authenticate a record: an alert in it means nothing.
      this.drops.add('no handshake');
      return;
    }
    this.#dtls.handleDatagram(datagram, now);
    this.#drainDtls();
  }

  #handleMedia(kind: 'srtp' | 'srtcp', datagram: Uint8Array): void {
    const receive = this.#contexts?.receive;
    if (receive === undefined) {
      this.drops.add('no keys');
      return;
    }
    const packet = kind === 'srtp' ? receive.unprotectRtp(datagram)?.packet : receive.unprotectRtcp(datagram);
    if (packet !== undefined) this.#outputs.push({ kind: kind === 'srtp' ? 'rtp' : 'rtcp', packet });
  }

  #persistence(reserve: () => void): SrtpPersistence {
    return { reserve, changed: () => this.#changed() };
  }

  #changed(): void {
    this.#options.contextsChanged?.();
  }

  /** Past the budget the packet is dropped, as are those behind it up to the next snapshot that comes by itself. */
  #reserveForReceived(): void {
    if (this.#reserves.take(this.#now)) this.#options.reserve();
  }

  #startHandshake(now: Millis, helloInterval?: Millis): void {
    if (this.#offered === undefined || !this.#mayStart) return;
    if (this.#fingerprints.length === 0 || this.#ice.selected === undefined) return;
    this.#dtls = new DtlsClient(
      {
        identity: this.#identity ?? this.#options.identity,
        rng: this.#options.rng,
        remoteFingerprints: this.#fingerprints,
        srtpProfiles: this.#options.srtpProfiles,
        ...(helloInterval === undefined ? {} : { helloInterval }),
      },
      now,
    );
    this.#drainDtls();
  }

  #drainDtls(): void {
    for (let output = this.#dtls?.pollOutput(); output !== undefined; output = this.#dtls?.pollOutput()) {
      switch (output.kind) {
        case 'transmit':
          if (this.#ice.selected !== undefined) {
            this.#outputs.push({ kind: 'transmit', to: this.#ice.selected, datagram: output.datagram });
          }
          break;
        case 'keys':
          this.#useKeys(output.keys);
          break;
        case 'connected':
          this.#endHandshake();
          this.#outputs.push({ kind: 'connected', epoch: this.#contexts?.epoch ?? 0 });
          break;
        case 'failed':
          this.#endHandshake();
          // Keys that came from this handshake go with it; stale ones live on to their own end.
          if (this.#offered === undefined) this.#destroyContexts('closed');
          this.#offered = undefined;
          this.#outputs.push({ kind: 'failed', reason: output.reason });
          break;
      }
    }
  }

  #useKeys(keys: DtlsSrtpKeys): void {
    const epoch = this.#offered ?? 0;
    this.#destroyContexts('flight');
    this.#contexts = {
      epoch,
      send: SrtpSendContext.create(keys.profile, keys.local, this.#persistence(this.#options.reserve)),
      receive: SrtpReceiveContext.create(
        keys.profile,
        keys.remote,
        this.#persistence(() => this.#reserveForReceived()),
      ),
    };
    this.#changed();
    this.#offered = undefined;
    this.#outputs.push({ kind: 'keyed', epoch });
  }

  #destroyContexts(by: StaleKeysEnd): void {
    this.#staleDeadline = undefined;
    if (this.#contexts === undefined) return;
    countUnder(this.#endedDrops, 'srtp', this.#contexts.receive.drops);
    this.#contexts.send.dispose();
    this.#contexts.receive.dispose();
    this.#contexts = undefined;
    this.#changed();
    this.#outputs.push({ kind: 'stale-keys-destroyed', by });
  }

  #endHandshake(): void {
    if (this.#dtls === undefined) return;
    countUnder(this.#endedDrops, 'dtls', this.#dtls.drops);
    this.#dtls.dispose();
    this.#dtls = undefined;
  }
}

function sameFingerprints(a: readonly Fingerprint[], b: readonly Fingerprint[]): boolean {
  const text = (list: readonly Fingerprint[]) =>
    list.map(({ algorithm, digest }) => `${algorithm} ${toHex(digest)}`).join();
  return text(a) === text(b);
}

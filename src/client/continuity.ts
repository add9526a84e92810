import type { Role } from '../signaling/protocol.ts';
import type { Millis } from '../util/clock.ts';
import type { CertificateDigest } from './certificate.ts';
import type { ApplyOffer } from './connections.ts';
import { lengthOf } from './gaps.ts';
import { type NetworkPath, type Outage, Outages, type RekeyWay } from './outages.ts';
import { Seal, type SealReading, type SealState } from './seal.ts';
import { BUCKET_MS, BUCKETS, Timeline, type TimelineReading } from './timeline.ts';

/** A moment on the timeline. */
export interface Mark {
  readonly kind: 'gone' | 'back' | 'media' | 'keys';
  readonly at: Millis;
  /** Of keys. */
  readonly epoch?: number;
  /** The keys that this page has begun with. */
  readonly first?: boolean;
}

/** What the panel reads. */
export interface ContinuityReading {
  /** Changes with everything that the panel says in words. */
  readonly version: number;
  readonly timeline: TimelineReading;
  readonly seal: SealReading;
  /** The last ones, oldest first. */
  readonly outages: readonly Outage[];
  /** Of the timeline's minute, oldest first. */
  marks(now: Millis): readonly Mark[];
  /** Since when the picture has been standing, where the last outage has brought that about. */
  standingSince(now: Millis): Millis | undefined;
  /** Epoch of the keys at that time, or `undefined` before the first ones, or where that is too long ago. */
  epochAt(at: Millis): number | undefined;
}

/** A shorter gap is not worth a mark. */
const NOTABLE_GAP_MS = 200;
/** Keys that are replaced more often than this within a minute are not told apart on the timeline anyway. */
const KEPT_KEYS = 20;

/** New keys under way. */
interface Renewal {
  readonly from: Millis;
  readonly way: RekeyWay;
  readonly epoch: number;
  handshake: boolean;
  keyed: boolean;
}

/**
 * What a restart has cost and what it has left as it was, for the panel: the timeline, a record of each outage, the seal. The page feeds it and asks it
 * nothing but what its facts say.
 *
 *   1. lost ─▶ open ─▶ taken back: an outage
 *   2. offer ─▶ handshake and `keyed`, in either order ─▶ keys replaced
 *   3. frames all the while
 */
export class Continuity implements ContinuityReading {
  readonly timeline = new Timeline();
  readonly seal = new Seal();
  readonly #outages = new Outages();
  readonly #renewals = new Map<number, Renewal>();
  readonly #keys: Mark[] = [];
  #hadKeys = false;
  #path: NetworkPath | undefined;
  #firstOfferAt: Millis | undefined;
  #isAway = false;
  #looksAway = false;
  #joinsAnew = false;
  #version = 0;

  get version(): number {
    return this.#version;
  }

  get outages(): readonly Outage[] {
    return this.#outages.all;
  }

  get sealState(): SealState {
    return this.seal.state;
  }

  /** Around the last outage. */
  get lastGapMs(): number | undefined {
    return this.#outages.longestGapMs;
  }

  marks(now: Millis): readonly Mark[] {
    const marks = [...this.#keys];
    const standing = this.#outages.standingSince(now) !== undefined;
    for (const outage of this.#outages.all) {
      const { lostAt, backAt, restarted, gap } = outage;
      // The last frames that were on their way are no resumption.
      const hasResumed = !standing || outage !== this.#outages.latest;
      marks.push({ kind: 'gone', at: lostAt });
      if (backAt !== undefined && restarted !== undefined) marks.push({ kind: 'back', at: backAt });
      if (gap !== undefined && hasResumed && lengthOf(gap) >= NOTABLE_GAP_MS)
        marks.push({ kind: 'media', at: gap.to });
    }
    const since = now - BUCKETS * BUCKET_MS;
    return marks.filter(({ at }) => at >= since).sort((one, other) => one.at - other.at);
  }

  standingSince(now: Millis): Millis | undefined {
    return this.#outages.standingSince(now);
  }

  epochAt(at: Millis): number | undefined {
    return this.#keys.findLast((mark) => mark.at <= at)?.epoch;
  }

  handleFrame(at: Millis, now: Millis): void {
    this.timeline.frame(at, now);
    // A hidden page may show frames now and then (picture in picture): no gap can be told from them.
    if (this.#looksAway) return;
    const before = this.#outages.latest?.gap;
    this.#outages.frame(at);
    if (this.#outages.latest?.gap !== before) this.#version++;
  }

  /** A broadcaster's: its connection was down between these two moments. */
  handleDisconnection(from: Millis, to: Millis): void {
    this.#outages.gap(from, to);
    this.#version++;
  }

  /** A broadcaster's own picture. It says nothing of gaps: the camera goes on without a server. */
  handlePreview(at: Millis, now: Millis): void {
    this.timeline.frame(at, now);
  }

  /** There is nothing to show now. */
  handleIdle(now: Millis): void {
    this.timeline.pause('idle', now);
    this.#outages.pause();
    this.#version++;
  }

  handleVisibility(hidden: boolean, now: Millis): void {
    this.#looksAway = hidden;
    this.timeline.handleVisibility(hidden, now);
    this.#outages.pause();
  }

  handlePath(path: NetworkPath): void {
    // While the server is away, what browsers say is of before, or of nothing.
    if (!this.#isAway) this.#path = path;
  }

  handleLost(role: Role, epochBefore: number | undefined, now: Millis): void {
    this.timeline.advance(now);
    const unwatched = role === 'viewer' && this.timeline.watching !== 'picture';
    this.#outages.handleLost({ role, epochBefore, path: this.#path, unwatched }, now);
    this.seal.handleLost(now);
    this.#isAway = true;
    this.#firstOfferAt = undefined;
    this.#version++;
  }

  /** The WebSocket is open again. */
  handleOpen(now: Millis): void {
    if (!this.#isAway) return;
    this.#outages.handleOpen(now);
    this.#version++;
  }

  handleTakenBack(restarted: boolean, now: Millis): void {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#outages.handleTakenBack(restarted, now);
    this.seal.handleReturned();
    this.#version++;
  }

  /** The server does not know this page any more: the next keys are of another session. */
  handleJoin(): void {
    this.#joinsAnew = true;
  }

  handleOffer({ peer, create, epoch }: ApplyOffer, now: Millis): void {
    this.seal.handleOffer(peer, create, epoch, now);
    // A second connection after an attempt in place that failed has the whole time on its account.
    this.#firstOfferAt ??= now;
    const way = this.#joinsAnew ? 'anew' : create ? 'second-connection' : 'in-place';
    this.#renewals.set(peer, { from: this.#firstOfferAt, way, epoch, handshake: false, keyed: false });
  }

  handleTransport(peer: number, connected: boolean, now: Millis): void {
    if (this.seal.handleTransport(peer, connected) !== undefined) this.#handshaken(peer, now);
  }

  handleConnected(peer: number, now: Millis): void {
    if (this.seal.handleConnected(peer) !== undefined) this.#handshaken(peer, now);
  }

  handleCertificate(peer: number, associations: number, digest: CertificateDigest): void {
    this.seal.handleCertificate(peer, associations, digest);
    this.#version++;
  }

  /** The server says that it has the keys of this epoch. */
  handleKeyed(peer: number, epoch: number, now: Millis): void {
    const renewal = this.#renewals.get(peer);
    if (renewal?.epoch !== epoch) return;
    renewal.keyed = true;
    this.#renewed(peer, renewal, now);
  }

  handleShown(peer: number | undefined): void {
    this.seal.handleShown(peer);
    this.#version++;
  }

  handleClosed(peer: number): void {
    this.seal.handleClosed(peer);
    this.#renewals.delete(peer);
    if (this.#renewals.size === 0) this.#firstOfferAt = undefined;
  }

  #handshaken(peer: number, now: Millis): void {
    const renewal = this.#renewals.get(peer);
    if (renewal === undefined) return;
    renewal.handshake = true;
    this.#renewed(peer, renewal, now);
  }

  #renewed(peer: number, { from, way, epoch, handshake, keyed }: Renewal, now: Millis): void {
    this.#version++;
    if (!handshake || !keyed) return;
    this.#renewals.delete(peer);
    this.#firstOfferAt = undefined;
    this.#joinsAnew = false;
    this.#keys.push({ kind: 'keys', at: now, epoch, first: !this.#hadKeys });
    this.#hadKeys = true;
    if (this.#keys.length > KEPT_KEYS) this.#keys.shift();
    this.#outages.handleRekey({ from, to: now, way, epoch });
  }
}

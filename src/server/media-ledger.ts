import type { Room } from '../room/room.ts';
import type { Connection } from '../session/connection.ts';
import type { MediaSnapshot, PeerMediaRecord } from '../snapshot/schema.ts';
import type { Peer } from '../transport/peer.ts';
import type { Millis, WallMillis } from '../util/clock.ts';
import { captureContexts, idOf, unlimited } from './contexts.ts';
import type { Routes } from './routes.ts';

/** Media snapshots that may wait are at least this far apart, and the further the more there is to write. */
const WRITE_SPACING: Millis = 20;
const CONTEXTS_PER_MS = 20;

interface MediaLedgerOptions {
  readonly routes: Routes;
  readonly room: Room;
  readonly mediaTtl: Millis;
  /** Deadline of the snapshot that this process began with. */
  readonly resumedNotAfter: WallMillis;
  readonly now: () => Millis;
  readonly wall: () => WallMillis;
  /** See `BroadcastOptions.persistMedia`. */
  readonly persist: ((snapshot: MediaSnapshot) => boolean) | undefined;
}

/** Keeps SRTP contexts and index limits on file ahead of their use: what is at a limit waits for {@link write}. */
export class MediaLedger {
  readonly #options: MediaLedgerOptions;
  #onlySince: Millis = Number.NEGATIVE_INFINITY;
  #writtenAt: Millis = Number.NEGATIVE_INFINITY;
  #writeAt: Millis | undefined;
  readonly #connections = new Map<Peer, Connection>();
  /** What the last capture has of them may be out of date. */
  readonly #changed = new Set<Peer>();
  readonly #stale = new Set<Peer>();
  /** Of each peer that has contexts, its record and where it stands. */
  readonly #peers: Peer[] = [];
  readonly #records: PeerMediaRecord[] = [];
  readonly #places = new Map<Peer, number>();
  /** Records that may be on file or not, but whose limits are not in use yet. */
  readonly #ungranted = new Map<Peer, PeerMediaRecord>();
  /** What each capture has that was not granted then. */
  readonly #captures = new WeakMap<MediaSnapshot, readonly (readonly [Peer, PeerMediaRecord])[]>();

  constructor(options: MediaLedgerOptions) {
    this.#options = options;
  }

  nextTimeout(): Millis | undefined {
    return this.#writeAt;
  }

  handleTimeout(now: Millis): void {
    if (now >= (this.#writeAt ?? Number.POSITIVE_INFINITY)) this.write();
  }

  write(): void {
    const { persist, now } = this.#options;
    this.#writeAt = undefined;
    this.#writtenAt = now();
    if (persist === undefined) return;
    const snapshot = this.capture();
    if (persist(snapshot)) {
      this.granted(snapshot);
      return;
    }
    this.granted(unlimited(snapshot));
    // What has no limit is not what was captured: should there be a file again, it must not hold that.
    this.#captureAll();
  }

  /** A snapshot is of everybody: those who come back at the same time are one write. */
  writeSoon(now: Millis): void {
    const spacing = WRITE_SPACING + Math.floor(this.#records.length / CONTEXTS_PER_MS);
    if (now - this.#writtenAt >= spacing) this.write();
    else this.#writeAt ??= this.#writtenAt + spacing;
  }

  /** Keys of before are in no snapshot from now on. */
  writeOnlySince(time: Millis): void {
    this.#onlySince = time;
    this.#captureAll();
  }

  /** This connection is written down from now on, and anew after whatever may have changed it. */
  follow(connection: Connection): void {
    this.#connections.set(connection.peer, connection);
    this.#changed.add(connection.peer);
  }

  forget({ peer }: Connection): void {
    this.#connections.delete(peer);
    this.#changed.delete(peer);
    this.#stale.delete(peer);
    this.#ungranted.delete(peer);
    this.#remove(peer);
  }

  /** See `PeerOptions.contextsChanged`. */
  changed(peer: Peer): void {
    if (this.#connections.has(peer)) this.#changed.add(peer);
  }

  /** Looks at those that have changed only: to look at each of a thousand costs several times what it costs to seal them. */
  capture(): MediaSnapshot {
    const { room, mediaTtl, resumedNotAfter, wall } = this.#options;
    const writtenAt: WallMillis = Math.round(wall());
    for (const peer of this.#changed) this.#captureOne(this.#connections.get(peer)!);
    this.#changed.clear();
    // Stale keys live no longer for being written again: else a server that crashes over and over would never lose them.
    const end = this.#stale.size > 0 ? resumedNotAfter : Number.POSITIVE_INFINITY;
    const snapshot: MediaSnapshot = {
      writtenAt,
      notAfter: Math.min(writtenAt + mediaTtl, end),
      room: room.capture(),
      peers: [...this.#records],
    };
    this.#captures.set(snapshot, [...this.#ungranted]);
    return snapshot;
  }

  #captureAll(): void {
    for (const peer of this.#connections.keys()) this.#changed.add(peer);
  }

  #captureOne(connection: Connection): void {
    const { peer } = connection;
    if (peer.isStale) this.#stale.add(peer);
    else this.#stale.delete(peer);
    const record = hasKeysOfBefore(connection, this.#onlySince) ? undefined : captureContexts(connection);
    if (record === undefined) {
      this.#remove(peer);
      this.#ungranted.delete(peer);
      return;
    }
    const at = this.#places.get(peer) ?? this.#peers.length;
    this.#places.set(peer, at);
    this.#peers[at] = peer;
    this.#records[at] = record;
    this.#ungranted.set(peer, record);
  }

  /** The last one takes its place: all others stay where they are, so that who encodes them finds what has changed. */
  #remove(peer: Peer): void {
    const at = this.#places.get(peer);
    if (at === undefined) return;
    this.#places.delete(peer);
    const [lastPeer, lastRecord] = [this.#peers.pop()!, this.#records.pop()!];
    if (lastPeer === peer) return;
    this.#peers[at] = lastPeer;
    this.#records[at] = lastRecord;
    this.#places.set(lastPeer, at);
  }

  /** This snapshot has been written: indices up to its limits may be used. */
  granted(snapshot: MediaSnapshot): void {
    const { room, routes } = this.#options;
    room.granted(snapshot.room);
    const fresh = this.#captures.get(snapshot);
    if (fresh === undefined) {
      for (const record of snapshot.peers) routes.get(idOf(record))?.connection.peer.granted(record);
      return;
    }
    // The others have the limits that it says already.
    for (const [peer, record] of fresh) {
      peer.granted(record);
      if (this.#ungranted.get(peer) === record) this.#ungranted.delete(peer);
    }
  }
}

/** Stale keys of an earlier process are of before any time there was in this one. */
export const hasKeysOfBefore = (
  { peer, keyedAt = Number.MIN_SAFE_INTEGER }: Connection,
  time: Millis,
): boolean => peer.keyEpoch !== undefined && keyedAt < time;

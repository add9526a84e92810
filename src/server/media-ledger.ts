import type { Room } from '../room/room.ts';
import { type Connection, connectionId } from '../session/connection.ts';
import type { MediaSnapshot, PeerMediaRecord } from '../snapshot/schema.ts';
import type { Peer } from '../transport/peer.ts';
import { toHex } from '../util/bytes.ts';
import type { Millis, WallMillis } from '../util/clock.ts';
import { captureContexts, unlimited } from './contexts.ts';
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
  /** The last capture, and whose its records are, one by one: to look each up by its name would cost as much as to write it. */
  #captured: { readonly snapshot: MediaSnapshot; readonly peers: readonly Peer[] } | undefined;

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
    this.granted(persist(snapshot) ? snapshot : unlimited(snapshot));
  }

  /** A snapshot is of everybody: those who come back at the same time are one write. */
  writeSoon(now: Millis): void {
    const spacing = WRITE_SPACING + Math.floor((this.#captured?.peers.length ?? 0) / CONTEXTS_PER_MS);
    if (now - this.#writtenAt >= spacing) this.write();
    else this.#writeAt ??= this.#writtenAt + spacing;
  }

  /** Keys of before are in no snapshot from now on. */
  writeOnlySince(time: Millis): void {
    this.#onlySince = time;
  }

  capture(): MediaSnapshot {
    const { routes, room, mediaTtl, resumedNotAfter, wall } = this.#options;
    const writtenAt: WallMillis = Math.round(wall());
    const connections = [...routes.all()].map(({ connection }) => connection);
    // Stale keys live no longer for being written again: else a server that crashes over and over would never lose them.
    const end = connections.some(({ peer }) => peer.isStale) ? resumedNotAfter : Number.POSITIVE_INFINITY;
    const records: PeerMediaRecord[] = [];
    const peers: Peer[] = [];
    for (const connection of connections) {
      const record = hasKeysOfBefore(connection, this.#onlySince) ? undefined : captureContexts(connection);
      if (record === undefined) continue;
      records.push(record);
      peers.push(connection.peer);
    }
    const notAfter = Math.min(writtenAt + mediaTtl, end);
    const snapshot: MediaSnapshot = { writtenAt, notAfter, room: room.capture(), peers: records };
    this.#captured = { snapshot, peers };
    return snapshot;
  }

  /** This snapshot has been written: indices up to its limits may be used. */
  granted(snapshot: MediaSnapshot): void {
    const { room, routes } = this.#options;
    room.granted(snapshot.room);
    const peers = this.#captured?.snapshot === snapshot ? this.#captured.peers : undefined;
    for (const [at, record] of snapshot.peers.entries())
      (peers === undefined ? routes.get(idOf(record))?.connection.peer : peers[at])?.granted(record);
  }
}

export const idOf = ({ session, connection }: PeerMediaRecord): string =>
  connectionId(toHex(session), connection);

/** Stale keys of an earlier process are of before any time there was in this one. */
export const hasKeysOfBefore = (
  { peer, keyedAt = Number.MIN_SAFE_INTEGER }: Connection,
  time: Millis,
): boolean => peer.keyEpoch !== undefined && keyedAt < time;

import type { Room } from '../room/room.ts';
import { type Connection, connectionId } from '../session/connection.ts';
import type { MediaSnapshot, PeerMediaRecord } from '../snapshot/schema.ts';
import { toHex } from '../util/bytes.ts';
import type { Millis, WallMillis } from '../util/clock.ts';
import { captureContexts, unlimited } from './contexts.ts';
import type { Routes } from './routes.ts';

/** Media snapshots that may wait are at least this far apart. */
const WRITE_SPACING: Millis = 20;

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
    if (now - this.#writtenAt >= WRITE_SPACING) this.write();
    else this.#writeAt ??= this.#writtenAt + WRITE_SPACING;
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
    return {
      writtenAt,
      notAfter: Math.min(writtenAt + mediaTtl, end),
      room: room.capture(),
      peers: connections.flatMap((connection) =>
        hasKeysOfBefore(connection, this.#onlySince) ? [] : (captureContexts(connection) ?? []),
      ),
    };
  }

  /** This snapshot has been written: indices up to its limits may be used. */
  granted(snapshot: MediaSnapshot): void {
    const { room, routes } = this.#options;
    room.granted(snapshot.room);
    for (const record of snapshot.peers) routes.get(idOf(record))?.connection.peer.granted(record);
  }
}

export const idOf = ({ session, connection }: PeerMediaRecord): string =>
  connectionId(toHex(session), connection);

/** Stale keys of an earlier process are of before any time there was in this one. */
export const hasKeysOfBefore = (
  { peer, keyedAt = Number.MIN_SAFE_INTEGER }: Connection,
  time: Millis,
): boolean => peer.keyEpoch !== undefined && keyedAt < time;

import { connectionId } from '../session/connection.ts';
import type { Session } from '../session/session.ts';
import type { TokenHashes } from '../session/tokens.ts';
import type {
  ConnectionRecord,
  IdentitySnapshot,
  MediaSnapshot,
  PeerMediaRecord,
  SessionRecord,
} from '../snapshot/schema.ts';
import { fromHex, toHex } from '../util/bytes.ts';
import type { Millis } from '../util/clock.ts';
import { idOf } from './contexts.ts';
import type { Visitor } from './session-factory.ts';

/** The present, and how snapshots, which go by the wall clock, count it. */
interface Clock {
  readonly now: Millis;
  /** Wall-clock time minus monotonic time. */
  readonly wallOffset: number;
}

/** What snapshots hold of a session, in the time of this process. */
interface FoundSession {
  readonly visitor: Visitor;
  /** Its page had gone, and may be back in a moment. */
  readonly away: boolean;
  readonly hashes: TokenHashes;
  readonly onAirSince: Millis | undefined;
  /** With the address that its contexts were used at last, where there are any. */
  readonly connection: ConnectionRecord | undefined;
  readonly contexts: PeerMediaRecord | undefined;
}

/** A session for the identity snapshot. */
export function writeSession(
  session: Session,
  { hashes, onAirSince }: { readonly hashes: TokenHashes; readonly onAirSince: Millis | undefined },
  { now, wallOffset }: Clock,
): SessionRecord {
  return {
    id: fromHex(session.id),
    tokenHash: hashes.current,
    nextTokenHash: hashes.next ?? new Uint8Array(0),
    role: session.role,
    capabilities: session.capabilities,
    lastSeenAt: Math.round((session.attached ? now : session.seenAt) + wallOffset),
    connection: session.captureConnection(),
    former: session.captureFormer(),
    onAirSince: onAirSince === undefined ? undefined : Math.max(0, onAirSince + wallOffset),
  };
}

/** The sessions of an earlier process with the contexts of each; `strays` are contexts whose session is not known any more. */
export function readSessions(
  { sessions }: IdentitySnapshot,
  media: MediaSnapshot | undefined,
  { now, wallOffset }: Clock,
): { readonly found: readonly FoundSession[]; readonly strays: readonly PeerMediaRecord[] } {
  const strays = new Map(media?.peers.map((record) => [idOf(record), record]));
  // The time without a server is nobody's absence: who was here when it ended is here now.
  const endedAt = Math.max(...sessions.map(({ lastSeenAt }) => lastSeenAt));
  const found = sessions.map((record): FoundSession => {
    const { role, capabilities, former, connection, onAirSince } = record;
    const id = toHex(record.id);
    const key = connection && connectionId(id, connection.number);
    const contexts = key === undefined ? undefined : strays.get(key);
    if (key !== undefined) strays.delete(key);
    const remoteAddress = contexts?.remoteAddress ?? connection?.remoteAddress;
    return {
      visitor: { id, role, capabilities, seenAt: now - (endedAt - record.lastSeenAt), former },
      away: former?.away === true,
      hashes: {
        current: record.tokenHash,
        next: record.nextTokenHash.length === 0 ? undefined : record.nextTokenHash,
      },
      // A clock that was set back must not have it begin later than now.
      onAirSince: onAirSince === undefined ? undefined : Math.min(now, onAirSince - wallOffset),
      connection: connection && { ...connection, remoteAddress },
      contexts,
    };
  });
  return { found, strays: [...strays.values()] };
}

import type { ServerFacts } from '../observability/facts.ts';
import type { Room } from '../room/room.ts';
import type { Session } from '../session/session.ts';
import type { Millis } from '../util/clock.ts';
import { sessionFacts } from './session-facts.ts';
import type { Tally } from './tally.ts';

/** What a process has found of the one before. */
export interface Found {
  readonly sessions: readonly string[];
  readonly contexts: number;
  readonly at: Millis;
  /** From the last snapshot of the process before to the first packet of this one, once there was one. */
  gapMs: Millis | undefined;
}

export type BroadcastFacts = Pick<
  ServerFacts,
  'sessions' | 'stale' | 'resume' | 'rekeys' | 'room' | 'viewers'
> & {
  readonly protectFailed: number;
  readonly mediaOut: number;
};

interface BroadcastState {
  readonly sessions: ReadonlyMap<string, Session>;
  readonly tally: Tally;
  readonly room: Room['stats'];
  readonly viewers: Room['viewerReports'];
  readonly onAir: boolean;
  readonly found: Found;
  readonly mediaOut: number;
  readonly limit: number;
}

/** The whole server without its sockets and files, in numbers. Costs a walk over the sessions, and nothing while nobody asks. */
export function broadcastFacts(state: BroadcastState, now: Millis): BroadcastFacts {
  const { sessions, tally, onAir, found, mediaOut, limit } = state;
  const { drops: _, ...room } = state.room;
  const all = [...sessions.values()];
  const stale = all.flatMap(({ connections }) => connections).filter(({ peer }) => peer.isStale).length;
  return {
    sessions: { ...sessionFacts(all, now), ...tally.sessions, limit },
    stale: { connections: stale, ageMs: stale === 0 ? 0 : now - found.at },
    resume: resumeFacts(found, sessions),
    rekeys: tally.rekeys,
    room: { ...room, onAir },
    viewers: state.viewers,
    protectFailed: tally.protectFailed,
    mediaOut,
  };
}

function resumeFacts(found: Found, sessions: ReadonlyMap<string, Session>): ServerFacts['resume'] {
  const left = found.sessions.flatMap((id) => sessions.get(id) ?? []);
  return {
    found: found.sessions.length,
    contexts: found.contexts,
    present: left.filter(({ attached }) => attached).length,
    rekeyed: left.filter(({ current }) => current?.keyedAt !== undefined).length,
    gone: found.sessions.length - left.length,
    ...(found.gapMs === undefined ? {} : { gapMs: found.gapMs }),
  };
}

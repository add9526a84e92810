import type { EpochClass, KeyAge, ServerFacts, SessionState } from '../observability/facts.ts';
import type { Session } from '../session/session.ts';
import type { Millis } from '../util/clock.ts';

type Group = ServerFacts['sessions']['groups'][number];

/** Where a visitor's keys stand. */
function stateOf(session: Session): SessionState {
  const { current, connections } = session;
  const offered = connections.some(({ pending }) => pending !== undefined);
  if (connections.some(({ peer }) => peer.isStale)) return 'resumed';
  if (current?.keyedAt !== undefined) return offered ? 'rekeying' : 'live';
  if (current === undefined) return 'connecting';
  return offered ? 'rekeying' : 'waiting';
}

/** As many visitors as there may be, in a few numbers. */
export function sessionFacts(
  sessions: Iterable<Session>,
  now: Millis,
): Pick<ServerFacts['sessions'], 'groups' | 'away' | 'byEpoch' | 'highestEpoch' | 'oldestKeyMs'> {
  const groups = new Map<string, Omit<Group, 'count'> & { count: number }>();
  const byEpoch: Record<EpochClass, number> = { none: 0, '0': 0, '1': 0, '2-7': 0, '8-63': 0, '64-over': 0 };
  let [away, highestEpoch, oldestKeyMs] = [0, 0, 0];
  for (const session of sessions) {
    const { role, current } = session;
    const age = current?.keyedAt === undefined ? undefined : now - current.keyedAt;
    const [state, keyAge] = [stateOf(session), keyAgeOf(age)];
    const key = `${role} ${state} ${keyAge}`;
    const group = groups.get(key) ?? { role, state, keyAge, count: 0 };
    group.count++;
    groups.set(key, group);
    byEpoch[epochClassOf(current?.epoch)]++;
    if (!session.attached) away++;
    highestEpoch = Math.max(highestEpoch, current?.epoch ?? 0);
    oldestKeyMs = Math.max(oldestKeyMs, age ?? 0);
  }
  return { groups: [...groups.values()], away, byEpoch, highestEpoch, oldestKeyMs };
}

function epochClassOf(epoch: number | undefined): EpochClass {
  if (epoch === undefined) return 'none';
  if (epoch === 0 || epoch === 1) return epoch === 0 ? '0' : '1';
  if (epoch < 8) return '2-7';
  return epoch < 64 ? '8-63' : '64-over';
}

function keyAgeOf(age: Millis | undefined): KeyAge {
  if (age === undefined) return 'none';
  return CLASSES.find(([, below]) => age < below)?.[0] ?? 'over-1d';
}

const CLASSES: readonly (readonly [KeyAge, Millis])[] = [
  ['under-1m', 60_000],
  ['under-10m', 600_000],
  ['under-1h', 3_600_000],
  ['under-1d', 86_400_000],
];

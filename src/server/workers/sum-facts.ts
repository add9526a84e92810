import type { ServerFacts, SnapshotFacts } from '../../observability/facts.ts';
import type { HistogramCounts } from '../../util/histogram.ts';
import type { HeardFacts } from './crew.ts';
import type { WorkerFacts } from './thread-messages.ts';

type Counts = Readonly<Record<string, number>>;

/** The server and its workers as one. */
export function sumFacts(lead: ServerFacts, workers: ReadonlyMap<number, HeardFacts>): ServerFacts {
  let all = lead;
  for (const facts of workers.values()) all = add(all, facts);
  return {
    ...all,
    workers: [...workers].map(([number, { udpPort, broadcast, silentMs }]) => ({
      number,
      udpPort,
      sessions: broadcast.sessions.groups.reduce((sum, { count }) => sum + count, 0),
      silentMs,
    })),
  };
}

function add(all: ServerFacts, worker: WorkerFacts): ServerFacts {
  const { broadcast, traffic, drops } = worker;
  const { mediaOut, protectFailed, stale, resume, rekeys, viewers, room } = broadcast;
  const gaps = [all.resume.gapMs, resume.gapMs].filter((gap) => gap !== undefined);
  return {
    ...all,
    sessions: addSessions(all.sessions, broadcast.sessions),
    stale: {
      connections: all.stale.connections + stale.connections,
      ageMs: Math.max(all.stale.ageMs, stale.ageMs),
    },
    resume: {
      found: all.resume.found + resume.found,
      contexts: all.resume.contexts + resume.contexts,
      present: all.resume.present + resume.present,
      rekeyed: all.resume.rekeyed + resume.rekeyed,
      gone: all.resume.gone + resume.gone,
      // Whoever has waited longest.
      ...(gaps.length === 0 ? {} : { gapMs: Math.max(...gaps) }),
    },
    rekeys: {
      started: addCounts(all.rekeys.started, rekeys.started),
      durationMs: addEach(all.rekeys.durationMs, rekeys.durationMs),
      roundTrips: addEach(all.rekeys.roundTrips, rekeys.roundTrips),
      keysDestroyed: addCounts(all.rekeys.keysDestroyed, rekeys.keysDestroyed),
      staleKeysMs: addHistograms(all.rekeys.staleKeysMs, rekeys.staleKeysMs),
      handshakeFailures: addCounts(all.rekeys.handshakeFailures, rekeys.handshakeFailures),
    },
    traffic: {
      datagramsIn: all.traffic.datagramsIn + traffic.datagramsIn,
      bytesIn: all.traffic.bytesIn + traffic.bytesIn,
      datagramsOut: all.traffic.datagramsOut + traffic.datagramsOut,
      bytesOut: all.traffic.bytesOut + traffic.bytesOut,
      mediaOut: all.traffic.mediaOut + mediaOut,
      protectFailed: all.traffic.protectFailed + protectFailed,
    },
    // What comes from the broadcaster comes once; what viewers ask for is each worker's own.
    room: {
      ...all.room,
      retransmitted: all.room.retransmitted + room.retransmitted,
      resent: all.room.resent + room.resent,
      historyBytes: all.room.historyBytes + room.historyBytes,
    },
    viewers: {
      lossRatio: addHistograms(all.viewers.lossRatio, viewers.lossRatio),
      roundTripMs: addHistograms(all.viewers.roundTripMs, viewers.roundTripMs),
    },
    drops: addCounts(all.drops, drops),
    snapshots: {
      identity: addSnapshots(all.snapshots.identity, worker.identity),
      ...(all.snapshots.media === undefined || worker.media === undefined
        ? {}
        : { media: addSnapshots(all.snapshots.media, worker.media) }),
    },
    eventLoopDelayMs: addHistograms(all.eventLoopDelayMs, worker.eventLoopDelayMs),
  };
}

function addSessions(
  all: ServerFacts['sessions'],
  more: WorkerFacts['broadcast']['sessions'],
): ServerFacts['sessions'] {
  const groups = new Map(all.groups.map((group) => [`${group.role} ${group.state} ${group.keyAge}`, group]));
  for (const group of more.groups) {
    const key = `${group.role} ${group.state} ${group.keyAge}`;
    groups.set(key, { ...group, count: group.count + (groups.get(key)?.count ?? 0) });
  }
  return {
    groups: [...groups.values()],
    limit: all.limit,
    away: all.away + more.away,
    byEpoch: addCounts(all.byEpoch, more.byEpoch) as ServerFacts['sessions']['byEpoch'],
    highestEpoch: Math.max(all.highestEpoch, more.highestEpoch),
    oldestKeyMs: Math.max(all.oldestKeyMs, more.oldestKeyMs),
    opened: addCounts(all.opened, more.opened),
    resumed: addCounts(all.resumed, more.resumed),
    closed: addCounts(all.closed, more.closed),
    tokensRefused: all.tokensRefused + more.tokensRefused,
    consentLost: all.consentLost + more.consentLost,
  };
}

/** The older of the two is how old they are. */
function addSnapshots(one: SnapshotFacts, other: SnapshotFacts): SnapshotFacts {
  const times = [one.writtenAt, other.writtenAt].filter((time) => time !== undefined);
  return {
    ...(times.length === 0 ? {} : { writtenAt: Math.min(...times) }),
    bytes: one.bytes + other.bytes,
    writeMs: addHistograms(one.writeMs, other.writeMs),
    failures: one.failures + other.failures,
  };
}

function addCounts(one: Counts, other: Counts): Record<string, number> {
  const sum: Record<string, number> = { ...one };
  for (const [name, count] of Object.entries(other)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}

const addEach = (
  one: Readonly<Record<string, HistogramCounts>>,
  other: Readonly<Record<string, HistogramCounts>>,
): Record<string, HistogramCounts> =>
  Object.fromEntries(
    Object.entries(one).map(([name, counts]) => [
      name,
      other[name] === undefined ? counts : addHistograms(counts, other[name]),
    ]),
  );

/** Both have the same bounds. */
const addHistograms = (one: HistogramCounts, other: HistogramCounts): HistogramCounts => ({
  bounds: one.bounds,
  counts: one.counts.map((count, i) => count + (other.counts[i] ?? 0)),
  sum: one.sum + other.sum,
});

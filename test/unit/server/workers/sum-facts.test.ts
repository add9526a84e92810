import { describe, expect, it } from 'vitest';
import { serverFacts } from '../../../../src/observability/facts.ts';
import type { HeardFacts } from '../../../../src/server/workers/crew.ts';
import { sumFacts } from '../../../../src/server/workers/sum-facts.ts';
import { serverFactsOf } from '../../../support/server-facts.ts';

/** A worker in which everything is as in the server itself. */
function workerLike(facts = serverFactsOf()): HeardFacts {
  const { sessions, stale, resume, rekeys, room, viewers, traffic, snapshots } = facts;
  const { mediaOut, protectFailed, ...rest } = traffic;
  return {
    udpPort: 8_081,
    broadcast: { sessions, stale, resume, rekeys, room, viewers, mediaOut, protectFailed },
    drops: facts.drops,
    traffic: rest,
    identity: snapshots.identity,
    media: snapshots.media,
    eventLoopDelayMs: facts.eventLoopDelayMs,
    silentMs: 3,
  };
}

describe('the facts of a server with workers', () => {
  const lead = serverFactsOf();
  const sum = sumFacts(lead, new Map([[1, workerLike()]]));

  it('are facts', () => {
    expect(serverFacts.parse(sum)).toEqual(sum);
  });

  it('are the sums of what each of them counts', () => {
    expect(sum.sessions.groups.map(({ count }) => count)).toEqual(
      lead.sessions.groups.map(({ count }) => 2 * count),
    );
    expect(sum.sessions.opened).toEqual({ broadcaster: 2, viewer: 800 });
    expect(sum.sessions.away).toBe(2 * lead.sessions.away);
    expect(sum.traffic.mediaOut).toBe(2 * lead.traffic.mediaOut);
    expect(sum.traffic.bytesOut).toBe(2 * lead.traffic.bytesOut);
    expect(sum.rekeys.staleKeysMs).toEqual({
      bounds: [10, 100],
      counts: lead.rekeys.staleKeysMs.counts.map((count) => 2 * count),
      sum: 2 * lead.rekeys.staleKeysMs.sum,
    });
    expect(sum.snapshots.identity.bytes).toBe(2 * lead.snapshots.identity.bytes);
    for (const [name, count] of Object.entries(sum.drops)) expect(count).toBe(2 * lead.drops[name]!);
  });

  it('do not count twice what comes from the broadcaster, nor what there is once', () => {
    for (const name of ['packetsIn', 'packetsOut', 'lost', 'nacked', 'keyframeRequests'] as const)
      expect(sum.room[name]).toBe(lead.room[name]);
    expect(sum.room.retransmitted).toBe(2 * lead.room.retransmitted);
    expect(sum.sessions.limit).toBe(lead.sessions.limit);
    expect(sum.sessions.highestEpoch).toBe(lead.sessions.highestEpoch);
    expect(sum.pages).toBe(lead.pages);
  });

  it('are as old as the oldest of their snapshots, and tell the longest gap', () => {
    const older = workerLike(serverFactsOf({ resume: { ...lead.resume, gapMs: 900 } }));
    const late = { ...older, identity: { ...older.identity, writtenAt: 5 } };
    const both = sumFacts(lead, new Map([[1, late]]));
    expect(both.snapshots.identity.writtenAt).toBe(5);
    expect(both.resume.gapMs).toBe(Math.max(900, lead.resume.gapMs ?? 0));
  });

  it('say how many there are, where, and with how many sessions', () => {
    expect(sum.workers).toEqual([{ number: 1, udpPort: 8_081, sessions: 313, silentMs: 3 }]);
  });
});

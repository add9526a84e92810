import type { ServerFacts } from '../../src/observability/facts.ts';

const NOW = 1_800_000_000_000;
const DAY = 86_400_000;

/** A server that has been on air for a while: every number is there, and none is like another. */
export function serverFactsOf(changes: Partial<ServerFacts> = {}): ServerFacts {
  const histogram = { bounds: [10, 100], counts: [7, 2, 1], sum: 500 };
  const ways = { first: histogram, 'in-place': histogram, replacement: histogram };
  return {
    version: '0.1.0',
    node: 'v20.20.0',
    pid: 4_711,
    now: NOW,
    startedAt: NOW - 3 * 3_600_000,
    ready: true,
    sessions: {
      groups: [
        { role: 'broadcaster', state: 'live', keyAge: 'under-1h', count: 1 },
        { role: 'viewer', state: 'live', keyAge: 'under-10m', count: 310 },
        { role: 'viewer', state: 'rekeying', keyAge: 'under-1m', count: 2 },
      ],
      limit: 2_000,
      away: 3,
      byEpoch: { none: 0, '0': 290, '1': 20, '2-7': 3, '8-63': 0, '64-over': 0 },
      highestEpoch: 7,
      oldestKeyMs: 720_000,
      opened: { broadcaster: 1, viewer: 400 },
      resumed: { viewer: 300 },
      closed: { viewer: 88 },
      tokensRefused: 4,
      consentLost: 5,
    },
    stale: { connections: 0, ageMs: 0 },
    resume: { found: 300, contexts: 299, present: 280, rekeyed: 281, gone: 19, gapMs: 340 },
    rekeys: {
      started: { 'resume in-place': 290, 'order replacement': 20 },
      durationMs: ways,
      roundTrips: ways,
      keysDestroyed: { flight: 280, answer: 12, closed: 88 },
      staleKeysMs: histogram,
      handshakeFailures: { timeout: 6 },
    },
    traffic: {
      datagramsIn: 90_000,
      bytesIn: 70_000_000,
      datagramsOut: 25_000_000,
      bytesOut: 24_000_000_000,
      mediaOut: 24_000_000,
      protectFailed: 0,
    },
    room: {
      onAir: true,
      packetsIn: 80_000,
      packetsOut: 79_900,
      lost: 120,
      unrepaired: 20,
      recovered: 100,
      retransmitted: 900,
      resent: 1_100,
      keyframeRequests: 30,
      nacked: 130,
      historyBytes: 1_200_000,
    },
    viewers: {
      lossRatio: { bounds: [0, 0.05], counts: [900, 80, 20], sum: 4 },
      roundTripMs: { bounds: [50, 500], counts: [700, 290, 10], sum: 60_000 },
    },
    drops: { 'srtp: replayed': 40, 'server: unknown peer': 8, 'http: unknown-host': 1, 'room: duplicate': 2 },
    pages: 309,
    snapshots: {
      identity: { writtenAt: NOW - 4_000, bytes: 120_000, writeMs: histogram, failures: 0 },
      media: { writtenAt: NOW - 100, bytes: 84_000, writeMs: histogram, failures: 0 },
    },
    key: { id: '9f00c1d2e3a4b5c6', createdAt: NOW - 12 * DAY, former: 0, resealing: false },
    certificate: { createdAt: NOW - 30 * DAY },
    eventLoopDelayMs: { bounds: [1, 2.5, 10], counts: [980, 15, 5, 0], sum: 700 },
    process: {
      cpuSeconds: 12.5,
      residentBytes: 150_000_000,
      heapBytes: 40_000_000,
      openFiles: 340,
      maxFiles: 65_536,
    },
    ...changes,
  };
}

import * as z from 'zod/mini';
import type { HistogramCounts } from '../util/histogram.ts';

/** Where a visitor's keys stand. */
const SESSION_STATES = ['connecting', 'live', 'rekeying', 'resumed', 'waiting'] as const;
export type SessionState = (typeof SESSION_STATES)[number];

/** How old the keys in use are: in classes, so that a thousand sessions are a few numbers. */
const KEY_AGES = ['none', 'under-1m', 'under-10m', 'under-1h', 'under-1d', 'over-1d'] as const;
export type KeyAge = (typeof KEY_AGES)[number];

/** How often a session's keys have changed: in classes, as it may be any number. `none`: it has no connection. */
const EPOCH_CLASSES = ['none', '0', '1', '2-7', '8-63', '64-over'] as const;
export type EpochClass = (typeof EPOCH_CLASSES)[number];

export const SNAPSHOT_KINDS = ['identity', 'media'] as const;
export type SnapshotKind = (typeof SNAPSHOT_KINDS)[number];

const histogram: z.ZodMiniType<HistogramCounts> = z.object({
  bounds: z.array(z.number()),
  counts: z.array(z.number()),
  sum: z.number(),
});
const counts = z.record(z.string(), z.number());
/** Shown to the operator: no more than text. */
const text = z.string().check(z.regex(/^\P{Cc}*$/u));

const session = z.object({
  role: z.enum(['broadcaster', 'viewer']),
  state: z.enum(SESSION_STATES),
  keyAge: z.enum(KEY_AGES),
  count: z.number(),
});

const snapshot = z.object({
  /** Wall-clock time of the last write. */
  writtenAt: z.optional(z.number()),
  bytes: z.number(),
  writeMs: histogram,
  failures: z.number(),
});

/** What is true of a running server at one moment: plain data, nothing secret. Times are milliseconds, of the wall clock since 1970. */
export const serverFacts = z.object({
  version: text,
  node: text,
  pid: z.number(),
  now: z.number(),
  startedAt: z.number(),
  ready: z.boolean(),
  /** Visitors who are there go on, and nobody new is let in. */
  drain: z.optional(z.object({ sessions: z.number(), left: z.number(), endsAt: z.optional(z.number()) })),
  sessions: z.object({
    /** Each combination that there is. */
    groups: z.array(session),
    /** As many as there may be. */
    limit: z.number(),
    /** Those whose page is not connected; their media may go on. */
    away: z.number(),
    byEpoch: z.record(z.enum(EPOCH_CLASSES), z.number()),
    highestEpoch: z.number(),
    oldestKeyMs: z.number(),
    opened: counts,
    resumed: counts,
    closed: counts,
    tokensRefused: z.number(),
    consentLost: z.number(),
  }),
  /** Connections on keys of an earlier process, and for how long. */
  stale: z.object({ connections: z.number(), ageMs: z.number() }),
  /** What became of the sessions that this process has found. */
  resume: z.object({
    found: z.number(),
    contexts: z.number(),
    present: z.number(),
    rekeyed: z.number(),
    gone: z.number(),
    /** From the last snapshot of the earlier process to the first packet of this one. */
    gapMs: z.optional(z.number()),
  }),
  rekeys: z.object({
    /** By `<reason> <way>`. */
    started: counts,
    /** From the offer to new keys, by way; first connections too. */
    durationMs: z.record(z.string(), histogram),
    /** The same in round trips of the connection. */
    roundTrips: z.record(z.string(), histogram),
    /** Sets of keys that were wiped, by what ended them. */
    keysDestroyed: counts,
    /** From the offer to the end of the keys before. */
    staleKeysMs: histogram,
    handshakeFailures: counts,
  }),
  traffic: z.object({
    datagramsIn: z.number(),
    bytesIn: z.number(),
    datagramsOut: z.number(),
    bytesOut: z.number(),
    /** Media packets that viewers were sent, each counted once for each of them. */
    mediaOut: z.number(),
    protectFailed: z.number(),
  }),
  room: z.object({
    onAir: z.boolean(),
    packetsIn: z.number(),
    packetsOut: z.number(),
    lost: z.number(),
    unrepaired: z.number(),
    recovered: z.number(),
    retransmitted: z.number(),
    resent: z.number(),
    keyframeRequests: z.number(),
    nacked: z.number(),
    historyBytes: z.number(),
  }),
  /** What viewers' receiver reports say, each report counted once. */
  viewers: z.object({ lossRatio: histogram, roundTripMs: histogram }),
  /** By `<engine>: <reason>`. */
  drops: counts,
  pages: z.number(),
  snapshots: z.object({ identity: snapshot, media: z.optional(snapshot) }),
  key: z.object({
    id: text,
    createdAt: z.optional(z.number()),
    /** Keys that were primary once and are not destroyed: a rotation that is under way, or was cut off. */
    former: z.number(),
    resealing: z.boolean(),
  }),
  certificate: z.object({ createdAt: z.number() }),
  eventLoopDelayMs: histogram,
  /** Threads that have viewers; all numbers above are of all of them together. */
  workers: z.optional(
    z.array(
      z.object({
        number: z.number(),
        udpPort: z.number(),
        sessions: z.number(),
        /** For how long it has owed a sign of life. */
        silentMs: z.number(),
      }),
    ),
  ),
  process: z.object({
    cpuSeconds: z.number(),
    residentBytes: z.number(),
    heapBytes: z.number(),
    openFiles: z.optional(z.number()),
    maxFiles: z.optional(z.number()),
  }),
});

export type ServerFacts = z.infer<typeof serverFacts>;
export type SnapshotFacts = z.infer<typeof snapshot>;
export type ProcessFacts = ServerFacts['process'];

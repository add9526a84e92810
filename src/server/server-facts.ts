import { readFileSync } from 'node:fs';
import type { Keyring } from '../keyring/keyring.ts';
import type { EventLoopDelay } from '../observability/event-loop.ts';
import type { ServerFacts } from '../observability/facts.ts';
import { processFacts } from '../observability/process-facts.ts';
import type { SnapshotWrites } from '../observability/snapshot-writes.ts';
import type { UdpTraffic } from '../transport/socket.ts';
import { type WallMillis, wallNow } from '../util/clock.ts';
import type { Counters } from '../util/counters.ts';
import type { BroadcastFacts } from './broadcast-facts.ts';

/** Where the package says its version, seen from the built program in `dist/`. */
const PACKAGE = new URL('../package.json', import.meta.url);

export interface ServerState {
  readonly ready: boolean;
  readonly drain: ServerFacts['drain'];
  readonly broadcast: BroadcastFacts;
  readonly drops: Counters<string>;
  readonly traffic: UdpTraffic;
  readonly pages: number;
  readonly writes: SnapshotWrites;
  readonly keepsMedia: boolean;
  readonly keys: Keyring;
  readonly resealing: boolean;
  readonly certificateCreatedAt: WallMillis;
  readonly eventLoop: EventLoopDelay;
}

/** The whole server in numbers. */
export function serverFacts(state: ServerState): ServerFacts {
  const { broadcast, writes, traffic } = state;
  const { protectFailed, mediaOut, ...rest } = broadcast;
  return {
    version: ownVersion(),
    node: process.version,
    pid: process.pid,
    now: wallNow(),
    startedAt: performance.timeOrigin,
    ready: state.ready,
    ...(state.drain === undefined ? {} : { drain: state.drain }),
    ...rest,
    traffic: { ...traffic, mediaOut, protectFailed },
    drops: state.drops.toJSON(),
    pages: state.pages,
    snapshots: {
      identity: writes.capture('identity'),
      ...(state.keepsMedia ? { media: writes.capture('media') } : {}),
    },
    key: keyFacts(state.keys, state.resealing),
    certificate: { createdAt: state.certificateCreatedAt },
    eventLoopDelayMs: state.eventLoop.capture(),
    process: processFacts(),
  };
}

/** The snapshot key, and how many before it can open snapshots still. */
export function keyFacts(keys: Keyring, resealing: boolean): ServerFacts['key'] {
  const { id } = keys.primary();
  const list = keys.list();
  const createdAt = list.find((key) => key.id === id)?.createdAt;
  return {
    id,
    ...(createdAt === undefined ? {} : { createdAt: Date.parse(createdAt) }),
    // By its secret: what the entries say is read again with the next write only.
    former: list.filter(({ state, promoted, secretPresent }) => {
      return promoted && secretPresent && (state === 'enabled' || state === 'disabled');
    }).length,
    resealing,
  };
}

let versionRead: string | undefined;

function ownVersion(): string {
  versionRead ??= (JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string }).version;
  return versionRead;
}

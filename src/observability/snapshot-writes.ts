import { type WallMillis, wallNow } from '../util/clock.ts';
import { Counters } from '../util/counters.ts';
import { Histogram } from '../util/histogram.ts';
import type { SnapshotFacts, SnapshotKind } from './facts.ts';

const WRITE_MS = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500];

/** How the writing of snapshots goes. */
export class SnapshotWrites {
  readonly #now: () => WallMillis;
  readonly #last = new Map<SnapshotKind, { readonly writtenAt: WallMillis; readonly bytes: number }>();
  readonly #durations = { identity: new Histogram(WRITE_MS), media: new Histogram(WRITE_MS) };
  readonly #failures = new Counters<SnapshotKind>();

  constructor(now: () => WallMillis = wallNow) {
    this.#now = now;
  }

  written(kind: SnapshotKind, bytes: number, ms: number): void {
    this.#last.set(kind, { writtenAt: this.#now(), bytes });
    this.#durations[kind].observe(ms);
  }

  failed(kind: SnapshotKind): void {
    this.#failures.add(kind);
  }

  capture(kind: SnapshotKind): SnapshotFacts {
    const last = this.#last.get(kind);
    return {
      ...(last === undefined ? {} : { writtenAt: last.writtenAt }),
      bytes: last?.bytes ?? 0,
      writeMs: this.#durations[kind].capture(),
      failures: this.#failures.get(kind),
    };
  }
}

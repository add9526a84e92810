import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IdentitySnapshot } from '../../src/snapshot/schema.ts';
import { killedAt } from '../support/faulty-file-system.ts';
import { seededRandom } from '../support/seeded-rng.ts';
import { revealed, sampleIdentity } from '../support/snapshots.ts';
import { type StoreBench, storeBench } from '../support/stores.ts';

let bench: StoreBench;

beforeEach(async () => {
  bench = await storeBench();
});

afterEach(() => bench.dispose());

describe('a server that is killed while it writes its identity', () => {
  it('at any step, loses nothing: the next one reads the former snapshot or the new one', async () => {
    const former = await written(1);
    const outcomes = new Set<string>();
    for (let step = 1; ; step++) {
      await (await bench.start()).writeIdentity(former);
      const newer = sampleIdentity(seededRandom(1000 + step), 2);
      const killed = await writeKilledAt(step, newer);
      const read = revealed(await (await bench.start()).readIdentity());
      const isFormer = same(read, former);
      expect(isFormer || same(read, newer)).toBe(true);
      outcomes.add(isFormer ? 'former' : 'newer');
      expect(leftovers()).toEqual([]);
      if (!killed) break;
    }
    expect(outcomes).toEqual(new Set(['former', 'newer']));
    expect(bench.events.filter(({ level }) => level === 'warn')).toEqual([]);
  });

  it('at any step, time after time, still loses nothing', async () => {
    let last = await written(1);
    for (let step = 1; step <= 12; step++) {
      for (let crash = 0; crash < 3; crash++) {
        const newer = sampleIdentity(seededRandom(step * 10 + crash), 1);
        await writeKilledAt(step, newer);
        const read = await (await bench.start()).readIdentity();
        expect(same(revealed(read), last) || same(revealed(read), newer)).toBe(true);
        last = read!;
      }
    }
  });

  it('at any step on its first run, leaves nothing or the whole snapshot', async () => {
    for (let step = 1; ; step++) {
      bench.dispose();
      bench = await storeBench();
      const first = sampleIdentity(seededRandom(step));
      const killed = await writeKilledAt(step, first);
      const read = await (await bench.start()).readIdentity();
      expect(read === undefined || same(revealed(read), first)).toBe(true);
      expect(leftovers()).toEqual([]);
      if (killed) continue;
      expect(read).toBeDefined();
      break;
    }
  });

  it('at any step of replacing a damaged file, keeps what can be read', async () => {
    const former = await written(1);
    for (let step = 1; ; step++) {
      // Current and previous are the same snapshot now; then the current one is cut.
      await (await bench.start()).writeIdentity(former);
      await (await bench.start()).writeIdentity(former);
      writeFileSync(join(bench.stateDir, 'identity.sealed'), 'RKCS');
      const killed = await writeKilledAt(step, former, true);
      expect(same(revealed(await (await bench.start()).readIdentity()), former)).toBe(true);
      if (!killed) break;
    }
  });
});

async function written(seed: number): Promise<IdentitySnapshot> {
  const snapshot = sampleIdentity(seededRandom(seed), 2);
  await (await bench.start()).writeIdentity(snapshot);
  return snapshot;
}

/** Whether the process was killed before it had written all. What it would have reported after that nobody has heard. */
async function writeKilledAt(step: number, snapshot: IdentitySnapshot, readFirst = false): Promise<boolean> {
  const fs = killedAt(step);
  const heard = bench.events.length;
  try {
    const store = await bench.start(fs);
    if (readFirst) await store.readIdentity();
    await store.writeIdentity(snapshot);
  } catch {
    expect(fs.steps).toBe(step);
  }
  const killed = fs.steps === step;
  if (killed) bench.events.length = heard;
  return killed;
}

const same = (revealedSnapshot: unknown, snapshot: IdentitySnapshot): boolean =>
  JSON.stringify(revealedSnapshot) === JSON.stringify(revealed(snapshot));

const leftovers = (): readonly string[] =>
  readdirSync(bench.stateDir).filter((name) => name.endsWith('.tmp'));

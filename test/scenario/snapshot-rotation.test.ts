import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runKeys } from '../../src/cli/keys.ts';
import { parseHeader } from '../../src/snapshot/header.ts';
import { type FileSystem, nodeFileSystem } from '../../src/util/file-system.ts';
import { adminServer } from '../support/admin-server.ts';
import { inRam, settingsOf } from '../support/command.ts';
import { Killed, killedAt } from '../support/faulty-file-system.ts';
import { seededRandom } from '../support/seeded-rng.ts';
import { revealed, sampleIdentity, sampleMedia } from '../support/snapshots.ts';
import { type StoreBench, stoppedBench, storeBench } from '../support/stores.ts';

const IDENTITY = sampleIdentity(seededRandom(1));

let bench: StoreBench;

beforeEach(async () => {
  bench = await storeBench();
});

afterEach(() => bench.dispose());

describe('a rotation that is killed', () => {
  it('at any step with the server stopped, loses nothing, and is finished by the next one', {
    timeout: 300_000,
  }, async () => {
    for (let step = 1; ; step++) {
      await freshBench();
      const former = (await bench.keyring()).primary().id;
      const killed = await rotate(killedAt(step));
      await expectStartable();
      expect(await rotate()).toBe(false);
      await expectRotated(former);
      if (!killed) break;
      expect(step).toBeLessThan(100);
    }
  });

  it('at any step with the server running, loses nothing, and is finished by the next one', {
    timeout: 300_000,
  }, async () => {
    for (let step = 1; ; step++) {
      await freshBench();
      const former = (await bench.keyring()).primary().id;
      const server = await startServer();
      const killed = await rotate(killedAt(step));
      await expectStartable();
      expect(await rotate()).toBe(false);
      await server.close();
      await expectRotated(former);
      if (!killed) break;
      expect(step).toBeLessThan(100);
    }
  });

  it('because the server dies while it seals anew, keeps both keys and is finished later', {
    timeout: 300_000,
  }, async () => {
    for (let step = 1; ; step++) {
      await freshBench();
      const former = (await bench.keyring()).primary().id;
      // Opening the store takes three steps of its own.
      const server = await startServer(killedAt(3 + step));
      const failed = await rotate();
      await server.close();
      if (failed) {
        (await bench.keyring()).secret(former).dispose();
        await expectStartable();
        expect(await rotate()).toBe(false);
      }
      await expectRotated(former);
      if (!failed) break;
      expect(step).toBeLessThan(30);
    }
  });
});

async function freshBench(): Promise<void> {
  bench.dispose();
  bench = await stoppedBench(IDENTITY);
}

async function startServer(fs?: FileSystem): Promise<{ close(): Promise<void> }> {
  const store = await bench.start(fs);
  return adminServer(join(bench.runtimeDir, 'admin.sock'), async ({ command }) => {
    try {
      if (command === 'reseal')
        await store.reseal(IDENTITY, sampleMedia(seededRandom(2), 2, Date.now() - 10_000));
      return { ok: true };
    } catch {
      return undefined;
    }
  });
}

/** Whether it was killed, or gave up. */
async function rotate(fs: FileSystem = nodeFileSystem): Promise<boolean> {
  const io = { stdout: { write: () => {} }, stderr: { write: () => {} } };
  try {
    // The kill stays in force for every step after it.
    return (await runKeys(['rotate'], settingsOf(bench), io, inRam(fs))) !== 0;
  } catch (cause) {
    if (cause instanceof Killed) return true;
    throw cause;
  }
}

/** A server that starts now finds what was written last. Does not touch the media, which would be taken away. */
async function expectStartable(): Promise<void> {
  expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(IDENTITY));
}

async function expectRotated(former: string): Promise<void> {
  const keyring = await bench.keyring();
  const states = keyring.list().map(({ state }) => state);
  expect(states.filter((state) => state === 'primary')).toHaveLength(1);
  expect(states).not.toContain('enabled');
  expect(keyring.list().find(({ id }) => id === former)).toMatchObject({
    state: 'destroyed',
    secretPresent: false,
  });
  const sealedTo = [bench.stateDir, bench.runtimeDir].flatMap((directory) =>
    readdirSync(directory)
      .filter((name) => name.endsWith('.sealed'))
      .map((name) => parseHeader(readFileSync(join(directory, name))))
      .map((parsed) => (parsed.outcome === 'header' ? parsed.header.keyId : parsed.outcome)),
  );
  expect(sealedTo.length).toBeGreaterThanOrEqual(2);
  expect(new Set(sealedTo)).toEqual(new Set([keyring.primary().id]));
  await expectStartable();
  const taken = await (await bench.start()).takeMedia();
  expect([undefined, 2]).toContain(taken?.peers.length);
}

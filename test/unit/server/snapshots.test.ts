import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { readConfig } from '../../../src/config.ts';
import { openSnapshots } from '../../../src/server/snapshots.ts';
import { memoryStore } from '../../support/memory-store.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { sampleIdentity, sampleMedia, temporaryDirectories } from '../../support/snapshots.ts';

const log = pino({ level: 'silent' });

function setUp() {
  const directories = temporaryDirectories();
  onTestFinished(() => directories.dispose());
  const config = readConfig({
    STATE_DIR: directories.stateDir,
    KEYS_DIR: directories.keysDir,
    RUNTIME_DIR: directories.runtimeDir,
  });
  return { config, directories };
}

it('lets its owner write until it is closed, and put nothing over what the next process writes', async () => {
  const { config, directories } = setUp();
  const rng = seededRandom(1);
  const first = await openSnapshots(config, log);
  await first.store.writeIdentity(sampleIdentity(rng, 1));
  await first.close();
  const next = await openSnapshots(config, log);
  expect(next.identity?.sessions).toHaveLength(1);
  expect(() => first.store.writeMedia(sampleMedia(rng, 1, Date.now()))).toThrow('let go');
  await expect(first.store.writeIdentity(sampleIdentity(rng, 2))).rejects.toThrow('let go');
  expect(existsSync(join(directories.runtimeDir, 'media.sealed'))).toBe(false);
  await next.close();
  const last = await openSnapshots(config, log);
  expect(last.identity?.sessions).toHaveLength(1);
  await last.close();
});

it('is closed also where a store of its owner’s throws then', async () => {
  const { config } = setUp();
  const { store } = memoryStore({
    close: () => {
      throw new Error('it broke');
    },
  });
  await expect((await openSnapshots(config, log, { store })).close()).rejects.toThrow('it broke');
  await (await openSnapshots(config, log)).close();
});

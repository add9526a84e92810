import { join } from 'node:path';
import { Keyring } from '../../src/keyring/keyring.ts';
import { FileSnapshotStore } from '../../src/snapshot/file-store.ts';
import type { IdentitySnapshot } from '../../src/snapshot/schema.ts';
import type { StoreEvent } from '../../src/snapshot/store.ts';
import { type FileSystem, nodeFileSystem } from '../../src/util/file-system.ts';
import { loadSodium } from '../../src/util/sodium.ts';
import { seededRandom } from './seeded-rng.ts';
import { SAMPLE_TIME, sampleMedia, temporaryDirectories } from './snapshots.ts';

/** The files of one server, which processes come and go on. */
export interface StoreBench {
  readonly root: string;
  readonly stateDir: string;
  readonly runtimeDir: string;
  readonly keysDir: string;
  /** Everything that was reported since the start. */
  readonly events: StoreEvent[];
  /** Wall-clock time that the stores see. */
  now: number;
  /** A fresh process: reads the keyring and opens the store. */
  start(fs?: FileSystem, folder?: string): Promise<FileSnapshotStore>;
  keyring(fs?: FileSystem): Promise<Keyring>;
  dispose(): void;
}

export async function storeBench(): Promise<StoreBench> {
  await loadSodium();
  const directories = temporaryDirectories();
  const rng = seededRandom(99);
  const bench: StoreBench = {
    ...directories,
    events: [],
    now: SAMPLE_TIME,
    keyring: (fs = nodeFileSystem) => Keyring.open({ directory: directories.keysDir, fs, rng }),
    start: async (fs = nodeFileSystem, folder = '') => {
      const runtimeDir = join(directories.runtimeDir, folder);
      nodeFileSystem.makeDirectory(runtimeDir, 0o700);
      return new FileSnapshotStore({
        stateDir: join(directories.stateDir, folder),
        runtimeDir,
        ...(folder === '' ? {} : { ownRuntimeDir: directories.runtimeDir }),
        keys: await bench.keyring(),
        report: (event) => bench.events.push(event),
        fs,
        now: () => bench.now,
      });
    },
  };
  return bench;
}

/** What a server has left that wrote a few times and was stopped ten seconds ago. */
export async function stoppedBench(identity: IdentitySnapshot): Promise<StoreBench> {
  const bench = await storeBench();
  bench.now = Date.now();
  const store = await bench.start();
  await store.writeIdentity(identity);
  await store.writeIdentity(identity);
  store.writeMedia(sampleMedia(seededRandom(2), 2, bench.now - 10_000));
  return bench;
}

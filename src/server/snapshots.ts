import type { Config } from '../config.ts';
import { type Logger, undisturbed } from '../log.ts';
import type { IdentitySnapshot, MediaSnapshot } from '../snapshot/schema.ts';
import type { SnapshotStore } from '../snapshot/store.ts';
import { lockStorage, openStorage, type StorageOptions, takeSnapshots } from './storage.ts';

/** What the process before has left, and where this one writes. For the one who called {@link openSnapshots}. */
export interface Snapshots {
  /** `undefined` on the first run. */
  readonly identity: IdentitySnapshot | undefined;
  /** The SRTP contexts, taken from the store: nobody gets them again. `undefined` where there are none, or none that may be used. */
  readonly media: MediaSnapshot | undefined;
  readonly store: SnapshotStore;
  /** SRTP contexts may be written: without RAM-backed storage, and with `RESUME=strict`, they go nowhere. */
  readonly keepsMedia: boolean;
  /** Lets another process have the directories, when what is to be audited is on the disk. What is written later is refused. */
  close(): Promise<void>;
}

/**
 * Boots the storage of a server that stands on {@link Peer}: keys, lock, what was left. It goes by `stateDir`, `keysDir`, `runtimeDir`, `resume` and the
 * key settings of `config` and by nothing else of it. Afterwards the snapshot key is out of memory: what is written cannot be read back.
 *
 * Bind the UDP port before: it keeps a second process from taking the contexts of one that still uses them. Throws `KEY_*`, `STATE_IN_USE`,
 * `STATE_UNWRITABLE` or `SEALED_FILE_INVALID`; nothing has been lost then.
 */
export async function openSnapshots(
  config: Config,
  log: Logger,
  options: StorageOptions = {},
): Promise<Snapshots> {
  const told = undisturbed(log);
  const storage = await openStorage(config, told, options);
  const { store, keepsMedia, audit } = storage;
  const lock = await lockStorage(config, storage, told);
  try {
    const left = await takeSnapshots(storage);
    const close = async (): Promise<void> => {
      try {
        await audit.flush();
        // A timer of this process may still write: that must not lie over what the next one writes.
        store.close?.();
      } finally {
        lock.release();
      }
    };
    return { ...left, store, keepsMedia, close };
  } catch (error) {
    lock.release();
    throw error;
  }
}

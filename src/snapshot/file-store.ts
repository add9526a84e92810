import { join } from 'node:path';
import { messageOf, RekeycastError } from '../errors.ts';
import type { SnapshotKeys } from '../keyring/keyring.ts';
import { monotonicNow, type WallMillis, wallNow } from '../util/clock.ts';
import { type FileSystem, nodeFileSystem } from '../util/file-system.ts';
import { encodeIdentity } from './codec/identity.ts';
import { IdentityFiles, storeClosed } from './identity-file.ts';
import { MediaFile } from './media-file.ts';
import type { IdentitySnapshot, MediaSnapshot } from './schema.ts';
import { sealSnapshot } from './seal.ts';
import type { Report, SnapshotStore, Written } from './store.ts';

const STATE_MODE = 0o700;

export interface FileStoreOptions {
  /** Durable; made where it is missing. */
  readonly stateDir: string;
  /** RAM-backed, as `chooseRuntimeDir` has found it; `undefined`: media contexts are not kept. */
  readonly runtimeDir: string | undefined;
  /** RUNTIME_DIR itself, where both are a worker's folders. */
  readonly ownRuntimeDir?: string | undefined;
  readonly keys: SnapshotKeys;
  readonly report: Report;
  /** Told of each write, after it. */
  readonly written?: Written;
  readonly fs?: FileSystem;
  readonly now?: () => WallMillis;
}

/** Snapshots as two sealed files: `identity.sealed` in STATE_DIR and `media.sealed` in RUNTIME_DIR. */
export class FileSnapshotStore implements SnapshotStore {
  readonly #keys: SnapshotKeys;
  readonly #identity: IdentityFiles;
  readonly #media: MediaFile | undefined;
  readonly #tell: Written;
  #closed = false;
  /** Settled when no write of the identity is under way. */
  #written: Promise<void> = Promise.resolve();

  /** Makes STATE_DIR where it is missing and closes it to others. Throws `STATE_UNWRITABLE`. */
  constructor(options: FileStoreOptions) {
    const { stateDir, runtimeDir, ownRuntimeDir, keys, report, fs = nodeFileSystem, now = wallNow } = options;
    prepareStateDir(stateDir, fs, report);
    this.#keys = keys;
    this.#tell = options.written ?? (() => {});
    this.#identity = new IdentityFiles({
      directory: stateDir,
      anchorDirectory: runtimeDir,
      ownAnchorDirectory: ownRuntimeDir,
      fs,
      keys,
      report,
      now,
      isClosed: () => this.#closed,
    });
    this.#media =
      runtimeDir === undefined
        ? undefined
        : new MediaFile({ directory: runtimeDir, anchorDirectory: stateDir, fs, keys, report, now });
  }

  get keepsMedia(): boolean {
    return this.#media !== undefined;
  }

  async readIdentity(): Promise<IdentitySnapshot | undefined> {
    return this.#identity.read();
  }

  async writeIdentity(snapshot: IdentitySnapshot): Promise<void> {
    const begun = monotonicNow();
    this.#keys.refresh();
    const header = this.#identity.nextHeader();
    const bytes = sealSnapshot(this.#keys.writer(), header, encodeIdentity(snapshot));
    const write = this.#written.then(() => this.#identity.write(bytes, header));
    this.#written = write.catch(() => undefined);
    await write;
    this.#tell('identity', bytes.length, monotonicNow() - begun);
  }

  async takeMedia(): Promise<MediaSnapshot | undefined> {
    return this.#media?.take();
  }

  writeMedia(snapshot: MediaSnapshot): void {
    if (this.#closed) throw storeClosed();
    const begun = monotonicNow();
    const bytes = this.#media?.write(snapshot);
    if (bytes !== undefined) this.#tell('media', bytes, monotonicNow() - begun);
  }

  dropMedia(): void {
    this.#media?.drop();
  }

  close(): void {
    this.#closed = true;
    this.#media?.close();
  }

  async reseal(identity: IdentitySnapshot, media: MediaSnapshot | undefined): Promise<void> {
    this.#keys.refresh();
    if (this.#closed) throw storeClosed();
    if (media === undefined) this.dropMedia();
    else this.writeMedia(media);
    // Twice, one after the other: the second write makes the first the previous generation.
    await this.writeIdentity(identity);
    await this.writeIdentity(identity);
  }
}

function prepareStateDir(directory: string, fs: FileSystem, report: Report): void {
  try {
    const found = fs.info(directory);
    if (found === undefined) {
      fs.makeDirectory(directory, STATE_MODE);
      report({ level: 'info', event: 'state-created', message: `${directory} was made: a first run` });
    } else if ((found.mode & 0o077) !== 0) {
      fs.changeMode(directory, STATE_MODE);
      report({
        level: 'info',
        event: 'state-mode-fixed',
        message: `${directory} was open to others and has mode 0700 now`,
      });
    }
    const probe = join(directory, `identity.probe.${process.pid}.tmp`);
    fs.write(probe, new Uint8Array(1));
    fs.remove(probe);
  } catch (cause) {
    throw new RekeycastError(
      'STATE_UNWRITABLE',
      `STATE_DIR ${directory} cannot be used: ${messageOf(cause)}. It has to be a directory that this user may write to`,
      { cause },
    );
  }
}

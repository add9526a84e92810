import { join } from 'node:path';
import { RekeycastError } from '../errors.ts';
import type { SnapshotKeys } from '../keyring/keyring.ts';
import type { SealedFiles } from '../keyring/rotate.ts';
import type { WallMillis } from '../util/clock.ts';
import type { FileSystem } from '../util/file-system.ts';
import { replaceDurably } from '../util/replace-file.ts';
import {
  isExpired,
  MAX_SEALED_BYTES,
  parseHeader,
  readHeader,
  type SealedHeader,
  type SealedKind,
} from './header.ts';
import { IDENTITY_FILE, PREVIOUS_FILE } from './identity-file.ts';
import { MEDIA_FILE, MediaFile } from './media-file.ts';
import { openSealed, sealSnapshot } from './seal.ts';
import type { Report } from './store.ts';

export interface SealedFileStatus extends SealedHeader {
  readonly path: string;
}

export interface StoredFilesOptions {
  readonly stateDir: string;
  readonly runtimeDir: string | undefined;
  readonly keys: SnapshotKeys;
  readonly fs: FileSystem;
  readonly report: Report;
  readonly now: () => WallMillis;
}

/**
 * The sealed files as an operator's command handles them: no record is decoded. Only while no server runs may it `reseal`; `status` and `verify`
 * are good at any time, since files change by renaming only.
 */
export class StoredFiles implements SealedFiles {
  readonly #options: StoredFilesOptions;

  constructor(options: StoredFilesOptions) {
    this.#options = options;
  }

  /** The heads of the files that are there and whole enough to have one. */
  status(): readonly SealedFileStatus[] {
    return this.#paths().flatMap(({ path }) => {
      const header = readHeader(this.#options.fs, path);
      if (header === undefined) return [];
      const { kind, keyId, generation, createdAt, notAfter } = header;
      return [{ path, kind, keyId, generation, createdAt, notAfter }];
    });
  }

  async reseal(): Promise<void> {
    for (const { path, kind } of this.#paths()) {
      if (kind === 'identity') await this.#resealIdentity(path);
      else this.#resealMedia(path);
    }
  }

  async verify(key: string): Promise<void> {
    for (const { path, kind } of this.#paths()) {
      const bytes = this.#options.fs.read(path, MAX_SEALED_BYTES);
      const parsed = bytes === undefined ? undefined : parseHeader(bytes);
      if (bytes === undefined || parsed === undefined) continue;
      const keyId = parsed.outcome === 'header' ? parsed.header.keyId : 'no readable key id';
      if (keyId !== key)
        throw new RekeycastError(
          'SEALED_FILE_INVALID',
          `${path} is not sealed to the new key ${key} but has ${keyId}`,
        );
      // The media file is opened at most once, and that is at a boot: its head has to be enough.
      if (kind === 'identity') disposeAll(this.#open(path, bytes).records);
    }
  }

  async #resealIdentity(path: string): Promise<void> {
    const { fs, keys } = this.#options;
    if (readHeader(fs, path)?.keyId === keys.primary().id) return;
    const bytes = fs.read(path, MAX_SEALED_BYTES);
    if (bytes === undefined) return;
    await replaceDurably(fs, path, this.#resealed(this.#open(path, bytes)));
  }

  /** Contexts that cannot be carried over are given up with a word: their viewers resume by re-key. */
  #resealMedia(path: string): void {
    const { fs, keys, runtimeDir = '', report, now } = this.#options;
    const file = new MediaFile({ ...this.#options, directory: runtimeDir });
    const header = readHeader(fs, path);
    if (header?.keyId === keys.primary().id) return;
    if (header !== undefined && isExpired(header, now())) {
      file.drop();
      report({
        level: 'info',
        event: 'media-expired',
        message: `${path} was past its deadline: deleted unread`,
      });
      return;
    }
    const taken = file.takeBytes();
    if (taken === undefined) return;
    try {
      file.write(this.#resealed(this.#open(path, taken, 'media')));
    } catch (cause) {
      if (!(cause instanceof RekeycastError)) throw cause;
      report({
        level: 'warn',
        event: 'media-unusable',
        message: `${path} was deleted, its viewers resume by re-key: ${cause.message}`,
      });
    }
  }

  #resealed({ header, records }: Opened): Uint8Array {
    try {
      const bytes = records.map((record) => record.bytes);
      return sealSnapshot(this.#options.keys.primary(), header, bytes);
    } finally {
      disposeAll(records);
    }
  }

  /** Throws unless all of it opens. */
  #open(path: string, bytes: Uint8Array, kind: SealedKind = 'identity'): Opened {
    const opened = openSealed(bytes, (id) => this.#options.keys.secret(id), { kind });
    if (opened.outcome === 'opened' && opened.complete && opened.damage === undefined) return opened;
    if (opened.outcome === 'opened') disposeAll(opened.records);
    const why =
      opened.outcome === 'newer'
        ? 'was written by a newer version'
        : opened.outcome === 'locked'
          ? `does not open with the key ${opened.keyId}`
          : `is damaged (${opened.damage})`;
    throw new RekeycastError(
      'SEALED_FILE_INVALID',
      `${path} ${why}. No key was destroyed. Start the server once, which repairs what can be repaired, and run the command again`,
    );
  }

  #paths(): readonly { readonly path: string; readonly kind: SealedKind }[] {
    const { stateDir, runtimeDir } = this.#options;
    return [
      { path: join(stateDir, IDENTITY_FILE), kind: 'identity' },
      { path: join(stateDir, PREVIOUS_FILE), kind: 'identity' },
      ...(runtimeDir === undefined ? [] : [{ path: join(runtimeDir, MEDIA_FILE), kind: 'media' as const }]),
    ];
  }
}

type Opened = Extract<ReturnType<typeof openSealed>, { outcome: 'opened' }>;

function disposeAll(records: Opened['records']): void {
  for (const record of records) record.dispose();
}

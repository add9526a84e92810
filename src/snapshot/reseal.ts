import { join } from 'node:path';
import { RekeycastError } from '../errors.ts';
import type { SnapshotKeys } from '../keyring/keyring.ts';
import type { SealedFiles } from '../keyring/rotate.ts';
import type { WallMillis } from '../util/clock.ts';
import type { FileSystem } from '../util/file-system.ts';
import { replaceDurably } from '../util/replace-file.ts';
import type { Secret } from '../util/secret.ts';
import { AnchorFile, isAuthentic } from './anchor.ts';
import {
  isExpired,
  MAX_SEALED_BYTES,
  parseHeader,
  publicPart,
  readHeader,
  type SealedHeader,
  type SealedKind,
} from './header.ts';
import { IDENTITY_ANCHOR, IDENTITY_FILE, PREVIOUS_FILE } from './identity-file.ts';
import { MEDIA_ANCHOR, MEDIA_FILE, MediaFile } from './media-file.ts';
import { type Opened, openSealed, sealSnapshot } from './seal.ts';
import type { Report } from './store.ts';
import { placesOf } from './worker-folders.ts';

export interface SealedFileStatus extends SealedHeader {
  readonly path: string;
}

/** What an operator is told of one sealed file or anchor. */
export interface FileCheck {
  readonly path: string;
  readonly kind: SealedKind | 'anchor';
  /** `undefined` where it cannot be read. */
  readonly keyId: string | undefined;
  /** What is wrong with it, in words; `undefined` where it opens, or shows to be ours where it may not be opened. */
  readonly problem: string | undefined;
}

type Place = Pick<StoredFilesOptions, 'stateDir' | 'runtimeDir'>;

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
      return header === undefined ? [] : [{ path, ...publicPart(header) }];
    });
  }

  /** Each of them tried. The media file is opened at most once, and that is at a boot: its head has to be enough. Changes nothing. */
  check(): readonly FileCheck[] {
    const { keys } = this.#options;
    const files = this.#paths().flatMap(({ path, kind }): FileCheck[] => {
      const bytes = this.#read(path);
      if (bytes === undefined) return [];
      const parsed = parseHeader(bytes);
      const keyId = parsed.outcome === 'header' ? parsed.header.keyId : undefined;
      const problem = problemOf(() => {
        if (kind === 'media' && parsed.outcome === 'header' && isAuthentic(parsed.header, keys)) return;
        disposeAll(this.#open(path, bytes, kind).records);
      });
      return [{ path, kind, keyId, problem }];
    });
    const anchors = this.#anchors().flatMap((anchor): FileCheck[] => {
      const found = anchor.read();
      if (found === undefined) return [];
      return typeof found === 'string'
        ? [{ path: anchor.path, kind: 'anchor', keyId: undefined, problem: `${anchor.path}: ${found}` }]
        : [{ path: anchor.path, kind: 'anchor', keyId: found.keyId, problem: undefined }];
    });
    return [...files, ...anchors];
  }

  /** Why a key is still needed, in words; `undefined` where nothing is sealed to it. */
  needOf(key: string): string | undefined {
    for (const { path } of this.#paths()) {
      const bytes = this.#read(path);
      const parsed = bytes === undefined ? undefined : parseHeader(bytes);
      if (parsed?.outcome === 'newer')
        return `${path} was written by a newer version, and which key it needs cannot be told`;
      if (parsed?.outcome === 'header' && parsed.header.keyId === key) return `${path} is sealed to it`;
    }
    for (const anchor of this.#anchors()) {
      const found = anchor.read();
      if (typeof found === 'object' && found.keyId === key) return `${anchor.path} was written with it`;
    }
    return undefined;
  }

  async reseal(): Promise<void> {
    for (const { path, kind, place } of this.#paths()) {
      if (kind === 'identity') await this.#resealIdentity(path);
      else this.#resealMedia(path, place);
    }
    for (const anchor of this.#anchors()) {
      const found = anchor.read();
      // One that is not to be believed becomes no better by our word.
      if (typeof found === 'object' && found.keyId !== this.#options.keys.primary().id) anchor.write(found);
    }
  }

  async verify(key: string): Promise<void> {
    for (const { path, kind } of this.#paths()) {
      const bytes = this.#read(path);
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
      else if (parsed.outcome === 'header' && !isAuthentic(parsed.header, this.#options.keys))
        throw new RekeycastError(
          'SEALED_FILE_INVALID',
          `${path} was written by no holder of the new key ${key}`,
        );
    }
    for (const anchor of this.#anchors()) {
      const found = anchor.read();
      if (typeof found === 'object' && found.keyId !== key)
        throw new RekeycastError('SEALED_FILE_INVALID', `${anchor.path} is not of the new key ${key}`);
    }
  }

  async #resealIdentity(path: string): Promise<void> {
    const { fs, keys } = this.#options;
    if (readHeader(fs, path)?.keyId === keys.primary().id) return;
    const bytes = this.#read(path);
    if (bytes === undefined) return;
    const { header, records } = this.#open(path, bytes);
    try {
      await replaceDurably(fs, path, sealSnapshot(keys.writer(), header, records.map(bytesOf)));
    } finally {
      disposeAll(records);
    }
  }

  /** Contexts that cannot be carried over are given up with a word: their viewers resume by re-key. */
  #resealMedia(path: string, { stateDir, runtimeDir = '' }: Place): void {
    const { fs, keys, report, now } = this.#options;
    const file = new MediaFile({ ...this.#options, directory: runtimeDir, anchorDirectory: stateDir });
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
      const { header, records } = this.#open(path, taken, 'media');
      try {
        file.writeSealed(header, records.map(bytesOf));
      } finally {
        disposeAll(records);
      }
    } catch (cause) {
      if (!(cause instanceof RekeycastError)) throw cause;
      report({
        level: 'warn',
        event: 'media-unusable',
        message: `${path} was deleted, its viewers resume by re-key: ${cause.message}`,
      });
    }
  }

  /** None where what lies there is no file or larger than ours: it does not open then. */
  #read(path: string): Uint8Array | undefined {
    try {
      return this.#options.fs.read(path, MAX_SEALED_BYTES);
    } catch (cause) {
      if (cause instanceof RangeError) return new Uint8Array(0);
      throw cause;
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
          : opened.outcome === 'forged'
            ? `was refused (${opened.why})`
            : `is damaged (${opened.damage})`;
    throw new RekeycastError(
      'SEALED_FILE_INVALID',
      `${path} ${why}. No key was destroyed. Start the server once, which repairs what can be repaired, and run the command again`,
    );
  }

  #anchors(): readonly AnchorFile[] {
    return this.#places().flatMap(({ stateDir, runtimeDir }) =>
      runtimeDir === undefined
        ? []
        : [
            new AnchorFile({ ...this.#options, kind: 'media', path: join(stateDir, MEDIA_ANCHOR) }),
            new AnchorFile({ ...this.#options, kind: 'identity', path: join(runtimeDir, IDENTITY_ANCHOR) }),
          ],
    );
  }

  #places(): readonly Place[] {
    return placesOf(this.#options, this.#options.fs);
  }

  #paths(): readonly { readonly path: string; readonly kind: SealedKind; readonly place: Place }[] {
    return this.#places().flatMap((place) => {
      const { stateDir, runtimeDir } = place;
      return [
        { path: join(stateDir, IDENTITY_FILE), kind: 'identity' as const, place },
        { path: join(stateDir, PREVIOUS_FILE), kind: 'identity' as const, place },
        ...(runtimeDir === undefined
          ? []
          : [{ path: join(runtimeDir, MEDIA_FILE), kind: 'media' as const, place }]),
      ];
    });
  }
}

function problemOf(attempt: () => void): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (cause) {
    if (cause instanceof RekeycastError) return cause.message;
    throw cause;
  }
}

const bytesOf = (record: Secret): Uint8Array => record.bytes;

function disposeAll(records: Opened['records']): void {
  for (const record of records) record.dispose();
}

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import type { SnapshotKeys } from '../keyring/keyring.ts';
import type { WallMillis } from '../util/clock.ts';
import { errorCode, type FileSystem } from '../util/file-system.ts';
import { isProcessAlive } from '../util/process-alive.ts';
import { replace, shredUnlessShared } from '../util/replace-file.ts';
import type { Secret } from '../util/secret.ts';
import { AnchorFile, type FoundAnchor, isAuthentic, NONE, newSnapshotId, readBootId } from './anchor.ts';
import { decodePeers, decodeRoom, MediaEncoder } from './codec/media.ts';
import { isExpired, MAX_SEALED_BYTES, parseHeader, type SealedHeader } from './header.ts';
import type { MediaSnapshot, PeerMediaRecord } from './schema.ts';
import { type Opened, openSealed, sealSnapshot } from './seal.ts';
import type { Report, StoreEvent } from './store.ts';

export const MEDIA_FILE = 'media.sealed';
export const MEDIA_ANCHOR = 'media.anchor';

/** Of a stamp. */
const INODE_DIGITS = 16;
/** In the place of what is no file, or another one than a moment ago. */
const NOTHING_OF_OURS = { bytes: new Uint8Array(0), stamp: '' };
/** A process that took the file is done with it in milliseconds. */
const TAKER_AGE_MS = 10_000;
const TAKEN_NAME = /^media\.taken-(\d+)-[0-9a-f]+$/;

export interface MediaFileOptions {
  readonly directory: string;
  /** Where its anchor lies: another directory. */
  readonly anchorDirectory: string;
  readonly fs: FileSystem;
  readonly keys: SnapshotKeys;
  readonly report: Report;
  readonly now: () => WallMillis;
  /** Own process id, which names what is taken. */
  readonly pid?: number;
  /** Tells one start of the machine from another. */
  readonly boot?: string;
}

interface Taken {
  readonly bytes: Uint8Array | undefined;
  readonly anchor: FoundAnchor | string | undefined;
  /** Absent where nobody with our key has made it. */
  readonly header?: SealedHeader;
  readonly refusal?: string | undefined;
}

/** `media.sealed`, in a RAM-backed directory: written often, read at most once, and only the one that was written last. */
export class MediaFile {
  readonly #options: MediaFileOptions;
  readonly #path: string;
  readonly #pid: number;
  readonly #boot: string;
  readonly #anchor: AnchorFile;
  readonly #encoder = new MediaEncoder();
  #generation: number | undefined;

  constructor(options: MediaFileOptions) {
    this.#options = options;
    this.#path = join(options.directory, MEDIA_FILE);
    this.#pid = options.pid ?? process.pid;
    this.#boot = options.boot ?? readBootId(options.fs);
    this.#anchor = new AnchorFile({
      ...options,
      path: join(options.anchorDirectory, MEDIA_ANCHOR),
      kind: 'media',
    });
  }

  /** When it returns, this one is taken next, and no earlier one any more. Gives its size. Throws `STATE_UNWRITABLE`. */
  write(snapshot: MediaSnapshot): number {
    const { writtenAt: createdAt, notAfter } = snapshot;
    this.#generation = Math.max(this.#lastGeneration() + 1, Math.floor(createdAt));
    return this.writeSealed(
      { kind: 'media', generation: this.#generation, createdAt, notAfter, id: newSnapshotId() },
      this.#encoder.encode(snapshot),
    );
  }

  /** Writes the same snapshot again, to the key that is primary now. */
  writeSealed(header: Omit<SealedHeader, 'keyId'>, records: Iterable<Uint8Array>): number {
    const { fs, keys } = this.#options;
    const bytes = sealSnapshot(keys.writer(), header, records);
    replace(fs, this.#path, bytes);
    this.#fix(header.generation, header.id, fs.linkInfo(this.#path)?.stamp);
    return bytes.length;
  }

  /** The one snapshot that may be taken. */
  #fix(generation: number, newest: string, stamp = NONE): void {
    this.#anchor.write({ generation, newest, former: NONE, boot: this.#boot, stamp });
  }

  /** The contexts, or only the room's numbering past the deadline, or nothing. Never throws. */
  take(): MediaSnapshot | undefined {
    try {
      this.#removeLeftovers();
      const { bytes, header, anchor, refusal } = this.#takeNewest();
      this.#close(anchor, header);
      if (bytes === undefined) return undefined;
      return refusal === undefined ? this.#open(bytes) : this.#refused(refusal);
    } catch (cause) {
      this.#warn('media-unusable', `${this.#path} could not be taken: ${messageOf(cause)}`);
      return undefined;
    }
  }

  /** The file as it is, which is then gone; nothing where it is not the one that was written last, with words. */
  takeBytes(): Uint8Array | undefined {
    const { bytes, refusal } = this.#takeNewest();
    return refusal === undefined ? bytes : this.#refused(refusal);
  }

  #takeNewest(): Taken {
    const anchor = this.#anchor.read();
    const taken = this.#takeAway();
    const parsed = taken && parseHeader(taken.bytes);
    // Of what nobody with our key has written, the opening has more to say.
    if (parsed?.outcome !== 'header' || !isAuthentic(parsed.header, this.#options.keys))
      return { bytes: taken?.bytes, anchor };
    const { header } = parsed;
    return { bytes: taken?.bytes, anchor, header, refusal: this.#refusal(header, taken?.stamp, anchor) };
  }

  /**
   * Renamed to a name of our own, so that of two processes one gets it; zeroed and unlinked before anything of it is used. Read before that,
   * since a renamed file has another stamp.
   */
  #takeAway(): { readonly bytes: Uint8Array; readonly stamp: string } | undefined {
    const { fs, directory } = this.#options;
    const mine = join(directory, `media.taken-${this.#pid}-${randomBytes(8).toString('hex')}`);
    const read = this.#read();
    if (read === undefined) return undefined;
    try {
      fs.rename(this.#path, mine);
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') return undefined;
      throw cause;
    }
    const isSame = fs.linkInfo(mine)?.stamp.slice(0, INODE_DIGITS) === read.stamp.slice(0, INODE_DIGITS);
    shredUnlessShared(fs, mine);
    return isSame ? read : NOTHING_OF_OURS;
  }

  #read(): { readonly bytes: Uint8Array; readonly stamp: string } | undefined {
    try {
      return this.#options.fs.readStamped(this.#path, MAX_SEALED_BYTES);
    } catch (cause) {
      if (cause instanceof RangeError) return NOTHING_OF_OURS;
      throw cause;
    }
  }

  /** Nothing is written any more: wipes what the last write has left in memory. */
  close(): void {
    this.#encoder.dispose();
  }

  /** Removes the file unread; a copy of it is not taken any more. */
  drop(): void {
    this.#encoder.dispose();
    const { fs } = this.#options;
    for (const path of [`${this.#path}.tmp`, this.#path]) {
      try {
        shredUnlessShared(fs, path);
      } catch {
        // Without a free file descriptor nothing can be overwritten. In RAM, removed is gone; and what cannot be removed is an error.
        fs.remove(path);
      }
    }
    try {
      this.#close(this.#anchor.read());
    } catch (cause) {
      this.#warn('media-unusable', `${this.#anchor.path} could not be written: ${messageOf(cause)}`);
    }
  }

  /** Why a file is not the one that was written last, in words. */
  #refusal(
    header: SealedHeader,
    stamp: string | undefined,
    anchor: FoundAnchor | string | undefined,
  ): string | undefined {
    const { path } = this.#anchor;
    if (anchor === undefined) return `${path} is missing, so that it cannot be told from a copy`;
    if (typeof anchor === 'string') return `${path} is not to be believed (${anchor})`;
    if (anchor.boot !== this.#boot) return 'the machine was started anew since it was written: it is a copy';
    if (header.id !== anchor.newest) return 'it was taken before, or it is not the one that was written last';
    return stamp === anchor.stamp
      ? undefined
      : 'it was written, renamed, linked or given another owner since the server wrote it: it may be a copy';
  }

  /** No file that was written up to now is taken any more. */
  #close(anchor: FoundAnchor | string | undefined, taken?: SealedHeader): void {
    const known = typeof anchor === 'object' ? anchor.generation : 0;
    const now = Math.floor(this.#options.now());
    const generation = Math.max(known, taken?.generation ?? 0, this.#generation ?? 0, now);
    this.#fix(generation, NONE);
    this.#generation = generation;
  }

  #lastGeneration(): number {
    if (this.#generation !== undefined) return this.#generation;
    const anchor = this.#anchor.read();
    return typeof anchor === 'object' ? anchor.generation : 0;
  }

  #open(bytes: Uint8Array): MediaSnapshot | undefined {
    const { keys, now } = this.#options;
    const parsed = parseHeader(bytes);
    const expired = parsed.outcome === 'header' && isExpired(parsed.header, now());
    const opened = openSealed(bytes, (id) => keys.secret(id), {
      kind: 'media',
      // Past the deadline nothing behind the room's record is opened.
      ...(expired ? { recordLimit: 1 } : {}),
    });
    switch (opened.outcome) {
      case 'damaged':
        return this.#unusable(opened.damage);
      case 'newer':
        return this.#unusable('a newer version wrote it');
      case 'forged':
        return this.#refused(opened.why);
      case 'locked':
        return this.#unusable(`the snapshot key ${opened.keyId} does not open it`);
      case 'opened':
        return this.#decode(opened, expired);
    }
  }

  #decode(opened: Opened, expired: boolean): MediaSnapshot | undefined {
    const [first, ...others] = opened.records;
    const room = first === undefined ? undefined : decodeRoom(first.bytes);
    first?.dispose();
    if (room === undefined) {
      for (const record of others) record.dispose();
      return this.#unusable(opened.damage ?? 'its first record makes no sense');
    }
    if (expired)
      this.#warn(
        'media-expired',
        'the media contexts were past their deadline: deleted unread, resume by re-key',
      );
    const decoded = decodeEach(others);
    const peers = decoded.flatMap((some) => some ?? []);
    if (opened.damage !== undefined || decoded.includes(undefined))
      this.#warn(
        'media-unusable',
        `a part of the media contexts was damaged (${opened.damage ?? 'a record makes no sense'}): those ${peers.length} that are good are used, the others resume by re-key`,
      );
    const { createdAt: writtenAt, notAfter } = opened.header;
    return { writtenAt, notAfter, room, peers };
  }

  /** What a killed writer or taker has left. Another process's that is at work now is left alone. */
  #removeLeftovers(): void {
    const { fs, directory, now } = this.#options;
    for (const name of fs.list(directory)) {
      const path = join(directory, name);
      const taker = TAKEN_NAME.exec(name)?.[1];
      if (taker === undefined && name !== `${MEDIA_FILE}.tmp`) continue;
      // What bears our own id is of a process before us.
      const found = fs.linkInfo(path);
      if (found?.isDirectory === true) continue;
      if (taker !== undefined && Number(taker) !== this.#pid && isProcessAlive(Number(taker))) {
        const changedAt = found?.changedAt ?? 0;
        if (now() - changedAt < TAKER_AGE_MS) continue;
      }
      shredUnlessShared(fs, path);
      this.#warn('media-leftover-removed', `${path}, left by a process that was killed, was deleted unread`);
    }
  }

  #refused(why: string): undefined {
    this.#warn('snapshot-refused', `${this.#path} was refused and deleted: ${why}. Viewers resume by re-key`);
    return undefined;
  }

  #unusable(why: string): undefined {
    this.#warn(
      'media-unusable',
      `${this.#path} could not be used and was deleted, since it holds keys (${why}): resume by re-key`,
    );
    return undefined;
  }

  #warn(event: StoreEvent['event'], message: string): void {
    this.#options.report({ level: 'warn', event, message });
  }
}

function decodeEach(records: readonly Secret[]): readonly (readonly PeerMediaRecord[] | undefined)[] {
  return records.map((record) => {
    const peers = decodePeers(record.bytes);
    record.dispose();
    return peers;
  });
}

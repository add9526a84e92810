import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import type { SnapshotKeys } from '../keyring/keyring.ts';
import type { WallMillis } from '../util/clock.ts';
import { errorCode, type FileSystem } from '../util/file-system.ts';
import { isProcessAlive } from '../util/process-alive.ts';
import { replace, shred } from '../util/replace-file.ts';
import type { Secret } from '../util/secret.ts';
import { decodePeer, decodeRoom } from './codec/media.ts';
import { isExpired, MAX_SEALED_BYTES, parseHeader } from './header.ts';
import type { MediaSnapshot, PeerMediaRecord } from './schema.ts';
import { openSealed } from './seal.ts';
import type { Report, StoreEvent } from './store.ts';

export const MEDIA_FILE = 'media.sealed';

/** A process that took the file is done with it in milliseconds. */
const TAKER_AGE_MS = 10_000;
const TAKEN_NAME = /^media\.taken-(\d+)-[0-9a-f]+$/;

export interface MediaFileOptions {
  readonly directory: string;
  readonly fs: FileSystem;
  readonly keys: SnapshotKeys;
  readonly report: Report;
  readonly now: () => WallMillis;
  /** Own process id, which names what is taken. */
  readonly pid?: number;
}

/** `media.sealed`, in a RAM-backed directory: written often, read at most once. */
export class MediaFile {
  readonly #options: MediaFileOptions;
  readonly #path: string;
  readonly #pid: number;

  constructor(options: MediaFileOptions) {
    this.#options = options;
    this.#path = join(options.directory, MEDIA_FILE);
    this.#pid = options.pid ?? process.pid;
  }

  write(bytes: Uint8Array): void {
    replace(this.#options.fs, this.#path, bytes);
  }

  /** The contexts, or only the room's numbering past the deadline, or nothing. Never throws. */
  take(): MediaSnapshot | undefined {
    try {
      this.#removeLeftovers();
      const bytes = this.takeBytes();
      return bytes === undefined ? undefined : this.#open(bytes);
    } catch (cause) {
      this.#warn('media-unusable', `${this.#path} could not be taken: ${messageOf(cause)}`);
      return undefined;
    }
  }

  /**
   * The file as it is, which is then gone. Renamed to a name of our own first, so that of two processes one gets it; zeroed
   * and unlinked before anything of it is used.
   */
  takeBytes(): Uint8Array | undefined {
    const { fs, directory } = this.#options;
    const mine = join(directory, `media.taken-${this.#pid}-${randomBytes(8).toString('hex')}`);
    try {
      fs.rename(this.#path, mine);
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') return undefined;
      throw cause;
    }
    const bytes = fs.read(mine, MAX_SEALED_BYTES);
    shred(fs, mine);
    return bytes;
  }

  /** Removes the file unread. */
  drop(): void {
    const { fs } = this.#options;
    for (const path of [`${this.#path}.tmp`, this.#path]) {
      try {
        shred(fs, path);
      } catch {
        // Without a free file descriptor nothing can be overwritten. In RAM, removed is gone; and what cannot be removed is an error.
        fs.remove(path);
      }
    }
  }

  #open(bytes: Uint8Array): MediaSnapshot | undefined {
    const { keys, now } = this.#options;
    const parsed = parseHeader(bytes);
    if (parsed.outcome === 'damaged') return this.#unusable(parsed.damage);
    if (parsed.outcome === 'newer') return this.#unusable('a newer version wrote it');
    const { createdAt, notAfter } = parsed.header;
    const expired = isExpired(parsed.header, now());
    const opened = openSealed(bytes, (id) => keys.secret(id), {
      kind: 'media',
      // Past the deadline nothing behind the room's record is opened.
      ...(expired ? { recordLimit: 1 } : {}),
    });
    if (opened.outcome === 'locked')
      return this.#unusable(`the snapshot key ${opened.keyId} does not open it`);
    if (opened.outcome !== 'opened') return this.#unusable('it makes no sense');
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
    const peers = decodePeers(others);
    if (opened.damage !== undefined || peers.length < others.length)
      this.#warn(
        'media-unusable',
        `a part of the media contexts was damaged (${opened.damage ?? 'a record makes no sense'}): those ${peers.length} that are good are used, the others resume by re-key`,
      );
    return { writtenAt: createdAt, notAfter, room, peers };
  }

  /** What a killed writer or taker has left. Another process's that is at work now is left alone. */
  #removeLeftovers(): void {
    const { fs, directory, now } = this.#options;
    for (const name of fs.list(directory)) {
      const path = join(directory, name);
      const taker = TAKEN_NAME.exec(name)?.[1];
      if (taker === undefined && name !== `${MEDIA_FILE}.tmp`) continue;
      // What bears our own id is of a process before us.
      if (taker !== undefined && Number(taker) !== this.#pid && isProcessAlive(Number(taker))) {
        const changedAt = fs.info(path)?.changedAt ?? 0;
        if (now() - changedAt < TAKER_AGE_MS) continue;
      }
      shred(fs, path);
      this.#warn('media-leftover-removed', `${path}, left by a process that was killed, was deleted unread`);
    }
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

function decodePeers(records: readonly Secret[]): readonly PeerMediaRecord[] {
  const peers: PeerMediaRecord[] = [];
  for (const record of records) {
    const peer = decodePeer(record.bytes);
    if (peer !== undefined) peers.push(peer);
    record.dispose();
  }
  return peers;
}

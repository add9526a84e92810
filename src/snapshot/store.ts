import type { Millis } from '../util/clock.ts';
import type { IdentitySnapshot, MediaSnapshot } from './schema.ts';

/**
 * Where snapshots are kept. Nothing in it is of files, so that records may as well lie in a shared store.
 *
 * `loadSodium` must have been awaited before.
 */
export interface SnapshotStore {
  /** Contexts can be kept: there is memory-backed storage. Where not, a resume is by re-key alone. */
  readonly keepsMedia: boolean;

  /**
   * The newest identity that can be read: what is damaged is put aside and filled from the generation before; what is not ours, or was put
   * back, is put aside and not used. `undefined` where there is none (the first run). The caller owns the secrets in it.
   *
   * Throws `KEY_MISSING` or `KEY_INVALID` where it cannot be opened and `SEALED_FILE_INVALID` where a newer version wrote it;
   * nothing has been changed then.
   */
  readIdentity(): Promise<IdentitySnapshot | undefined>;

  /**
   * Encodes and seals before it returns; the promise is kept when it is durable. One write waits for the other. Rejects with
   * `STATE_UNWRITABLE`, and then the former file is still good.
   */
  writeIdentity(snapshot: IdentitySnapshot): Promise<void>;

  /**
   * Takes the media snapshot away: nobody gets it a second time, whatever happens, and only the one that was written last is given. Past its deadline the contexts are deleted unread and only the
   * numbering of the room is given. Never rejects.
   */
  takeMedia(): Promise<MediaSnapshot | undefined>;

  /** When it returns, the next process finds this one. Throws `STATE_UNWRITABLE`. Does nothing where media is not kept. */
  writeMedia(snapshot: MediaSnapshot): void;

  /** Removes the media snapshot unread. */
  dropMedia(): void;

  /**
   * Another process has the place from here on: nothing is put there any more, also of a write that is under way and comes through late. What is
   * written after it rejects or throws.
   */
  close?(): void;

  /** Writes both generations of the identity, and the media, to the key that is primary now. */
  reseal(identity: IdentitySnapshot, media: MediaSnapshot | undefined): Promise<void>;
}

/** Something an operator should know of. `message` is for people, `event` for programs. */
export interface StoreEvent {
  readonly level: 'info' | 'warn';
  readonly event:
    | 'state-created'
    | 'state-mode-fixed'
    | 'identity-damaged'
    | 'identity-kept-aside'
    | 'identity-filled'
    | 'identity-lost'
    /** A file that we have not written, or not last: forged, or put back. */
    | 'snapshot-refused'
    | 'anchor-refused'
    | 'anchor-not-written'
    | 'media-unusable'
    | 'media-expired'
    | 'media-leftover-removed'
    | 'runtime-dir-unsuitable'
    | 'strict';
  readonly message: string;
}

export type Report = (event: StoreEvent) => void;

/** A snapshot has been written: how large, and how long that took, in milliseconds. */
export type Written = (kind: 'identity' | 'media', bytes: number, ms: Millis) => void;

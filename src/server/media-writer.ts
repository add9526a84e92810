import type { MediaSnapshot } from '../snapshot/schema.ts';
import type { SnapshotStore } from '../snapshot/store.ts';

/**
 * Writes media snapshots until one cannot be written (a full tmpfs). From then on there is none: a resume is by re-key alone, and viewers go on
 * watching.
 */
export class MediaWriter {
  readonly #store: Pick<SnapshotStore, 'writeMedia' | 'dropMedia'>;
  readonly #failed: (error: unknown) => void;
  #writes = true;

  constructor(store: Pick<SnapshotStore, 'writeMedia' | 'dropMedia'>, failed: (error: unknown) => void) {
    this.#store = store;
    this.#failed = failed;
  }

  /** Whether snapshots are written still. */
  get writes(): boolean {
    return this.#writes;
  }

  /** `false`: there is no snapshot on file. Throws where an old one cannot be removed: to go on would be to use indices that a resume uses again. */
  write(snapshot: MediaSnapshot): boolean {
    if (!this.#writes) return false;
    try {
      this.#store.writeMedia(snapshot);
      return true;
    } catch (error) {
      this.#store.dropMedia();
      this.#writes = false;
      this.#failed(error);
      return false;
    }
  }
}

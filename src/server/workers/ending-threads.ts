import type { Worker } from 'node:worker_threads';
import { type Millis, monotonicNow } from '../../util/clock.ts';

/** A thread that is to end, and does not wait in the kernel, has ended by then. */
export const ENDS_WITHIN: Millis = 300;

/** What `threadId` is of a thread that has ended. */
const ENDED = -1;

/**
 * Threads that are to end. Whatever ends the process waits for each, and one that waits in the kernel, for a disk, would hold it for as long: that process is
 * killed. Nothing that such a thread could write is waited for any more.
 */
export class EndingThreads {
  readonly #since = new Map<Worker, Millis>();

  /** From now on it is to end. Again is as once. */
  add(thread: Worker): void {
    if (this.#since.has(thread) || thread.threadId === ENDED) return;
    if (this.#since.size === 0) process.on('exit', this.#leave);
    this.#since.set(thread, monotonicNow());
    thread.once('exit', () => {
      this.#since.delete(thread);
      if (this.#since.size === 0) process.off('exit', this.#leave);
    });
  }

  readonly #leave = (): void => {
    const now = monotonicNow();
    for (const since of this.#since.values())
      if (now - since > ENDS_WITHIN) process.kill(process.pid, 'SIGKILL');
  };
}

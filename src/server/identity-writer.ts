import { type Millis, monotonicNow } from '../util/clock.ts';

/** How many times as long as a write has held the loop up, which grows with the sessions, the next one waits: all that return together are a few writes. */
const REST_FACTOR = 19;
const LONGEST_REST: Millis = 100;

/**
 * Writes the identity snapshot when something in it has changed, one write at a time, each for all the changes since the last. What has
 * been promised to a page is said when the write that holds it is durable.
 */
export class IdentityWriter {
  readonly #write: () => Promise<void>;
  readonly #failed: (error: unknown) => void;
  #requested = false;
  #running: Promise<void> | undefined;
  #waiting: (() => void)[] = [];
  #restsUntil: Millis = Number.NEGATIVE_INFINITY;
  /** Somebody waits for all of it: there is no rest. */
  #hurried = false;
  #endRest: (() => void) | undefined;

  /** `write` captures the state before it returns its promise. */
  constructor(write: () => Promise<void>, failed: (error: unknown) => void) {
    this.#write = write;
    this.#failed = failed;
  }

  /** Everything is written. */
  get isIdle(): boolean {
    return this.#running === undefined;
  }

  /** The snapshot is out of date. */
  request(): void {
    this.#requested = true;
    this.#running ??= this.#loop();
  }

  /** Calls `say` when everything up to now is durable. A write that fails does not keep the page waiting: it only resumes less. */
  afterWrite(say: () => void): void {
    this.#waiting.push(say);
    this.request();
  }

  /** Settles when everything up to now is written, or could not be; what changes meanwhile is not waited for. */
  written(): Promise<void> {
    this.#hurry();
    return new Promise((resume) => this.afterWrite(resume));
  }

  /** Settles when everything is written, with all that changes meanwhile. */
  async flush(): Promise<void> {
    this.#hurry();
    this.request();
    await this.#running;
  }

  #hurry(): void {
    this.#hurried = true;
    this.#endRest?.();
  }

  async #loop(): Promise<void> {
    while (this.#requested) {
      // Everything that changes in this turn of the loop goes into one write.
      await new Promise((resume) => setImmediate(resume));
      await this.#rest();
      this.#requested = false;
      const waiting = this.#waiting;
      this.#waiting = [];
      const begun = monotonicNow();
      try {
        const written = this.#write();
        const now = monotonicNow();
        this.#restsUntil = now + Math.min(LONGEST_REST, REST_FACTOR * (now - begun));
        await written;
      } catch (error) {
        this.#failed(error);
      }
      for (const say of waiting) say();
    }
    this.#running = undefined;
    this.#hurried = false;
  }

  async #rest(): Promise<void> {
    const left = this.#restsUntil - monotonicNow();
    if (this.#hurried || left <= 0) return;
    await new Promise<void>((resume) => {
      const timer = setTimeout(resume, left);
      this.#endRest = () => {
        clearTimeout(timer);
        resume();
      };
    });
    this.#endRest = undefined;
  }
}

import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { Broadcast } from './broadcast.ts';

/** A second in which something did not run that was due: pages and server have deadlines of few of them. */
const STRAINED_MS = 1_000;

/**
 * Whether the machine gives everybody the time that the deadlines of pages and server are made for. Where it does not, they rightly take a new
 * connection instead of waiting for the old one, and a test cannot ask for more.
 */
export class Strain {
  readonly #loop: IntervalHistogram = monitorEventLoopDelay({ resolution: 20 });
  readonly #broadcast: Broadcast;

  private constructor(broadcast: Broadcast) {
    this.#broadcast = broadcast;
    this.#loop.enable();
  }

  /** Looks from now on. */
  static async begin(broadcast: Broadcast): Promise<Strain> {
    for (const page of broadcast.pages) {
      await page.driver.evaluate(() => {
        if (window.screenWatch !== undefined) window.screenWatch.slowest = 0;
      }, undefined);
    }
    return new Strain(broadcast);
  }

  /** The longest delay since the beginning, in milliseconds: of this process, where the relays are, of the server's start, of what pages draw. */
  async worstMs(): Promise<number> {
    const { spawnedAt, firstLineAt = performance.now() } = this.#broadcast.server.run;
    const drawn = await Promise.all(
      this.#broadcast.pages.map((page) =>
        page.driver.evaluate(() => window.screenWatch?.slowest ?? 0, undefined),
      ),
    );
    return Math.max(this.#loop.max / 1e6, firstLineAt - spawnedAt, ...drawn);
  }

  async strained(): Promise<boolean> {
    return (await this.worstMs()) > STRAINED_MS;
  }
}

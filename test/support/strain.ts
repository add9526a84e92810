import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { ServerProcess } from './process.ts';
import type { TestPage } from './test-page.ts';

/** A second in which something did not run that was due: pages and server have deadlines of few of them. */
const STRAINED_MS = 1_000;

/** Who is looked at. */
export interface Strained {
  readonly server: ServerProcess;
  readonly pages: readonly TestPage[];
}

/**
 * Whether the machine gives everybody the time that the deadlines of pages and server are made for. Where it does not, they rightly take a new
 * connection instead of waiting for the old one, and a test cannot ask for more.
 */
export class Strain {
  readonly #loop: IntervalHistogram = monitorEventLoopDelay({ resolution: 20 });
  readonly #broadcast: Strained;
  readonly #begunAt = performance.now();

  private constructor(broadcast: Strained) {
    this.#broadcast = broadcast;
    this.#loop.enable();
  }

  /** Looks from now on. */
  static async begin(broadcast: Strained): Promise<Strain> {
    for (const page of broadcast.pages) {
      await page.driver.evaluate(() => {
        if (window.screenWatch !== undefined) window.screenWatch.slowest = 0;
      }, undefined);
    }
    return new Strain(broadcast);
  }

  /** The longest delay since the beginning, in milliseconds: of this process, where the relays are, of a start of the server, of what pages draw. */
  async worstMs(): Promise<number> {
    const { spawnedAt, firstLineAt = performance.now() } = this.#broadcast.server.run;
    const drawn = await Promise.all(
      this.#broadcast.pages.map((page) =>
        page.driver.evaluate(() => window.screenWatch?.slowest ?? 0, undefined),
      ),
    );
    const start = spawnedAt < this.#begunAt ? 0 : firstLineAt - spawnedAt;
    return Math.max(this.#loop.max / 1e6, start, ...drawn);
  }

  async strained(): Promise<boolean> {
    return (await this.worstMs()) > STRAINED_MS;
  }
}

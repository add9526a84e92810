import { type Millis, monotonicNow } from '../util/clock.ts';
import { Histogram, type HistogramCounts } from '../util/histogram.ts';

/** How often the loop is asked to be on time: a stall that is longer is always seen. */
const INTERVAL: Millis = 50;
const DELAY_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500];

/** How late the event loop comes to what was due. */
export class EventLoopDelay {
  readonly #delays = new Histogram(DELAY_MS);
  #timer: NodeJS.Timeout | undefined;

  start(): void {
    let due = monotonicNow() + INTERVAL;
    const measure = (): void => {
      const now = monotonicNow();
      this.#delays.observe(Math.max(0, now - due));
      due = now + INTERVAL;
      this.#timer = setTimeout(measure, INTERVAL).unref();
    };
    this.#timer = setTimeout(measure, INTERVAL).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  capture(): HistogramCounts {
    return this.#delays.capture();
  }
}

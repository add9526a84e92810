import type { Millis } from '../util/clock.ts';
import { Histogram, type HistogramCounts } from '../util/histogram.ts';

const LOSS_RATIO = [0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
const ROUND_TRIP_MS = [5, 10, 25, 50, 100, 200, 300, 500, 1_000, 2_500, 5_000];
/** Browsers report on video once a second and on audio every five: whoever reports more often does not weigh more than others. */
const INTERVAL: Millis = 500;

/** When this viewer's reports were counted last, by the stream that they are on. */
export type CountedAt = Map<number, Millis>;

/** What viewers say of the way to them, as plain data; each report weighs the same, so that one viewer's bad network stays one viewer's. */
export interface ViewerReportCounts {
  /** The share of packets that did not come by themselves, 0 to 1, since the viewer's report before. What came again later counts as lost. */
  readonly lossRatio: HistogramCounts;
  readonly roundTripMs: HistogramCounts;
}

export class ViewerReports {
  readonly #lossRatio = new Histogram(LOSS_RATIO);
  readonly #roundTripMs = new Histogram(ROUND_TRIP_MS);

  /** `fractionLost` in 1/256, as on the wire (RFC 3550 §6.4.1); `roundTrip` where the report tells one. */
  note(
    { ssrc, fractionLost }: { readonly ssrc: number; readonly fractionLost: number },
    roundTrip: Millis | undefined,
    countedAt: CountedAt,
    now: Millis,
  ): void {
    if (now - (countedAt.get(ssrc) ?? Number.NEGATIVE_INFINITY) < INTERVAL) return;
    countedAt.set(ssrc, now);
    this.#lossRatio.observe(fractionLost / 256);
    if (roundTrip !== undefined) this.#roundTripMs.observe(roundTrip);
  }

  capture(): ViewerReportCounts {
    return { lossRatio: this.#lossRatio.capture(), roundTripMs: this.#roundTripMs.capture() };
  }
}

/** What {@link Histogram} holds, as plain data. */
export interface HistogramCounts {
  /** Upper bounds of the buckets, ascending. */
  readonly bounds: readonly number[];
  /** How many values fell into each bucket and into none before it; one more than there are bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** Counts values by size: a few additions each, and no more memory however many there are. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds ascending; a value that equals a bound is within it. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = [...bounds, Number.POSITIVE_INFINITY].map(() => 0);
  }

  observe(value: number): void {
    const bucket = this.#bounds.findIndex((bound) => value <= bound);
    const at = bucket < 0 ? this.#bounds.length : bucket;
    this.#counts[at] = this.#counts[at]! + 1;
    this.#sum += value;
  }

  capture(): HistogramCounts {
    return { bounds: this.#bounds, counts: [...this.#counts], sum: this.#sum };
  }
}

export const countOf = ({ counts }: HistogramCounts): number => counts.reduce((sum, count) => sum + count, 0);

/** The bound that this share of the values does not pass: `Infinity` where it passes all, `undefined` where there are no values. */
export function boundOf(histogram: HistogramCounts, share: number): number | undefined {
  const wanted = countOf(histogram) * share;
  if (wanted === 0) return undefined;
  let seen = 0;
  const at = histogram.counts.findIndex((count) => {
    seen += count;
    return seen >= wanted;
  });
  return histogram.bounds[at] ?? Number.POSITIVE_INFINITY;
}

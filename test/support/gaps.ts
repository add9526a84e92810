/** A stretch of time without a frame, in the unit of the times it was made from. */
export interface Gap {
  readonly from: number;
  readonly to: number;
  readonly length: number;
}

/** The longest time between two successive frames of which at least a part lies in [from, to]. `undefined` below two frames. */
export function longestGap(
  frames: readonly number[],
  from = Number.NEGATIVE_INFINITY,
  to = Number.POSITIVE_INFINITY,
): Gap | undefined {
  let longest: Gap | undefined;
  for (let i = 1; i < frames.length; i++) {
    const start = frames[i - 1]!;
    const end = frames[i]!;
    if (end < from || start > to) continue;
    if (longest === undefined || end - start > longest.length)
      longest = { from: start, to: end, length: end - start };
  }
  return longest;
}

/** The gap in which `at` lies. `undefined` where `at` is not between two frames. */
export function gapAround(frames: readonly number[], at: number): Gap | undefined {
  for (let i = 1; i < frames.length; i++) {
    const start = frames[i - 1]!;
    const end = frames[i]!;
    if (start <= at && at < end) return { from: start, to: end, length: end - start };
  }
  return undefined;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The value up to which this share of all lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

export const worst = (values: readonly number[]): number =>
  values.length === 0 ? Number.NaN : Math.max(...values);

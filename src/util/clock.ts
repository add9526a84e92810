/** A point or span on the monotonic clock, in milliseconds. Never compared across processes. */
export type Millis = number & { readonly unit?: 'monotonic-ms' };

/** Wall-clock time, in milliseconds since 1970. The only time that is written to a file. */
export type WallMillis = number & { readonly unit?: 'wall-ms' };

/** The time of this process: what every `now` is. */
export const monotonicNow = (): Millis => performance.now();
/** The time of the day: what is written to files. */
export const wallNow = (): WallMillis => Date.now();

/** Timers of Node and of browsers overflow to "at once" beyond this. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The earlier of two deadlines, either of which may be absent. */
export function earliest(...deadlines: readonly (Millis | undefined)[]): Millis | undefined {
  let first: Millis | undefined;
  for (const deadline of deadlines) {
    if (deadline !== undefined && (first === undefined || deadline < first)) first = deadline;
  }
  return first;
}

/** Short enough to be taken for a cut, long enough not to be heard as a click. */
const FADE_MS = 40;

/** How loud something is, from 0 to 1, that was at `gain` and fades to `target`, `elapsedMs` later. */
export function gainAfter(gain: number, target: number, elapsedMs: number): number {
  const step = Math.max(0, elapsedMs) / FADE_MS;
  return target > gain ? Math.min(target, gain + step) : Math.max(target, gain - step);
}

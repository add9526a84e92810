const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

/** As people say it: in the largest unit of which there are two. */
export function ageInWords(ms: number): string {
  const [unit, size] = UNITS.find(([, length]) => Math.abs(ms) >= 2 * length) ?? ['ms', 1];
  return `${Math.floor(ms / size)} ${unit}`;
}

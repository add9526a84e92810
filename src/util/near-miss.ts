/** One slip in a short name, two in a longer one: more are another name. */
const LONG = 7;

/** The one of `names` that somebody most likely meant by `typed`, or `undefined` where it looks like none of them. */
export function nearest(typed: string, names: readonly string[]): string | undefined {
  const normal = typed.toUpperCase().replaceAll('-', '_');
  const most = normal.length < LONG ? 1 : 2;
  let best: { readonly name: string; readonly slips: number } | undefined;
  for (const name of names) {
    if (Math.abs(name.length - normal.length) > most) continue;
    const slips = slipsBetween(normal, name);
    if (slips <= most && slips < (best?.slips ?? Number.POSITIVE_INFINITY)) best = { name, slips };
  }
  return best?.name;
}

/** Letters left out, added, or taken for others, and neighbours that changed places (Damerau's distance, each letter touched once). */
function slipsBetween(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, before[j - 2]! + 1);
      next.push(least);
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}

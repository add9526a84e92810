/** A plane through points by least squares: `y = constant + Σ slopes · x`. */
export interface Fit {
  readonly slopes: readonly number[];
  /** Standard errors of the slopes; not finite where there are too few points. */
  readonly errors: readonly number[];
}

interface Point {
  readonly y: number;
  readonly x: readonly number[];
}

export function leastSquares(points: readonly Point[]): Fit {
  const rows = points.map(({ x }) => [1, ...x]);
  const size = rows[0]!.length;
  const each = Array.from({ length: size }, (_, i) => i);
  const square = each.map((i) => each.map((j) => sum(rows.map((row) => row[i]! * row[j]!))));
  const inverse = invert(square);
  const right = each.map((i) => sum(rows.map((row, at) => row[i]! * points[at]!.y)));
  const found = inverse.map((row) => sum(row.map((value, j) => value * right[j]!)));
  const residues = points.map(({ y }, at) => y - sum(rows[at]!.map((value, j) => value * found[j]!)));
  const variance = sum(residues.map((residue) => residue ** 2)) / Math.max(0, points.length - size);
  return { slopes: found.slice(1), errors: each.slice(1).map((i) => Math.sqrt(variance * inverse[i]![i]!)) };
}

/** By Gauss and Jordan. */
function invert(matrix: readonly (readonly number[])[]): number[][] {
  const size = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1 : 0))]);
  for (let at = 0; at < size; at++) {
    const pivot = rows
      .slice(at)
      .reduce((best, row) => (Math.abs(row[at]!) > Math.abs(best[at]!) ? row : best));
    rows.splice(rows.indexOf(pivot), 1);
    rows.splice(at, 0, pivot);
    const scale = pivot[at]!;
    for (let j = 0; j < pivot.length; j++) pivot[j] = pivot[j]! / scale;
    for (const row of rows) {
      if (row === pivot) continue;
      const factor = row[at]!;
      for (let j = 0; j < row.length; j++) row[j] = row[j]! - factor * pivot[j]!;
    }
  }
  return rows.map((row) => row.slice(size));
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

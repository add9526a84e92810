import { cpus } from 'node:os';
import { median, worst } from '../test/support/gaps.ts';

/** One measured quantity and the goal beside it. */
export interface Row {
  readonly what: string;
  readonly values: readonly number[];
  readonly unit: string;
  readonly goal: string;
}

/** Rows as a Markdown table. */
export function markdownTable(rows: readonly Row[]): string {
  const lines = rows.map(({ what, values, unit, goal }) => {
    const cell = (value: number): string =>
      Number.isFinite(value) ? `${Math.round(value * 100) / 100} ${unit}`.trim() : '-';
    return `| ${what} | ${cell(rounded(median(values)))} | ${cell(rounded(worst(values)))} | ${values.length} | ${goal} |`;
  });
  return ['| what | median | worst | n | goal |', '|---|---|---|---|---|', ...lines].join('\n');
}

const rounded = (value: number): number => (Math.abs(value) >= 10 ? Math.round(value) : value);

/** What the numbers were measured on. */
export function machine(): string {
  const all = cpus();
  return `${all.length} × ${all[0]?.model.trim() ?? 'unknown processor'}, Node ${process.versions.node}, ${process.platform} ${process.arch}`;
}

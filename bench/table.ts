import { cpus } from 'node:os';
import { median, worst } from '../test/support/gaps.ts';

/** What a quantity is to be, in words and in its unit. */
export interface Goal {
  readonly words: string;
  readonly median?: number;
  readonly worst?: number;
  /** What is known of why, where it is missed. */
  readonly why?: string;
}

/** One measured quantity and the goal beside it. */
export interface Row {
  readonly what: string;
  readonly values: readonly number[];
  readonly unit: string;
  readonly goal?: Goal;
}

/** Rows as a Markdown table. */
export function markdownTable(rows: readonly Row[]): string {
  const lines = rows.map(({ what, values, unit, goal }) => {
    const cells = [what, inUnit(median(values), unit), inUnit(worst(values), unit), values.length];
    return `| ${cells.join(' | ')} | ${goal?.words ?? ''} |`;
  });
  return ['| what | median | worst | n | goal |', '|---|---|---|---|---|', ...lines].join('\n');
}

/** By how much a row misses its goal, and why; `undefined` where it does not. */
export function missedGoal({ what, values, unit, goal }: Row): string | undefined {
  const miss = (name: string, value: number, most = Number.POSITIVE_INFINITY): string[] =>
    value > most ? [`${name} ${inUnit(value, unit)}, and not ${inUnit(most, unit)}`] : [];
  const misses = [
    ...miss('the median is', median(values), goal?.median),
    ...miss('the worst is', worst(values), goal?.worst),
  ];
  if (misses.length === 0) return undefined;
  return `${what}: ${misses.join('; ')}.${goal?.why === undefined ? '' : ` ${goal.why}`}`;
}

function inUnit(value: number, unit: string): string {
  const rounded = Math.abs(value) >= 10 ? Math.round(value) : Math.round(value * 100) / 100;
  return Number.isFinite(value) ? `${rounded} ${unit}`.trim() : '-';
}

/** What the numbers were measured on. */
export function machine(): string {
  const all = cpus();
  return `${all.length} × ${all[0]?.model.trim() ?? 'unknown processor'}, Node ${process.versions.node}, ${process.platform} ${process.arch}`;
}

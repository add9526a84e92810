import { countOf, type HistogramCounts } from '../util/histogram.ts';

/** One value of a metric. What is `undefined` has not been there yet, and is left out. */
export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number | HistogramCounts | undefined;
}

export interface MetricFamily {
  /** Prometheus's words: lower case, base unit last, `_total` on counters. */
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** Of the text format that every Prometheus reads. */
export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Writes families in the text exposition format, version 0.0.4. */
export function writeExposition(families: readonly MetricFamily[]): string {
  return families.map(writeFamily).join('');
}

function writeFamily({ name, type, help, samples }: MetricFamily): string {
  const lines = samples.flatMap(({ labels = {}, value }) => {
    if (value === undefined) return [];
    return typeof value === 'number' ? [line(name, labels, value)] : histogramLines(name, labels, value);
  });
  return `${[`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`, ...lines].join('\n')}\n`;
}

/** Buckets are cumulative there. */
function histogramLines(
  name: string,
  labels: Readonly<Record<string, string>>,
  histogram: HistogramCounts,
): string[] {
  let below = 0;
  const buckets = histogram.counts.map((count, at) => {
    below += count;
    return line(`${name}_bucket`, { ...labels, le: number(histogram.bounds[at] ?? Infinity) }, below);
  });
  return [
    ...buckets,
    line(`${name}_sum`, labels, histogram.sum),
    line(`${name}_count`, labels, countOf(histogram)),
  ];
}

function line(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${number(value)}`;
}

const number = (value: number): string => (value === Infinity ? '+Inf' : String(value));
const escapeHelp = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
const escapeLabel = (text: string): string => escapeHelp(text).replaceAll('"', '\\"');

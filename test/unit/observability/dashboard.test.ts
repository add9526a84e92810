import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import { metricsOf } from '../../../src/observability/metrics.ts';
import { ROOT } from '../../support/process.ts';
import { metricNames, promtool } from '../../support/promtool.ts';
import { serverFactsOf } from '../../support/server-facts.ts';
import { testDirectory } from '../../support/test-directory.ts';

/** What Grafana needs of a dashboard to show it (its JSON model; schema version 36 is the first with data sources as objects). */
const text = z.string().check(z.minLength(1));
const datasource = z.object({ type: z.literal('prometheus'), uid: z.literal('$datasource') });
const gridPos = z.object({
  x: z.int().check(z.minimum(0)),
  y: z.int().check(z.minimum(0)),
  w: z.int().check(z.minimum(1), z.maximum(24)),
  h: z.int().check(z.minimum(1)),
});
const target = z.object({ refId: z.string().check(z.regex(/^[A-Z]$/)), datasource, expr: text });
const panel = z.union([
  z.object({ id: z.int(), type: z.literal('row'), title: text, gridPos, panels: z.array(z.unknown()) }),
  z.object({
    id: z.int(),
    type: z.enum(['stat', 'timeseries', 'table']),
    title: text,
    gridPos,
    datasource,
    targets: z.array(target).check(z.minLength(1)),
    fieldConfig: z.object({ defaults: z.looseObject({}), overrides: z.array(z.unknown()) }),
  }),
]);
const dashboard = z.object({
  uid: text,
  title: text,
  schemaVersion: z.int().check(z.minimum(36)),
  time: z.object({ from: text, to: text }),
  templating: z.object({ list: z.array(z.object({ name: text, type: z.enum(['datasource', 'query']) })) }),
  annotations: z.object({ list: z.array(z.object({ name: text, datasource, expr: text })) }),
  panels: z.array(panel).check(z.minLength(1)),
});

const board = dashboard.parse(JSON.parse(readFileSync(join(ROOT, 'docs/grafana/rekeycast.json'), 'utf8')));
const expressions = [
  ...board.panels.flatMap((one) => (one.type === 'row' ? [] : one.targets.map(({ expr }) => expr))),
  ...board.annotations.list.map(({ expr }) => expr),
];
const families = metricsOf(serverFactsOf());
const names = new Set(
  families.flatMap(({ name, type }) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  ),
);

const root = testDirectory();

/** promtool has no check for an expression alone: it takes them as recording rules. */
function checkExpressions(list: readonly string[]) {
  const rules = list.map((expr, at) => ({ record: `dashboard:${at}`, expr: filled(expr) }));
  const file = join(root.path, 'expressions.json');
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
  return promtool(['check', 'rules', file]);
}

/** As Grafana fills them in. */
const filled = (expr: string): string =>
  expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*');

describe('the dashboard', () => {
  it('asks in PromQL', () => {
    expect(checkExpressions(expressions)).toMatchObject({ ok: true });
    expect(expressions.some((expr) => /\$(?!__rate_interval|instance)/.test(expr))).toBe(false);
  });

  it('would be found out: promtool sees an expression that is none', () => {
    expect(checkExpressions([...expressions, 'rate(rekeycast_ready)']).ok).toBe(false);
  });

  it('asks for metrics that there are', () => {
    for (const expr of expressions)
      expect({ expr, unknown: metricNames(filled(expr)).filter((name) => !names.has(name)) }).toEqual({
        expr,
        unknown: [],
      });
    expect(metricNames('sum by (a) (rate(b{c="d"}[5m])) + on (e) f_g / time() * 2')).toEqual(['b', 'f_g']);
  });

  it('shows every metric that there is', () => {
    const shown = new Set(expressions.flatMap((expr) => metricNames(filled(expr))));
    const hidden = families.filter(({ name }) => !shown.has(name) && !shown.has(`${name}_bucket`));
    expect(hidden.map(({ name }) => name)).toEqual([]);
  });

  it('has a place of its own for each panel', () => {
    expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
    const cells = board.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(Math.max(...board.panels.map(({ gridPos: { x, w } }) => x + w))).toBeLessThanOrEqual(24);
  });

  it('lets the operator choose source and server', () => {
    expect(board.templating.list.map(({ name }) => name)).toEqual(['datasource', 'instance']);
    expect(expressions.every((expr) => expr.includes('instance=~"$instance"'))).toBe(true);
  });
});

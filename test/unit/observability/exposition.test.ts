import { describe, expect, it } from 'vitest';
import { type MetricFamily, writeExposition } from '../../../src/observability/exposition.ts';

const family = (rest: Partial<MetricFamily>): MetricFamily => ({
  name: 'x_total',
  type: 'counter',
  help: 'Of x.',
  samples: [],
  ...rest,
});

describe('the exposition format', () => {
  it('is a line for each sample, behind what the metric is', () => {
    const samples = [{ value: 1.5 }, { labels: { a: 'b', c: 'd' }, value: 2e-9 }];
    expect(writeExposition([family({ samples }), family({ name: 'y', type: 'gauge', help: 'Of y.' })])).toBe(
      '# HELP x_total Of x.\n# TYPE x_total counter\nx_total 1.5\nx_total{a="b",c="d"} 2e-9\n' +
        '# HELP y Of y.\n# TYPE y gauge\n',
    );
  });

  it('adds the buckets of a histogram up', () => {
    const value = { bounds: [0.1, 1], counts: [2, 0, 3], sum: 9 };
    const text = writeExposition([
      family({ name: 'z', type: 'histogram', samples: [{ labels: { a: 'b' }, value }] }),
    ]);
    expect(text.split('\n').slice(2)).toEqual([
      'z_bucket{a="b",le="0.1"} 2',
      'z_bucket{a="b",le="1"} 2',
      'z_bucket{a="b",le="+Inf"} 5',
      'z_sum{a="b"} 9',
      'z_count{a="b"} 5',
      '',
    ]);
  });

  it('leaves out what has not been there yet', () => {
    expect(writeExposition([family({ samples: [{ value: undefined }] })]).split('\n')).toHaveLength(3);
  });

  it('lets no text end its line or its quotes', () => {
    const text = writeExposition([
      family({ help: 'a\\b\nc', samples: [{ labels: { a: 'q"b\\s\nn' }, value: 1 }] }),
    ]);
    expect(text).toBe('# HELP x_total a\\\\b\\nc\n# TYPE x_total counter\nx_total{a="q\\"b\\\\s\\nn"} 1\n');
  });
});

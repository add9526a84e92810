import { describe, expect, it } from 'vitest';
import { Counters } from '../../../src/util/counters.ts';

describe('Counters', () => {
  it('count by reason', () => {
    const counters = new Counters<'a' | 'b'>();
    expect(counters.total).toBe(0);
    for (const reason of ['a', 'b', 'a'] as const) counters.add(reason);
    expect([counters.get('a'), counters.get('b'), counters.total]).toEqual([2, 1, 3]);
    expect(JSON.stringify(counters)).toBe('{"a":2,"b":1}');
  });
});

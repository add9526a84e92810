import { describe, expect, it } from 'vitest';
import { Deadlines } from '../../../src/server/deadlines.ts';

describe('the next of many deadlines', () => {
  it('is never late, and exact once one has passed', () => {
    const deadlines = new Deadlines<string>();
    expect(deadlines.next).toBe(Number.POSITIVE_INFINITY);
    deadlines.set('a', 30);
    deadlines.set('b', 10);
    deadlines.set('c', 20);
    expect(deadlines.next).toBe(10);
    deadlines.set('b', 50);
    expect(deadlines.next).toBe(10);
    deadlines.pass(10, () => expect.unreachable('it has moved away'));
    expect(deadlines.next).toBe(20);
  });

  it('passes each that is due, which may set itself and others anew', () => {
    const deadlines = new Deadlines<string>();
    for (const key of ['a', 'b', 'c']) deadlines.set(key, 10);
    deadlines.set('later', 11);
    const passed: string[] = [];
    deadlines.pass(9, () => expect.unreachable('none is due'));
    deadlines.pass(10, (key) => {
      passed.push(key);
      if (key === 'a') deadlines.delete('b');
      else deadlines.set(key, 40);
      deadlines.set('a', 30);
    });
    expect(passed).toEqual(['a', 'c']);
    expect(deadlines.next).toBe(11);
    deadlines.delete('later');
    deadlines.pass(11, () => expect.unreachable('it is gone'));
    expect(deadlines.next).toBe(30);
  });
});

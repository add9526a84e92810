import { setImmediate as nextTurn } from 'node:timers/promises';
import v8 from 'node:v8';
import { Script } from 'node:vm';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { collectSoon } from '../../../src/util/collect.ts';

const compiledBefore = new Script('(() => 42)()').createCachedData();

vi.mock('node:v8', async (original) => {
  const real = await original<typeof import('node:v8')>();
  return { ...real, setFlagsFromString: (flag: string) => setFlag(flag) };
});
let setFlag = v8.setFlagsFromString;

beforeEach(() => {
  setFlag = v8.setFlagsFromString;
  vi.useFakeTimers({ toFake: ['setTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

it('has what nobody holds any more collected half a second later, and says so', async () => {
  const [forgotten, held] = [new WeakRef(new Array(1000).fill(1)), new Array(1000).fill(2)];
  const stillHeld = new WeakRef(held);
  const collected = vi.fn();
  // A weak reference holds on until the turn of the loop is over in which it was made.
  await nextTurn();
  collectSoon(collected);
  vi.advanceTimersByTime(499);
  expect(collected).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(collected).toHaveBeenCalledTimes(1);
  expect(forgotten.deref()).toBeUndefined();
  expect(stillHeld.deref()).toBe(held);
});

it('runs once for all that ask while a run is due, and again for who asks later', () => {
  const collected = vi.fn();
  for (let i = 0; i < 3; i++) collectSoon(collected);
  vi.advanceTimersByTime(10_000);
  expect(collected).toHaveBeenCalledTimes(1);
  collectSoon(collected);
  // Later where a collection takes long, as it does on a busy machine.
  vi.advanceTimersByTime(600_000);
  expect(collected).toHaveBeenCalledTimes(2);
});

it('leaves the flags of V8 as they were, by which it tells whether compiled code of before is its own', () => {
  collectSoon(() => undefined);
  vi.advanceTimersByTime(10_000);
  // Of the same length, which is all that V8 compares: what was compiled before shows in the result.
  const script = new Script('(() => 43)()', { cachedData: compiledBefore });
  expect([script.cachedDataRejected, script.runInThisContext()]).toEqual([false, 42]);
});

it('finds the collector where another thread takes the flag back at the same moment: it is the whole process’s', async () => {
  vi.resetModules();
  const { collectSoon: inThisThread } = await import('../../../src/util/collect.ts');
  const others = ['--no-expose-gc', '--no-expose-gc'];
  setFlag = (flag) => {
    v8.setFlagsFromString(flag);
    const back = flag === '--expose-gc' ? others.pop() : undefined;
    if (back !== undefined) v8.setFlagsFromString(back);
  };
  const collected = vi.fn();
  inThisThread(collected);
  vi.advanceTimersByTime(500);
  expect([collected.mock.calls.length, others]).toEqual([1, []]);
});

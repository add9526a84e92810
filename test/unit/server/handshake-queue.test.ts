import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HandshakeQueue } from '../../../src/server/handshake-queue.ts';

/** Everybody who may begin now. */
function begin(queue: HandshakeQueue<number>, now: number): number[] {
  const begun: number[] = [];
  for (let key = queue.next(now); key !== undefined; key = queue.next(now)) begun.push(key);
  return begun;
}

describe('HandshakeQueue', () => {
  it('lets so many begin at a time, in the order in which they came', () => {
    const queue = new HandshakeQueue<number>(2);
    for (const key of [5, 3, 4, 1]) queue.add(key);
    expect(begin(queue, 0)).toEqual([5, 3]);
    expect([begin(queue, 0), queue.waiting]).toEqual([[], 2]);
    queue.done(3, 0);
    expect(begin(queue, 0)).toEqual([4]);
    queue.done(4, 0);
    queue.done(5, 0);
    expect(begin(queue, 0)).toEqual([1]);
    expect(queue.waiting).toBe(0);
  });

  it('lets nobody wait for long for one who does not answer', () => {
    const queue = new HandshakeQueue<number>(1);
    queue.add(1);
    queue.add(2);
    expect(begin(queue, 1_000)).toEqual([1]);
    expect(queue.nextTimeout()).toBe(1_500);
    expect(begin(queue, 1_499)).toEqual([]);
    expect(begin(queue, 1_500)).toEqual([2]);
    expect(queue.nextTimeout()).toBeUndefined();
  });

  it('forgets who has gone, and gives the place to the next', () => {
    const queue = new HandshakeQueue<number>(1);
    for (const key of [1, 2, 3]) queue.add(key);
    expect(begin(queue, 0)).toEqual([1]);
    queue.leave(2);
    queue.leave(1);
    expect(begin(queue, 0)).toEqual([3]);
  });

  it('keeps the place of who comes again while waiting, and gives a new one to who has begun', () => {
    const queue = new HandshakeQueue<number>(1);
    for (const key of [1, 2, 3, 2]) queue.add(key);
    expect(begin(queue, 0)).toEqual([1]);
    queue.add(1);
    expect(begin(queue, 0)).toEqual([2]);
    queue.done(2, 0);
    expect(begin(queue, 0)).toEqual([3]);
    queue.done(3, 0);
    expect(begin(queue, 0)).toEqual([1]);
  });

  it('lets more begin at a time the shorter they take, and fewer where they wait for each other', () => {
    const queue = new HandshakeQueue<number>(64);
    for (let key = 0; key < 1_000; key++) queue.add(key);
    let running = begin(queue, 0);
    const sizes = [running.length];
    let now = 0;
    for (const took of [100, 100, 100, 260, 400, 400, 400]) {
      now += took;
      for (const key of running) queue.done(key, now);
      running = begin(queue, now);
      sizes.push(running.length);
    }
    expect(sizes).toEqual([32, 64, 64, 64, 16, 16, 16, 16]);
  });

  it('waits for longer for one who does not answer where all take long', () => {
    const queue = new HandshakeQueue<number>(1);
    for (let key = 0; key < 100; key++) queue.add(key);
    let now = 0;
    for (let key = 0; key < 50; key++) {
      expect(begin(queue, now)).toEqual([key]);
      now += 400;
      queue.done(key, now);
    }
    expect(begin(queue, now)).toEqual([50]);
    expect(begin(queue, now + 500)).toEqual([]);
    expect(begin(queue, now + 1_200)).toEqual([51]);
  });

  it('takes one who has nothing to do for no short handshake', () => {
    const queue = new HandshakeQueue<number>(64);
    for (let key = 0; key < 1_000; key++) queue.add(key);
    const [first, ...running] = begin(queue, 0);
    queue.done(first!, 0);
    running.push(...begin(queue, 0));
    for (const key of running) queue.done(key, 100);
    expect(begin(queue, 100)).toHaveLength(64);
  });

  it('learns nothing from one that fails, however quickly: who fails on purpose slows nobody down', () => {
    const queue = new HandshakeQueue<number>(64);
    for (let key = 0; key < 1_000; key++) queue.add(key);
    let running = begin(queue, 0);
    let now = 0;
    for (let turn = 0; turn < 5; turn++) {
      const [failing, ...others] = running;
      // One had keys already, of before.
      queue.done(failing!, turn % 2 === 0 ? undefined : now - 1);
      running = begin(queue, now + 1);
      now += 150;
      for (const key of others) queue.done(key, now);
      running.push(...begin(queue, now));
    }
    expect(running).toHaveLength(64);
  });

  it('gives the place of one that fails to the next', () => {
    const queue = new HandshakeQueue<number>(1);
    queue.add(1);
    queue.add(2);
    expect(begin(queue, 0)).toEqual([1]);
    queue.done(1, undefined);
    expect(begin(queue, 1)).toEqual([2]);
  });

  it('has nobody wait longer and longer for those who always answer at the last moment', () => {
    const queue = new HandshakeQueue<number>(1);
    for (let key = 0; key < 100; key++) queue.add(key);
    let now = 0;
    for (let key = 0; key < 99; key++) {
      expect(begin(queue, now)).toEqual([key]);
      const end = queue.nextTimeout()!;
      expect(end - now).toBeLessThanOrEqual(2_000);
      now = end - 1;
      queue.done(key, now);
    }
    expect(begin(queue, now)).toEqual([99]);
  });

  it('never has more under way than its limit, and nobody overtakes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ key: fc.nat(20), what: fc.constantFrom('add', 'done', 'pass') }), {
          maxLength: 200,
        }),
        (steps) => {
          const queue = new HandshakeQueue<number>(3);
          const running = new Map<number, number>();
          let waiting: number[] = [];
          let now = 0;
          for (const { key, what } of steps) {
            if (what === 'add') {
              queue.add(key);
              running.delete(key);
              if (!waiting.includes(key)) waiting.push(key);
            } else if (what === 'done') {
              queue.done(key, now);
              running.delete(key);
            } else now += 200;
            for (const [other, until] of running) if (until <= now) running.delete(other);
            for (const begun of begin(queue, now)) {
              expect(begun).toBe(waiting[0]);
              waiting = waiting.slice(1);
              running.set(begun, now + 500);
            }
            expect(running.size).toBeLessThanOrEqual(3);
            expect(running.size === 3 || waiting.length === 0).toBe(true);
          }
        },
      ),
    );
  });
});

import { describe, expect, it } from 'vitest';
import { TokenBucket } from '../../../src/util/token-bucket.ts';

const passed = (bucket: TokenBucket, wishes: number, now: number): number =>
  Array.from({ length: wishes }, () => bucket.take(now)).filter((one) => one).length;

describe('a token bucket', () => {
  it('lets a burst through and no more', () => {
    expect(passed(new TokenBucket(40, 10, 5_000), 200, 5_000)).toBe(40);
  });

  it('lets its rate through after that', () => {
    const bucket = new TokenBucket(40, 10, 0);
    passed(bucket, 40, 0);
    expect(bucket.take(99)).toBe(false);
    expect(bucket.take(100)).toBe(true);
    expect(passed(bucket, 200, 1_100)).toBe(10);
  });

  it('saves up one burst and no more', () => {
    const bucket = new TokenBucket(40, 10, 0);
    passed(bucket, 40, 0);
    expect(passed(bucket, 200, 3_600_000)).toBe(40);
  });

  it('loses nothing to those that were refused', () => {
    const bucket = new TokenBucket(1, 10, 0);
    expect(bucket.take(0)).toBe(true);
    for (let now = 10; now < 100; now += 10) expect(bucket.take(now)).toBe(false);
    expect(bucket.take(101)).toBe(true);
  });
});

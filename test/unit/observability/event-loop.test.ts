import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { EventLoopDelay } from '../../../src/observability/event-loop.ts';
import { boundOf, countOf } from '../../../src/util/histogram.ts';

let delay: EventLoopDelay;

beforeEach(() => {
  vi.useFakeTimers();
  delay = new EventLoopDelay();
  delay.start();
});

afterEach(() => {
  delay.stop();
  vi.useRealTimers();
});

it('finds a loop that is on time on time', () => {
  vi.advanceTimersByTime(500);
  expect(countOf(delay.capture())).toBe(10);
  expect(delay.capture().sum).toBe(0);
});

it('finds a loop that was held up as late as it was', () => {
  const now = performance.now();
  vi.spyOn(performance, 'now').mockReturnValue(now + 350);
  vi.advanceTimersByTime(50);
  expect(delay.capture().sum).toBe(300);
  expect(boundOf(delay.capture(), 1)).toBe(500);
});

it('measures no more once it is stopped', () => {
  delay.stop();
  vi.advanceTimersByTime(500);
  expect(countOf(delay.capture())).toBe(0);
});

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { beforeEach, expect, it, vi } from 'vitest';
import { ENDS_WITHIN, EndingThreads } from '../../../../src/server/workers/ending-threads.ts';

let before: number;
beforeEach(() => {
  before = process.listenerCount('exit');
});

const watching = (): number => process.listenerCount('exit') - before;

async function startThread(): Promise<Worker> {
  const thread = new Worker('setInterval(() => {}, 1000)', { eval: true });
  await once(thread, 'online');
  return thread;
}

/** What would happen if the process were to end so many milliseconds from now. */
function killedAtExit(laterMs: number): boolean {
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
  const now = performance.now();
  const clock = vi.spyOn(performance, 'now').mockReturnValue(now + laterMs);
  for (const leave of process.listeners('exit').slice(before)) leave.call(process, 0);
  const killed = kill.mock.calls.some(([pid, signal]) => pid === process.pid && signal === 'SIGKILL');
  kill.mockRestore();
  clock.mockRestore();
  return killed;
}

it('has the process killed at its end where a thread does not end, and not before that may be', async () => {
  const ending = new EndingThreads();
  const threads = [await startThread(), await startThread()];
  for (const thread of threads) ending.add(thread);
  ending.add(threads[0]!);
  expect(watching()).toBe(1);
  expect(killedAtExit(0)).toBe(false);
  expect(killedAtExit(ENDS_WITHIN + 1)).toBe(true);
  await threads[0]!.terminate();
  expect(killedAtExit(ENDS_WITHIN + 1)).toBe(true);
  await threads[1]!.terminate();
  expect(watching()).toBe(0);
});

it('has nothing to do with a thread that has ended already, whoever says again that it is to', async () => {
  const ending = new EndingThreads();
  const thread = await startThread();
  ending.add(thread);
  await thread.terminate();
  ending.add(thread);
  expect(watching()).toBe(0);
});

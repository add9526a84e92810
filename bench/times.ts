import { readdirSync, readFileSync } from 'node:fs';

/** The system's monotonic clock in milliseconds, which all processes share. */
export const systemNow = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Nanoseconds on a processor, and of waiting for one. */
export interface ThreadTime {
  readonly ran: number;
  readonly waited: number;
}

/** Of each thread, but for those that have ended (the kernel's Documentation/scheduler/sched-stats). */
export function timesOf(pid: number): readonly (readonly [task: string, time: ThreadTime])[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    try {
      const [ran, waited] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1')
        .split(' ')
        .map(Number);
      return [[task, { ran: ran!, waited: waited! }] as const];
    } catch {
      // It has ended since.
      return [];
    }
  });
}

/** Nanoseconds on a processor, of all threads of a process. */
export const processorTimeOf = (pid: number): number =>
  timesOf(pid).reduce((sum, [, { ran }]) => sum + ran, 0);

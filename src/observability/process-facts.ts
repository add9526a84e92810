import { readdirSync, readFileSync } from 'node:fs';
import type { ProcessFacts } from './facts.ts';

const MAX_FILES = /^Max open files\s+(\d+)/m;

/** What the machine gives this process. What it does not tell is left out. */
export function processFacts(): ProcessFacts {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  const limit = told(() => MAX_FILES.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]);
  // One of them is the directory that is being read.
  const openFiles = told(() => readdirSync('/proc/self/fd').length - 1);
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: rss,
    heapBytes: heapUsed,
    ...(openFiles === undefined ? {} : { openFiles }),
    ...(limit === undefined ? {} : { maxFiles: Number(limit) }),
  };
}

function told<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

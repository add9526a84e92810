import { execFileSync } from 'node:child_process';

/** A pipe without a reader and a writer: whoever opens it waits, unless told not to. */
export function makePipe(path: string): void {
  execFileSync('sh', ['-c', 'mkfifo "$0"', path]);
}

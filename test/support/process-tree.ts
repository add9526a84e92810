import { readdirSync, readFileSync } from 'node:fs';

/**
 * Sends a signal to a process and to everything that it has started, also to what is started meanwhile. One that has ended in between needs
 * none: a browser starts and ends processes all the time.
 */
export function signalTree(root: number, signal: NodeJS.Signals): void {
  const signalled = new Set<number>();
  for (;;) {
    const rest = processTree(root).filter((pid) => !signalled.has(pid));
    if (rest.length === 0) return;
    for (const pid of rest) {
      signalled.add(pid);
      signalOne(pid, signal);
    }
  }
}

function signalOne(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** A process and everything that it has started, by process id. */
function processTree(root: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const parent = Number.isInteger(pid) ? parentOf(pid) : undefined;
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

function parentOf(pid: number): number | undefined {
  try {
    // The name, in parentheses, may have anything in it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}

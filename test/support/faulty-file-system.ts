import { writeFileSync } from 'node:fs';
import { type FileSystem, nodeFileSystem } from '../../src/util/file-system.ts';

/** What a process that was killed in the middle of a step cannot tell anybody. */
export class Killed extends Error {}

export interface FaultyFileSystem extends FileSystem {
  /** Steps taken so far. */
  readonly steps: number;
}

/** Steps that change something; a kill between two others leaves the same files. */
const CHANGES = new Set([
  'write',
  'writeDurably',
  'syncDirectory',
  'append',
  'overwrite',
  'rename',
  'keepAs',
  'remove',
  'makeDirectory',
  'changeMode',
]);

/**
 * The real file system, for a process that is killed in step number `killAt` (from 1) and does nothing any more after that. A write
 * that is cut by the kill leaves a part of its bytes.
 */
export function killedAt(killAt: number): FaultyFileSystem {
  let steps = 0;
  return new Proxy(nodeFileSystem as FaultyFileSystem, {
    get(target, name: keyof FaultyFileSystem) {
      if (name === 'steps') return steps;
      const step = target[name] as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        if (steps >= killAt) throw new Killed();
        if (!CHANGES.has(name)) return step(...args);
        steps++;
        if (steps < killAt) return step(...args);
        if (name === 'write' || name === 'writeDurably') {
          const [path, bytes] = args as [string, Uint8Array];
          writeFileSync(path, bytes.subarray(0, bytes.length / 2), { mode: 0o600 });
        }
        throw new Killed();
      };
    },
  });
}

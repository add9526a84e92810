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
  'writeOver',
  'syncDirectory',
  'append',
  'appendDurably',
  'overwrite',
  'rename',
  'keepAs',
  'remove',
  'makeDirectory',
  'changeMode',
]);
const WRITES = new Set(['write', 'writeDurably', 'append', 'appendDurably']);
/** Those of them that are cut by a kill. */
const CUT = new Set(['write', 'writeDurably']);

/** What the step in which a process is killed leaves: a part of a write and else nothing, or all of it. */
export type KillMoment = 'during' | 'after';

type Step = (...args: unknown[]) => unknown;

/** The real file system as one process has it: the process can be killed in any step, and a directory can be full. */
export class ProcessFiles {
  readonly fs: FaultyFileSystem;
  #steps = 0;
  #killAt = Number.POSITIVE_INFINITY;
  #moment: KillMoment = 'during';
  #killed = false;
  #full: string | undefined;
  #fullFrom = 0;

  constructor() {
    this.fs = new Proxy(nodeFileSystem as FaultyFileSystem, {
      get: (target, name: keyof FaultyFileSystem) => {
        if (name === 'steps') return this.#steps;
        const step = target[name] as Step;
        return (...args: unknown[]) => this.#take(name, step, args);
      },
    });
  }

  get killed(): boolean {
    return this.#killed;
  }

  /** Nothing is done any more from now on. */
  kill(): void {
    this.#killed = true;
  }

  /** The process is killed in the step that is so many from now. */
  killIn(steps: number, moment: KillMoment = 'during'): void {
    this.#killAt = this.#steps + steps;
    this.#moment = moment;
  }

  /** Nothing can be written to this directory, or again where it is `undefined`. */
  fill(directory: string | undefined): void {
    this.fillIn(0, directory);
  }

  /** The same from the step on that is so many from now. */
  fillIn(steps: number, directory: string | undefined): void {
    this.#full = directory;
    this.#fullFrom = this.#steps + steps;
  }

  #take(name: keyof FaultyFileSystem, step: Step, args: unknown[]): unknown {
    if (this.#killed) throw new Killed();
    if (!CHANGES.has(name)) return step(...args);
    this.#steps++;
    if (this.#steps < this.#killAt) {
      if (WRITES.has(name) && this.#isFull(String(args[0]))) {
        throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      }
      return step(...args);
    }
    this.#killed = true;
    if (this.#moment === 'after') return this.#dieAfter(step(...args));
    if (CUT.has(name)) {
      const [path, bytes] = args as [string, Uint8Array];
      writeFileSync(path, bytes.subarray(0, bytes.length / 2), { mode: 0o600 });
    }
    throw new Killed();
  }

  #dieAfter(done: unknown): Promise<never> {
    if (!(done instanceof Promise)) throw new Killed();
    return done.then(() => {
      throw new Killed();
    });
  }

  #isFull(path: string): boolean {
    return this.#full !== undefined && this.#steps >= this.#fullFrom && path.startsWith(this.#full);
  }
}

/**
 * The real file system, for a process that is killed in step number `killAt` (from 1) and does nothing any more after that. A write
 * that is cut by the kill leaves a part of its bytes.
 */
export function killedAt(killAt: number): FaultyFileSystem {
  const files = new ProcessFiles();
  files.killIn(killAt);
  return files.fs;
}

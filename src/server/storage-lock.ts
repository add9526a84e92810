import { messageOf, RekeycastError } from '../errors.ts';
import { DirectoryLock } from './directory-lock.ts';

export interface StorageLockOptions {
  readonly stateDir: string;
  readonly runtimeDir: string | undefined;
  /** What is said to whom another process is in the way of. */
  readonly words?: string;
  /** Told, in words, where one of them cannot be locked, and the other is. */
  readonly unlocked?: (message: string) => void;
}

/**
 * One server at a time on RUNTIME_DIR and on STATE_DIR: two that share the one and not the other would overwrite each other's identity. A lock is a
 * socket, and not every file system has sockets: in RAM they all do, and STATE_DIR is locked where it can be.
 */
export class StorageLock {
  readonly #locks: readonly DirectoryLock[];

  private constructor(locks: readonly DirectoryLock[]) {
    this.#locks = locks;
  }

  /** Throws `STATE_IN_USE` where another process has one of them, and what kept it from the first where neither can be locked. */
  static async take({ stateDir, runtimeDir, words, unlocked }: StorageLockOptions): Promise<StorageLock> {
    const options = words === undefined ? {} : { words };
    const locks: DirectoryLock[] = [];
    const problems: unknown[] = [];
    for (const directory of directoriesOf(stateDir, runtimeDir)) {
      try {
        locks.push(await DirectoryLock.take(directory, options));
      } catch (cause) {
        problems.push(cause);
        if (!(cause instanceof RekeycastError) || cause.code !== 'STATE_IN_USE') continue;
        for (const lock of locks) lock.release();
        throw cause;
      }
    }
    if (locks.length === 0) throw problems[0];
    if (problems.length > 0)
      unlocked?.(
        `not all of STATE_DIR and RUNTIME_DIR can be locked (${messageOf(problems[0])}): nothing keeps a server that shares only that one from starting in the same instant`,
      );
    return new StorageLock(locks);
  }

  /** Whether a process has one of them. */
  static async isHeld({ stateDir, runtimeDir }: StorageLockOptions): Promise<boolean> {
    const directories = directoriesOf(stateDir, runtimeDir);
    const held = await Promise.all(directories.map((directory) => DirectoryLock.isHeld(directory)));
    return held.includes(true);
  }

  release(): void {
    for (const lock of this.#locks) lock.release();
  }
}

const directoriesOf = (stateDir: string, runtimeDir: string | undefined): readonly string[] =>
  runtimeDir === undefined ? [stateDir] : [runtimeDir, stateDir];

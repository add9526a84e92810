import type { CliIo } from '../../src/cli/workplace.ts';
import { type FileSystem, nodeFileSystem } from '../../src/util/file-system.ts';

/** What a command has ended with, and what it has said. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function ran(run: (io: CliIo) => Promise<number>): Promise<Ran> {
  let [out, err] = ['', ''];
  const code = await run({
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
  });
  return { code, out, err };
}

const TMPFS = 0x01021994;

/** The same file system, all of it in RAM by its own word: tests' directories lie wherever they do. */
export const inRam = (fs: FileSystem = nodeFileSystem): FileSystem =>
  new Proxy(fs, {
    get: (target, name: keyof FileSystem) => (name === 'type' ? () => TMPFS : target[name]),
  });

/** The settings of a server on these directories. */
export const settingsOf = (directories: {
  readonly stateDir: string;
  readonly keysDir: string;
  readonly runtimeDir: string;
}): Record<string, string> => ({
  STATE_DIR: directories.stateDir,
  KEYS_DIR: directories.keysDir,
  RUNTIME_DIR: directories.runtimeDir,
});

import { join } from 'node:path';
import { RekeycastError } from '../errors.ts';
import type { FileSystem } from '../util/file-system.ts';

/** There are never more, whatever WORKERS says and whatever lies in a directory: each is a thread with a port. */
export const MAX_WORKERS = 64;

/** A worker's own in STATE_DIR and in RUNTIME_DIR: it has the names in it that the server has in those. */
const FOLDER = /^worker-([1-9]\d*)$/;

export const workerFolder = (directory: string, number: number): string =>
  join(directory, `worker-${number}`);

/** The same, for the worker itself. Throws `STATE_UNWRITABLE` for a link: it would lead what may lie in RAM only to a disk, and no command would find what is behind it. */
export function ownFolder(directory: string, number: number, fs: FileSystem): string {
  const folder = workerFolder(directory, number);
  const found = fs.linkInfo(folder);
  if (found === undefined || found.isDirectory) return folder;
  throw new RekeycastError(
    'STATE_UNWRITABLE',
    `${folder} is ${found.isLink ? 'a symbolic link' : 'no directory'}, and has to be a directory: move it away`,
  );
}

interface Places {
  readonly stateDir: string;
  readonly runtimeDir: string | undefined;
}

/** Where sealed files lie: the server's own place, and that of each worker. */
export function placesOf({ stateDir, runtimeDir }: Places, fs: FileSystem): readonly Places[] {
  const numbers = new Set(
    [stateDir, runtimeDir].flatMap((directory) =>
      directory === undefined ? [] : workerNumbers(directory, fs),
    ),
  );
  const workers = [...numbers].map((number) => ({
    stateDir: workerFolder(stateDir, number),
    runtimeDir: runtimeDir && workerFolder(runtimeDir, number),
  }));
  return [{ stateDir, runtimeDir }, ...workers];
}

/** Numbers of the workers that have a folder there. */
export const workerNumbers = (directory: string, fs: FileSystem): readonly number[] =>
  foldersIn(directory, fs)
    .map(numberOf)
    .filter((number) => number <= MAX_WORKERS)
    .sort((a, b) => a - b);

/** Names of folders there that are called as a worker's and are of none: no server has made them. */
export const foreignFolders = (directory: string, fs: FileSystem): readonly string[] =>
  foldersIn(directory, fs).filter((name) => numberOf(name) > MAX_WORKERS);

const foldersIn = (directory: string, fs: FileSystem): readonly string[] =>
  fs
    .list(directory)
    .filter((name) => FOLDER.test(name) && fs.linkInfo(join(directory, name))?.isDirectory === true);

const numberOf = (name: string): number => Number(FOLDER.exec(name)?.[1]);

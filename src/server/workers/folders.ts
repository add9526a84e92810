import { rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { IDENTITY_ANCHOR, IDENTITY_FILE, PREVIOUS_FILE } from '../../snapshot/identity-file.ts';
import { MEDIA_ANCHOR, MEDIA_FILE } from '../../snapshot/media-file.ts';
import { workerFolder, workerNumbers } from '../../snapshot/worker-folders.ts';
import { errorCode, type FileSystem, nodeFileSystem } from '../../util/file-system.ts';

/** Workers that are to run: as many as are wanted, and those of an earlier process that have left something. */
export function workersToRun(
  wanted: number,
  stateDir: string,
  fs: FileSystem = nodeFileSystem,
): readonly number[] {
  const numbers = new Set(Array.from({ length: wanted }, (_, i) => i + 1));
  for (const number of found(stateDir, fs))
    if (
      [IDENTITY_FILE, PREVIOUS_FILE, MEDIA_ANCHOR].some((name) =>
        fs.info(join(workerFolder(stateDir, number), name)),
      )
    )
      numbers.add(number);
  return [...numbers].sort((a, b) => a - b);
}

function found(stateDir: string, fs: FileSystem): readonly number[] {
  try {
    return workerNumbers(stateDir, fs);
  } catch {
    // What is wrong with the directory is said by whoever needs it next.
    return [];
  }
}

/** What a worker has left that has nobody any more, and is not wanted. What was put aside stays, and the folder with it. */
export function removeFolders(
  stateDir: string,
  runtimeDir: string | undefined,
  number: number,
  fs: FileSystem = nodeFileSystem,
): void {
  for (const directory of [stateDir, ...(runtimeDir === undefined ? [] : [runtimeDir])]) {
    const folder = workerFolder(directory, number);
    for (const name of [IDENTITY_FILE, PREVIOUS_FILE, MEDIA_ANCHOR, MEDIA_FILE, IDENTITY_ANCHOR])
      fs.remove(join(folder, name));
    try {
      rmdirSync(folder);
    } catch (cause) {
      if (errorCode(cause) !== 'ENOTEMPTY' && errorCode(cause) !== 'ENOENT') throw cause;
    }
  }
}

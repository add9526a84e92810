import { rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../config.ts';
import { RekeycastError } from '../../errors.ts';
import { IDENTITY_ANCHOR, IDENTITY_FILE, PREVIOUS_FILE } from '../../snapshot/identity-file.ts';
import { MEDIA_ANCHOR, MEDIA_FILE } from '../../snapshot/media-file.ts';
import { foreignFolders, workerFolder, workerNumbers } from '../../snapshot/worker-folders.ts';
import { errorCode, type FileSystem, nodeFileSystem } from '../../util/file-system.ts';
import { LAST_PORT, portTooHigh } from '../../util/setting.ts';

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

/** Those that are not wanted, and have sessions, have ports as well. Throws `CONFIG_INVALID` where there is none for one of them: its sessions wait. */
export function checkPorts(
  numbers: readonly number[],
  { udpPort, announced, stateDir }: Pick<Config, 'udpPort' | 'announced' | 'stateDir'>,
): void {
  const last = Math.max(0, ...numbers);
  const tooHigh = portTooHigh({ UDP_PORT: udpPort, ANNOUNCED_PORT: announced.port }, last);
  if (tooHigh === undefined) return;
  const [name, port] = tooHigh;
  const words = `${workerFolder(stateDir, last)} has sessions of an earlier start, whose worker needs the port ${name} + ${last}: ${name} is ${port}, and there are only ${LAST_PORT}. Give it a lower one, or move that folder away, and its sessions with it`;
  throw new RekeycastError('CONFIG_INVALID', words);
}

/** Folders that look like those of workers, and are left alone. */
export const foldersLeftAlone = (stateDir: string, fs: FileSystem = nodeFileSystem): readonly string[] =>
  unlessUnreadable(() => foreignFolders(stateDir, fs));

const found = (stateDir: string, fs: FileSystem): readonly number[] =>
  unlessUnreadable(() => workerNumbers(stateDir, fs));

/** What is wrong with the directory is said by whoever needs it next. */
function unlessUnreadable<Found>(read: () => readonly Found[]): readonly Found[] {
  try {
    return read();
  } catch {
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

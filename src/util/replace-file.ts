import { dirname } from 'node:path';
import { messageOf, RekeycastError } from '../errors.ts';
import { errorCode, type FileSystem } from './file-system.ts';

/**
 * Puts a file of mode 0600 in the place of another: whoever opens the path finds the old content or the new one, whole. For RAM-backed
 * files: nothing is synced. Throws `STATE_UNWRITABLE`, and then the old file is still there and nothing of the new one is.
 */
export function replace(fs: FileSystem, path: string, bytes: Uint8Array): void {
  const temporary = `${path}.tmp`;
  try {
    fs.write(temporary, bytes);
    fs.rename(temporary, path);
  } catch (cause) {
    throw abandoned(fs, temporary, path, cause);
  }
}

/**
 * The same, returning when it is on the disk. `beforeSwap` is called when the new content is safe and the old one still in its place.
 */
export async function replaceDurably(
  fs: FileSystem,
  path: string,
  bytes: Uint8Array,
  beforeSwap: () => void = () => {},
): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await fs.writeDurably(temporary, bytes);
    beforeSwap();
    fs.rename(temporary, path);
    await fs.syncDirectory(dirname(path));
  } catch (cause) {
    throw abandoned(fs, temporary, path, cause);
  }
}

/** Zeroes a file where it lies and removes it; does nothing where there is none. A directory in its place holds no secret and stays. */
export function shred(fs: FileSystem, path: string): void {
  const found = fs.linkInfo(path);
  if (found === undefined || found.isDirectory) return;
  if (found.isFile) {
    try {
      fs.overwrite(path);
    } catch (cause) {
      if (errorCode(cause) !== 'ENOENT') throw cause;
    }
  }
  fs.remove(path);
}

/**
 * The same where somebody else may have put it: a file with a second name could be any file of ours, so it is not zeroed. If it was the right
 * one, whoever gave it that name could have copied it as well.
 */
export function shredUnlessShared(fs: FileSystem, path: string): void {
  const found = fs.linkInfo(path);
  if (found?.isFile === true && found.links > 1) fs.remove(path);
  else shred(fs, path);
}

function abandoned(fs: FileSystem, temporary: string, path: string, cause: unknown): RekeycastError {
  try {
    // The place it takes may be what a full disk lacks, and it may hold a key.
    shredUnlessShared(fs, temporary);
  } catch {
    // What went wrong first is what has to be told; a leftover is removed at the next start.
  }
  return new RekeycastError('STATE_UNWRITABLE', `${path} cannot be written: ${messageOf(cause)}`, { cause });
}

import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  type Stats,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants;

/** Nothing of ours is larger: what is, is not zeroed before it is removed. */
const MAX_OVERWRITTEN_BYTES = 64 * 1024 * 1024;

interface FileInfo {
  /** Permission bits only. */
  readonly mode: number;
  readonly uid: number;
  readonly size: number;
  readonly inode: bigint;
  /** How many names it has. */
  readonly links: number;
  readonly isFile: boolean;
  readonly isDirectory: boolean;
  readonly isLink: boolean;
  /** Last change of the content, wall clock, ms. */
  readonly modifiedAt: number;
  /** Last change of the inode (a rename too), wall clock, ms. */
  readonly changedAt: number;
  /**
   * Inode number and time of its last change, in hex: another one once the file has been written, renamed, linked or replaced. The kernel keeps
   * it, so that nobody but root puts a file back under the stamp that it had.
   */
  readonly stamp: string;
}

/**
 * The steps that files are changed in, as one interface: what a test lets fail at each of them. All but the two durable ones
 * are synchronous, since they take microseconds; those wait for the disk.
 *
 * Whoever may write to a directory can put anything in a file's place: nothing here waits for a pipe, and only what `info`, `readInto` and
 * `changeMode` are given may be a symbolic link.
 *
 * Everything throws what node:fs throws, except that what is not there is `undefined` where the type says so.
 */
export interface FileSystem {
  /** Of what a symbolic link leads to. */
  info(path: string): FileInfo | undefined;
  /** Of a symbolic link itself. */
  linkInfo(path: string): FileInfo | undefined;
  /** The whole file; `undefined` where there is none. Throws `RangeError` past `maxBytes` and for what is no file: a link, a pipe, a directory. */
  read(path: string, maxBytes: number): Uint8Array | undefined;
  /** The same with the stamp of what was read. */
  readStamped(
    path: string,
    maxBytes: number,
  ): { readonly bytes: Uint8Array; readonly stamp: string } | undefined;
  /** Reads into memory of the caller's: secrets pass through no other. Gives the size of the file. */
  readInto(path: string, target: Uint8Array): number | undefined;
  /** Names in a directory, sorted; empty where there is none. */
  list(path: string): readonly string[];
  /** Writes a new file of mode 0600; one of the same name is removed before. For RAM-backed files: nothing is synced. */
  write(path: string, bytes: Uint8Array): void;
  /** The same, returning when it is on the disk. */
  writeDurably(path: string, bytes: Uint8Array): Promise<void>;
  /**
   * Replaces the content of a file in place, in one write: it takes no space, and a process that is killed leaves the old content or the
   * new one. Not synced. Throws where there is no file of this very size, or one with a second name.
   */
  writeOver(path: string, bytes: Uint8Array): void;
  /** The directory's entries are on the disk when it returns. */
  syncDirectory(path: string): Promise<void>;
  /** Adds whole lines to a file, on the disk when it returns. Where a killed process has left a part of a line, they begin on one of their own. */
  append(path: string, bytes: Uint8Array): void;
  /** The same without waiting for the disk in between. */
  appendDurably(path: string, bytes: Uint8Array): Promise<void>;
  /** Replaces the content with zeroes of the same length, in place, and syncs it. */
  overwrite(path: string): void;
  rename(from: string, to: string): void;
  /** A second name for a file; a copy of it where the file system has no hard links. */
  keepAs(from: string, to: string): void;
  /** Does nothing where there is none. */
  remove(path: string): void;
  makeDirectory(path: string, mode: number): void;
  changeMode(path: string, mode: number): void;
  /** The `f_type` of the file system a path is on (statfs(2)). */
  type(path: string): number | undefined;
}

export const nodeFileSystem: FileSystem = {
  info: (path) => describe(statSync(path, { bigint: true, throwIfNoEntry: false })),
  linkInfo: (path) => describe(lstatSync(path, { bigint: true, throwIfNoEntry: false })),
  read: (path, maxBytes) => nodeFileSystem.readStamped(path, maxBytes)?.bytes,
  readStamped: (path, maxBytes) =>
    openedForReading(path, O_NOFOLLOW, (fd) => {
      const { size } = regular(fd, path);
      if (size > maxBytes) throw new RangeError(`${path} has ${size} bytes, more than ${maxBytes}`);
      const bytes = new Uint8Array(size);
      const length = fill(fd, bytes);
      // Afterwards: what was changed while it was read has another stamp than before.
      return { bytes: bytes.subarray(0, length), stamp: stampOf(fstatSync(fd, { bigint: true })) };
    }),
  readInto: (path, target) =>
    openedForReading(path, 0, (fd) => {
      fill(fd, target);
      return fstatSync(fd).size;
    }),
  list: (path) => {
    try {
      return readdirSync(path).sort();
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') return [];
      throw cause;
    }
  },
  write: (path, bytes) => {
    nodeFileSystem.remove(path);
    opened(path, O_WRONLY | O_CREAT | O_EXCL, (fd) => writeAll(fd, bytes));
  },
  writeDurably: async (path, bytes) => {
    nodeFileSystem.remove(path);
    const file = await open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  writeOver: (path, bytes) =>
    opened(path, O_WRONLY | O_NOFOLLOW, (fd) => {
      const { size, nlink } = regular(fd, path);
      // A second name may be that of a file which is none of ours.
      if (size !== bytes.length || nlink !== 1)
        throw new RangeError(`${path} is not the file that was there`);
      writeAll(fd, bytes);
    }),
  syncDirectory: async (path) => {
    const directory = await open(path, O_RDONLY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  append: (path, bytes) =>
    opened(path, APPENDING, (fd) => {
      appendLines(fd, path, bytes);
      fsyncSync(fd);
    }),
  appendDurably: async (path, bytes) => {
    const file = await open(path, APPENDING | O_NONBLOCK, 0o600);
    try {
      appendLines(file.fd, path, bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  overwrite: (path) =>
    opened(path, O_RDWR | O_NOFOLLOW, (fd) => {
      const { size } = regular(fd, path);
      if (size > MAX_OVERWRITTEN_BYTES) return;
      const zeroes = new Uint8Array(Math.min(size, 65_536));
      for (let at = 0; at < size; ) at += writeSync(fd, zeroes, 0, Math.min(zeroes.length, size - at), at);
      fsyncSync(fd);
    }),
  rename: renameSync,
  keepAs: (from, to) => {
    try {
      linkSync(from, to);
    } catch (cause) {
      if (!NO_HARD_LINKS.has(errorCode(cause) ?? '')) throw cause;
      copyFileSync(from, to, constants.COPYFILE_EXCL);
    }
  },
  remove: (path) => {
    try {
      unlinkSync(path);
    } catch (cause) {
      if (errorCode(cause) !== 'ENOENT') throw cause;
    }
  },
  makeDirectory: (path, mode) => {
    const missing: string[] = [];
    for (let at = resolve(path); statSync(at, { throwIfNoEntry: false }) === undefined; at = dirname(at))
      missing.unshift(at);
    // Not Node's `recursive`: where the kernel makes none in a directory that is there (/proc), that one tries for ever.
    for (const directory of missing.length === 0 ? [path] : missing) makeOneDirectory(directory, mode);
  },
  changeMode: chmodSync,
  type: (path) => {
    try {
      return statfsSync(path).type;
    } catch {
      return undefined;
    }
  },
};

const APPENDING = O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW;
const NEWLINE = Uint8Array.of(0x0a);

function appendLines(fd: number, path: string, bytes: Uint8Array): void {
  const { size } = regular(fd, path);
  const last = new Uint8Array(1);
  if (size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== NEWLINE[0]) writeAll(fd, NEWLINE);
  writeAll(fd, bytes);
}

/** The `code` of a node:fs error. */
export function errorCode(cause: unknown): string | undefined {
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
}

function describe(stat: BigIntStats | undefined): FileInfo | undefined {
  if (stat === undefined) return undefined;
  return {
    mode: Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    size: Number(stat.size),
    inode: stat.ino,
    links: Number(stat.nlink),
    isFile: stat.isFile(),
    isDirectory: stat.isDirectory(),
    isLink: stat.isSymbolicLink(),
    modifiedAt: Number(stat.mtimeNs) / 1e6,
    changedAt: Number(stat.ctimeNs) / 1e6,
    stamp: stampOf(stat),
  };
}

const stampOf = ({ ino, ctimeNs }: BigIntStats): string =>
  [ino, ctimeNs].map((part) => BigInt.asUintN(64, part).toString(16).padStart(16, '0')).join('');

/** Another process may have made it in the same instant. */
function makeOneDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (cause) {
    if (errorCode(cause) !== 'EEXIST' || !statSync(path, { throwIfNoEntry: false })?.isDirectory())
      throw cause;
  }
}

const NO_HARD_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

function opened<T>(path: string, flags: number, use: (fd: number) => T): T {
  // A pipe is not waited for; to a file the flag says nothing.
  const fd = openSync(path, flags | O_NONBLOCK, 0o600);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function openedForReading<T>(path: string, flags: number, use: (fd: number) => T): T | undefined {
  try {
    return opened(path, O_RDONLY | flags, use);
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return undefined;
    if (errorCode(cause) === 'ELOOP')
      throw new RangeError(`${path} is a symbolic link, which is not followed`);
    throw cause;
  }
}

/** Throws `RangeError` for what is no file. */
function regular(fd: number, path: string): Stats {
  const stats = fstatSync(fd);
  if (!stats.isFile()) throw new RangeError(`${path} is not a regular file`);
  return stats;
}

function fill(fd: number, target: Uint8Array): number {
  let length = 0;
  while (length < target.length) {
    const got = readSync(fd, target, length, target.length - length, null);
    if (got === 0) break;
    length += got;
  }
  return length;
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

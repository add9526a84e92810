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
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { open } from 'node:fs/promises';

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants;

interface FileInfo {
  /** Permission bits only. */
  readonly mode: number;
  readonly uid: number;
  readonly size: number;
  readonly inode: bigint;
  readonly isDirectory: boolean;
  readonly isLink: boolean;
  /** Last change of the content, wall clock, ms. */
  readonly modifiedAt: number;
  /** Last change of the inode (a rename too), wall clock, ms. */
  readonly changedAt: number;
}

/**
 * The steps that files are changed in, as one interface: what a test lets fail at each of them. All but the two durable ones
 * are synchronous, since they take microseconds; those wait for the disk.
 *
 * Everything throws what node:fs throws, except that what is not there is `undefined` where the type says so.
 */
export interface FileSystem {
  /** Of what a symbolic link leads to. */
  info(path: string): FileInfo | undefined;
  /** Of a symbolic link itself. */
  linkInfo(path: string): FileInfo | undefined;
  /** The whole file; `undefined` where there is none. Throws `RangeError` past `maxBytes`. */
  read(path: string, maxBytes: number): Uint8Array | undefined;
  /** Reads into memory of the caller's: secrets pass through no other. Gives the size of the file. */
  readInto(path: string, target: Uint8Array): number | undefined;
  /** Names in a directory, sorted; empty where there is none. */
  list(path: string): readonly string[];
  /** Writes a file of mode 0600, replacing one of the same name. For RAM-backed files: nothing is synced. */
  write(path: string, bytes: Uint8Array): void;
  /** The same, returning when it is on the disk. */
  writeDurably(path: string, bytes: Uint8Array): Promise<void>;
  /** The directory's entries are on the disk when it returns. */
  syncDirectory(path: string): Promise<void>;
  append(path: string, bytes: Uint8Array): void;
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
  read: (path, maxBytes) =>
    openedForReading(path, (fd) => {
      const { size } = fstatSync(fd);
      if (size > maxBytes) throw new RangeError(`${path} has ${size} bytes, more than ${maxBytes}`);
      const bytes = new Uint8Array(size);
      return bytes.subarray(0, fill(fd, bytes));
    }),
  readInto: (path, target) =>
    openedForReading(path, (fd) => {
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
  write: (path, bytes) =>
    opened(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, (fd) => writeAll(fd, bytes)),
  writeDurably: async (path, bytes) => {
    const file = await open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  syncDirectory: async (path) => {
    const directory = await open(path, O_RDONLY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  append: (path, bytes) =>
    opened(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, (fd) => {
      writeAll(fd, bytes);
      fsyncSync(fd);
    }),
  overwrite: (path) =>
    opened(path, O_RDWR | O_NOFOLLOW, (fd) => {
      const { size } = fstatSync(fd);
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
    mkdirSync(path, { recursive: true, mode });
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
    isDirectory: stat.isDirectory(),
    isLink: stat.isSymbolicLink(),
    modifiedAt: Number(stat.mtimeNs) / 1e6,
    changedAt: Number(stat.ctimeNs) / 1e6,
  };
}

const NO_HARD_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

function opened<T>(path: string, flags: number, use: (fd: number) => T): T {
  const fd = openSync(path, flags, 0o600);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function openedForReading<T>(path: string, use: (fd: number) => T): T | undefined {
  try {
    return opened(path, O_RDONLY, use);
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return undefined;
    throw cause;
  }
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

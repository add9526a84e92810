import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import * as z from 'zod/mini';
import { messageOf } from '../errors.ts';
import { decodeUtf8, utf8 } from '../util/bytes.ts';
import { errorCode, type FileSystem, nodeFileSystem } from '../util/file-system.ts';
import { parseJson } from '../util/json.ts';
import { isProcessAlive } from '../util/process-alive.ts';
import { replace } from '../util/replace-file.ts';

/** Which server runs on a STATE_DIR, so that an operator's command finds it whatever environment it was started in. */
export interface RunFile {
  readonly pid: number;
  /** Start of the process in clock ticks since the machine's (proc(5), field 22): tells it from another of the same id. */
  readonly processStart: string;
  readonly host: string;
  readonly adminSocket: string;
  /** Absent where nothing lies in RAM. In strict mode it is there: the admin socket lies in it. */
  readonly runtimeDir?: string | undefined;
}

const RUN_FILE = 'server.json';
const MAX_BYTES = 8192;

/** Shown to the operator: no more than text. */
const text = z.string().check(z.regex(/^\P{Cc}*$/u));

const schema = z.object({
  pid: z.int().check(z.positive()),
  processStart: text,
  host: text,
  adminSocket: text,
  runtimeDir: z.optional(text),
});

/** Says that this process is the server of a STATE_DIR. `withdraw` takes that back at a clean exit. Throws `STATE_UNWRITABLE`. */
export function announceServer(
  stateDir: string,
  where: Pick<RunFile, 'adminSocket' | 'runtimeDir'>,
  fs: FileSystem = nodeFileSystem,
): { withdraw(): void } {
  const path = join(stateDir, RUN_FILE);
  const run: RunFile = {
    pid: process.pid,
    processStart: processStart(process.pid, fs) ?? '',
    host: hostname(),
    // Absolute: the command may be run from another directory.
    adminSocket: resolve(where.adminSocket),
    ...(where.runtimeDir === undefined ? {} : { runtimeDir: resolve(where.runtimeDir) }),
  };
  replace(fs, path, utf8(`${JSON.stringify(run)}\n`));
  return { withdraw: () => fs.remove(path) };
}

/** What was announced last, whether that server runs or not; `undefined` where there is nothing or it makes no sense. */
export function readRunFile(stateDir: string, fs: FileSystem = nodeFileSystem): RunFile | undefined {
  try {
    const bytes = fs.read(join(stateDir, RUN_FILE), MAX_BYTES);
    const parsed = schema.safeParse(parseJson(decodeUtf8(bytes ?? new Uint8Array(0))));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** What keeps this user from reading it, in words: whether a server runs cannot be told then. `undefined` where it can be read, or is not there. */
export function whyUnreadable(stateDir: string, fs: FileSystem = nodeFileSystem): string | undefined {
  try {
    fs.read(join(stateDir, RUN_FILE), MAX_BYTES);
    return undefined;
  } catch (cause) {
    const code = errorCode(cause);
    return code === 'EACCES' || code === 'EPERM'
      ? `whether a server runs cannot be told: the directory is another user's (${messageOf(cause)}). Run this as that user`
      : undefined;
  }
}

/** `unknown`: it ran on another host (or in another container), where this process cannot look. */
export function serverLiveness(
  run: RunFile,
  fs: FileSystem = nodeFileSystem,
): 'running' | 'stopped' | 'unknown' {
  if (run.host !== hostname()) return 'unknown';
  if (!isProcessAlive(run.pid)) return 'stopped';
  return run.processStart === (processStart(run.pid, fs) ?? '') ? 'running' : 'stopped';
}

function processStart(pid: number, fs: FileSystem): string | undefined {
  const buffer = new Uint8Array(1024);
  try {
    if (fs.readInto(`/proc/${pid}/stat`, buffer) === undefined) return undefined;
  } catch {
    return undefined;
  }
  // The second field is the program's name in parentheses, with whatever is in it; the others are counted from its end.
  const text = decodeUtf8(buffer.subarray(0, buffer.indexOf(0))) ?? '';
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[22 - 3];
}

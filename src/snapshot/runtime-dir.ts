import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { messageOf } from '../errors.ts';
import { errorCode, type FileSystem, nodeFileSystem } from '../util/file-system.ts';
import type { Report } from './store.ts';

/** `f_type` of the file systems that lie in RAM (statfs(2)). A tmpfs may be swapped out: SECURITY.md says what that means. */
const RAM_BACKED: ReadonlyMap<number, string> = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
]);
const RUNTIME_MODE = 0o700;

export interface RuntimeDirOptions {
  /** RUNTIME_DIR as the operator has set it. */
  readonly given: string | undefined;
  readonly stateDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly report: Report;
  /** Makes it where it is missing, and closes it to others (default). Otherwise nothing is changed, and one that is missing is passed over. */
  readonly prepare?: boolean;
  readonly fs?: FileSystem;
  readonly uid?: number;
}

/**
 * A RAM-backed directory for `media.sealed`, closed to others: RUNTIME_DIR where it is given and no other; else what systemd or
 * the session gives, else one in /dev/shm, named after STATE_DIR so that two servers do not share one. `undefined` where there is none: then no
 * media context is written anywhere and a resume is by re-key alone.
 */
export function chooseRuntimeDir(options: RuntimeDirOptions): string | undefined {
  const { given, env, report } = options;
  const reasons: string[] = [];
  for (const candidate of given === undefined ? candidates(options) : [resolve(given)]) {
    const reason = unsuitable(candidate, options);
    if (reason === undefined) return candidate;
    reasons.push(`${candidate}: ${reason}`);
  }
  if (given !== undefined) {
    report({
      level: 'warn',
      event: 'runtime-dir-unsuitable',
      message: `RUNTIME_DIR is not used (${reasons.join('; ')}): no media context is written, viewers resume by re-key alone`,
    });
  } else {
    report({
      level: 'warn',
      event: 'strict',
      message: `there is no RAM-backed directory (${reasons.join('; ')}): no media context is written, viewers resume by re-key alone. Set RUNTIME_DIR to a directory on a tmpfs${env.RUNTIME_DIRECTORY === undefined ? ' (under systemd: RuntimeDirectory=)' : ''}`,
    });
  }
  return undefined;
}

function candidates({ env, stateDir, uid = ownUid() }: RuntimeDirOptions): readonly string[] {
  const name = createHash('sha256').update(resolve(stateDir)).digest('hex').slice(0, 12);
  const found: string[] = [];
  // systemd.exec(5): several directories are separated by colons.
  const systemd = env.RUNTIME_DIRECTORY?.split(':')[0];
  if (systemd !== undefined && systemd !== '') found.push(systemd);
  const session = env.XDG_RUNTIME_DIR;
  if (session !== undefined && session !== '') found.push(join(session, `rekeycast-${name}`));
  found.push(`/dev/shm/rekeycast-${uid}-${name}`);
  return found;
}

/** What speaks against a directory, in words. */
function unsuitable(
  path: string,
  { prepare = true, fs = nodeFileSystem, uid = ownUid() }: RuntimeDirOptions,
): string | undefined {
  try {
    // Not through a link: in a directory that all may write to, somebody else could have laid it.
    if (prepare && fs.linkInfo(path) === undefined) fs.makeDirectory(path, RUNTIME_MODE);
    const found = fs.linkInfo(path);
    if (found?.isDirectory !== true) return 'not a directory';
    if (found.uid !== uid) return `belongs to user ${found.uid}`;
    const type = fs.type(path);
    if (type === undefined || !RAM_BACKED.has(type >>> 0)) return 'not in RAM (neither tmpfs nor ramfs)';
    if (!prepare) return undefined;
    if ((found.mode & 0o077) !== 0) fs.changeMode(path, RUNTIME_MODE);
    return unwritable(path, fs);
  } catch (cause) {
    return messageOf(cause);
  }
}

/** Locks and sockets lie there as well, which take no space: a full one is not this one's business. */
function unwritable(path: string, fs: FileSystem): string | undefined {
  const probe = join(path, `probe.${process.pid}.tmp`);
  try {
    fs.write(probe, new Uint8Array(0));
    fs.remove(probe);
    return undefined;
  } catch (cause) {
    return errorCode(cause) === 'ENOSPC' ? undefined : messageOf(cause);
  }
}

const ownUid = (): number => process.geteuid?.() ?? -1;

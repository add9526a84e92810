import { messageOf } from '../errors.ts';
import { utf8 } from '../util/bytes.ts';
import { type WallMillis, wallNow } from '../util/clock.ts';
import { type FileSystem, nodeFileSystem } from '../util/file-system.ts';

/** Its name in STATE_DIR. */
export const AUDIT_FILE = 'audit.log';

/** Something that has to be found again later: who did what with a key. Never a secret. */
export interface AuditEvent {
  readonly event: string;
  readonly [name: string]: string | number | boolean | readonly string[];
}

export interface AuditOptions {
  readonly path: string;
  /** Told where a line could not be written: what was done is done, and stays so. */
  readonly failed: (message: string) => void;
  readonly fs?: FileSystem;
  readonly now?: () => WallMillis;
}

/** An append-only log, one JSON object a line, each on the disk when the call returns. The file has mode 0600. */
export function openAudit(options: AuditOptions): (event: AuditEvent) => void {
  const { path, failed, fs = nodeFileSystem, now = wallNow } = options;
  return (event) => {
    const line = JSON.stringify({ time: new Date(now()).toISOString(), pid: process.pid, ...event });
    try {
      fs.append(path, utf8(`${line}\n`));
    } catch (cause) {
      failed(`${path} cannot be written: ${messageOf(cause)}`);
    }
  };
}

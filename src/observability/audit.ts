import { messageOf } from '../errors.ts';
import { utf8 } from '../util/bytes.ts';
import { type Millis, type WallMillis, wallNow } from '../util/clock.ts';
import { type FileSystem, nodeFileSystem } from '../util/file-system.ts';

/** Its name in STATE_DIR. */
export const AUDIT_FILE = 'audit.log';

/** All that is audited. docs/audit-log.md describes them, and a test compares it with this. */
export const AUDIT_EVENTS = [
  'server-started',
  'server-stopped',
  'key-added',
  'key-promoted',
  'key-disabled',
  'key-enabled',
  'key-destroyed',
  'key-opened',
  'resealed',
  'certificate-created',
  'certificate-replaced',
  'session-resumed',
  'token-refused',
  'rekey-ordered',
  'demo-ordered',
  'rekey-started',
  'keyed',
  'stale-keys-destroyed',
  'handshake-failed',
  'snapshot-refused',
  'anchor-refused',
  'identity-damaged',
  'identity-lost',
  'media-unusable',
  'media-expired',
  'audit-suppressed',
  'audit-lost',
] as const;

export type AuditEventName = (typeof AUDIT_EVENTS)[number];

/** Something that has to be found again later: who did what with a key. Never a secret. */
export interface AuditEvent {
  readonly event: AuditEventName;
  /** Which part of the program: `server`, or the command that was called. */
  readonly by: 'server' | 'keys' | 'certificate' | 'snapshot';
  readonly [name: string]: string | number | boolean | readonly string[];
}

export interface AuditOptions {
  readonly path: string;
  /** Told where a line could not be written: what was done is done, and stays so. */
  readonly failed: (message: string) => void;
  readonly fs?: FileSystem;
  readonly now?: () => WallMillis;
}

/** An append-only log, one JSON object a line, each on the disk when the call returns. The file has mode 0600. For commands. */
export function openAudit(options: AuditOptions): (event: AuditEvent) => void {
  const { path, failed, fs = nodeFileSystem, now = wallNow } = options;
  return (event) => {
    try {
      fs.append(path, utf8(lineOf(event, now())));
    } catch (cause) {
      failed(`${path} cannot be written: ${messageOf(cause)}`);
    }
  };
}

/**
 * The same log as a server writes it: a moment later, all that has happened in between in one write, because a resume does not wait for a
 * disk. What cannot be written is kept and tried again with the next.
 *
 * The file is opened for each write, so that one that was moved away is followed by a new one.
 */
export class DeferredAudit {
  readonly #options: AuditOptions;
  #lines: string[] = [];
  #lost = 0;
  #failing = false;
  #timer: NodeJS.Timeout | undefined;
  #written: Promise<void> = Promise.resolve();

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  record(event: AuditEvent): void {
    const { now = wallNow } = this.#options;
    if (this.#lines.length >= MAX_WAITING) {
      this.#lines.shift();
      this.#lost++;
    }
    this.#lines.push(lineOf(event, now()));
    this.#timer ??= setTimeout(() => void this.flush(), DELAY);
  }

  /** Settles when everything up to now is on the disk, or could not be written. Never rejects. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#written = this.#written.then(() => this.#write());
    return this.#written;
  }

  async #write(): Promise<void> {
    const { path, failed, fs = nodeFileSystem, now = wallNow } = this.#options;
    const [lines, lost] = [this.#lines, this.#lost];
    if (lines.length === 0) return;
    const text = lost === 0 ? [] : [lineOf({ event: 'audit-lost', by: 'server', count: lost }, now())];
    [this.#lines, this.#lost] = [[], 0];
    try {
      await fs.appendDurably(path, utf8([...text, ...lines].join('')));
      this.#failing = false;
    } catch (cause) {
      const kept = [...lines, ...this.#lines];
      this.#lines = kept.slice(-MAX_WAITING);
      this.#lost += lost + kept.length - this.#lines.length;
      if (!this.#failing) failed(`${path} cannot be written: ${messageOf(cause)}. It is tried again`);
      this.#failing = true;
    }
  }
}

const DELAY: Millis = 200;
/** Lines of a few hundred bytes. */
const MAX_WAITING = 10_000;

const lineOf = (event: AuditEvent, now: WallMillis): string =>
  `${JSON.stringify({ time: new Date(now).toISOString(), pid: process.pid, ...event })}\n`;

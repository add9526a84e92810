import { basename, dirname, join } from 'node:path';
import { messageOf, RekeycastError } from '../errors.ts';
import type { SnapshotKeys } from '../keyring/keyring.ts';
import { toHex } from '../util/bytes.ts';
import type { WallMillis } from '../util/clock.ts';
import { errorCode, type FileSystem } from '../util/file-system.ts';
import { replaceDurably } from '../util/replace-file.ts';
import type { Secret } from '../util/secret.ts';
import { decodeServer, decodeSession, type ServerRecord } from './codec/identity.ts';
import { MAX_SEALED_BYTES, readHeader } from './header.ts';
import type { IdentitySnapshot, SessionRecord } from './schema.ts';
import { openSealed } from './seal.ts';
import type { Report } from './store.ts';

export const IDENTITY_FILE = 'identity.sealed';
export const PREVIOUS_FILE = 'identity.previous.sealed';

const TEMPORARY_NAME = /^identity\..*tmp$/;

export interface IdentityFilesOptions {
  readonly directory: string;
  readonly fs: FileSystem;
  readonly keys: SnapshotKeys;
  readonly report: Report;
  readonly now: () => WallMillis;
}

/** What one of the two files holds. */
interface Contents {
  readonly server: ServerRecord | undefined;
  readonly sessions: readonly SessionRecord[];
  /** What is wrong with it, in words. */
  readonly damage: string | undefined;
  /** Records may be missing. */
  readonly partial: boolean;
}

/** `identity.sealed` and the generation before it. At every instruction of a write at least one of them is whole. */
export class IdentityFiles {
  readonly #options: IdentityFilesOptions;
  #generation: number | undefined;
  /** The current file is not whole, so it must not become the previous one. */
  #currentDamaged = false;

  constructor(options: IdentityFilesOptions) {
    this.#options = options;
  }

  /** See `SnapshotStore.readIdentity`. */
  read(): IdentitySnapshot | undefined {
    const { fs, directory } = this.#options;
    for (const name of fs.list(directory)) if (TEMPORARY_NAME.test(name)) fs.remove(join(directory, name));
    const current = this.#load(IDENTITY_FILE);
    this.#currentDamaged = current?.damage !== undefined;
    if (current?.server !== undefined && !current.partial)
      return snapshotOf(current.server, current.sessions);
    const previous = this.#loadPrevious(current);
    return this.#merge(current, previous);
  }

  /** The generation for the next write: one above all that are there. */
  nextGeneration(): number {
    this.#generation ??= Math.max(this.#generationOf(IDENTITY_FILE), this.#generationOf(PREVIOUS_FILE));
    this.#generation++;
    return this.#generation;
  }

  /**
   * 1. the new file is written under a temporary name and synced,
   * 2. the current file gets the previous one's name as well (a second link, renamed over it),
   * 3. the new file is renamed over the current one, and the directory synced.
   *
   * Rejects with `STATE_UNWRITABLE`.
   */
  async write(bytes: Uint8Array): Promise<void> {
    const { fs, directory } = this.#options;
    const current = join(directory, IDENTITY_FILE);
    await replaceDurably(fs, current, bytes, () => {
      if (!this.#currentDamaged && fs.info(current) !== undefined) this.#keepAsPrevious(current);
    });
    this.#currentDamaged = false;
  }

  #keepAsPrevious(current: string): void {
    const { fs, directory } = this.#options;
    const link = join(directory, `${PREVIOUS_FILE}.${process.pid}.tmp`);
    fs.remove(link);
    fs.keepAs(current, link);
    fs.rename(link, join(directory, PREVIOUS_FILE));
    // rename(2) does nothing where both names are the same file already.
    fs.remove(link);
  }

  #loadPrevious(current: Contents | undefined): Contents | undefined {
    try {
      return this.#load(PREVIOUS_FILE);
    } catch (cause) {
      // Where the current file has the certificate, it is enough to start with; refusing would help nobody.
      if (current?.server === undefined || !(cause instanceof RekeycastError)) throw cause;
      this.#options.report({
        level: 'warn',
        event: 'identity-damaged',
        message: `the previous generation cannot fill what is damaged: ${cause.message}`,
      });
      return undefined;
    }
  }

  #merge(current: Contents | undefined, previous: Contents | undefined): IdentitySnapshot | undefined {
    if (current === undefined && previous === undefined) return undefined;
    const server = current?.server ?? previous?.server;
    if (server === undefined) {
      this.#options.report({
        level: 'warn',
        event: 'identity-lost',
        message: `neither ${IDENTITY_FILE} nor ${PREVIOUS_FILE} holds a readable certificate: starting anew, the damaged files are kept`,
      });
      return undefined;
    }
    if (previous?.server !== undefined && previous.server !== server) disposeServer(previous.server);
    const sessions = newestWins(current?.sessions ?? [], previous?.sessions ?? []);
    this.#options.report({
      level: 'warn',
      event: 'identity-filled',
      message: `${current?.sessions.length ?? 0} sessions from ${IDENTITY_FILE}, ${sessions.length - (current?.sessions.length ?? 0)} more from ${PREVIOUS_FILE}`,
    });
    return snapshotOf(server, sessions);
  }

  #load(name: string): Contents | undefined {
    const path = join(this.#options.directory, name);
    let bytes: Uint8Array | undefined;
    try {
      bytes = this.#options.fs.read(path, MAX_SEALED_BYTES);
    } catch (cause) {
      // EIO: the disk is damaged there, which is the same to us as a damaged file.
      if (errorCode(cause) !== 'EIO')
        throw new RekeycastError('STATE_UNWRITABLE', `${path} cannot be read: ${messageOf(cause)}`, {
          cause,
        });
      bytes = new Uint8Array(0);
    }
    if (bytes === undefined) return undefined;
    const contents = decode(path, bytes, this.#options.keys);
    if (contents.damage !== undefined) this.#putAside(path, contents.damage);
    return contents;
  }

  /** Gives a damaged file a second name under which it stays; the first is left until a good file replaces it. */
  #putAside(path: string, damage: string): void {
    const { fs, report, now } = this.#options;
    report({ level: 'warn', event: 'identity-damaged', message: `${path} is damaged: ${damage}` });
    try {
      const kept = `${basename(path)}.damaged-`;
      const inode = fs.info(path)?.inode;
      const earlier = fs.list(dirname(path)).filter((name) => name.startsWith(kept));
      if (earlier.some((name) => fs.info(join(dirname(path), name))?.inode === inode)) return;
      const time = new Date(now()).toISOString().replaceAll(/[:.]/g, '-');
      const name = `${kept}${time}${earlier.includes(kept + time) ? `-${earlier.length}` : ''}`;
      fs.keepAs(path, join(dirname(path), name));
      report({ level: 'info', event: 'identity-kept-aside', message: `the damaged file stays as ${name}` });
    } catch (cause) {
      report({
        level: 'warn',
        event: 'identity-kept-aside',
        message: `the damaged file ${path} could not be kept: ${messageOf(cause)}`,
      });
    }
  }

  #generationOf(name: string): number {
    try {
      return readHeader(this.#options.fs, join(this.#options.directory, name))?.generation ?? 0;
    } catch {
      return 0;
    }
  }
}

/** Throws where the file is whole but cannot be opened here. */
function decode(path: string, bytes: Uint8Array, keys: SnapshotKeys): Contents {
  const opened = openSealed(bytes, (id) => secretFor(path, id, keys), { kind: 'identity' });
  switch (opened.outcome) {
    case 'damaged':
      return { server: undefined, sessions: [], damage: opened.damage, partial: true };
    case 'newer':
      throw new RekeycastError(
        'SEALED_FILE_INVALID',
        `${path} was written by a newer version (format ${opened.version}): start that version, or move the file away to begin anew`,
      );
    case 'locked':
      throw new RekeycastError(
        'KEY_INVALID',
        `${path} names the snapshot key ${opened.keyId}, but this key does not open it; nothing was changed`,
      );
    case 'opened': {
      const decoded = decodeRecords(opened.records);
      const damage = opened.damage ?? decoded.damage;
      return { ...decoded, damage, partial: !opened.complete || decoded.damage !== undefined };
    }
  }
}

function secretFor(path: string, id: string, keys: SnapshotKeys): Secret {
  try {
    return keys.secret(id);
  } catch (cause) {
    if (!(cause instanceof RekeycastError)) throw cause;
    throw new RekeycastError(cause.code, `${path} cannot be opened: ${cause.message}`, { cause });
  }
}

function decodeRecords(records: readonly Secret[]): Omit<Contents, 'partial'> {
  let server: ServerRecord | undefined;
  let damage: string | undefined;
  const sessions: SessionRecord[] = [];
  for (const [at, record] of records.entries()) {
    if (at === 0) server = decodeServer(record.bytes);
    const session = at === 0 ? undefined : decodeSession(record.bytes);
    if (session !== undefined) sessions.push(session);
    else if (at !== 0 || server === undefined) damage ??= `record ${at + 1} makes no sense`;
    record.dispose();
  }
  if (records.length === 0) damage = 'it has no records';
  return { server, sessions, damage };
}

function newestWins(
  newer: readonly SessionRecord[],
  older: readonly SessionRecord[],
): readonly SessionRecord[] {
  const known = new Set(newer.map(({ id }) => toHex(id)));
  return [...newer, ...older.filter(({ id }) => !known.has(toHex(id)))];
}

const snapshotOf = (server: ServerRecord, sessions: readonly SessionRecord[]): IdentitySnapshot => ({
  ...server,
  sessions,
});

function disposeServer(server: ServerRecord): void {
  server.certificate.privateKey.dispose();
  server.tokenKey.dispose();
}

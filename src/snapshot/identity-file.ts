import { basename, dirname, join } from 'node:path';
import { messageOf, RekeycastError } from '../errors.ts';
import type { SnapshotKeys } from '../keyring/keyring.ts';
import { toHex } from '../util/bytes.ts';
import type { WallMillis } from '../util/clock.ts';
import { errorCode, type FileSystem } from '../util/file-system.ts';
import { replaceDurably } from '../util/replace-file.ts';
import type { Secret } from '../util/secret.ts';
import { AnchorFile, isAuthentic, NONE, newSnapshotId, readBootId, standing } from './anchor.ts';
import { decodeServer, decodeSession, type ServerRecord } from './codec/identity.ts';
import { MAX_SEALED_BYTES, readHeader, type SealedHeader } from './header.ts';
import type { IdentitySnapshot, SessionRecord } from './schema.ts';
import { openSealed } from './seal.ts';
import type { Report } from './store.ts';

export const IDENTITY_FILE = 'identity.sealed';
export const PREVIOUS_FILE = 'identity.previous.sealed';

export const IDENTITY_ANCHOR = 'identity.anchor';

const TEMPORARY_NAME = /^identity\..*tmp$/;

export interface IdentityFilesOptions {
  readonly directory: string;
  /** Where their anchor lies: another directory, of which the machine's start leaves nothing. `undefined`: there is none. */
  readonly anchorDirectory: string | undefined;
  /** Where this server's own anchor lies, where these are the files of a worker: while it is there, so is one for each file that a worker has written. */
  readonly ownAnchorDirectory?: string | undefined;
  readonly fs: FileSystem;
  readonly keys: SnapshotKeys;
  readonly report: Report;
  readonly now: () => WallMillis;
  /** The directory is another process's. */
  readonly isClosed?: () => boolean;
}

export const storeClosed = (): RekeycastError =>
  new RekeycastError(
    'STATE_IN_USE',
    'this process has let go of its directories, and writes nothing there any more',
  );

/** What one of the two files holds. */
interface Contents {
  readonly server: ServerRecord | undefined;
  readonly sessions: readonly SessionRecord[];
  /** What is wrong with it, in words. */
  readonly damage: string | undefined;
  /** It is not what we have written, or not what we have written last. */
  readonly refused?: boolean;
  /** Records may be missing. */
  readonly partial: boolean;
}

/** What lies under the two names, by snapshot id. */
interface Slots {
  readonly current: string;
  readonly previous: string;
}

/**
 * `identity.sealed` and the generation before it. At every instruction of a write at least one of them is whole. Older ones that are put back
 * are found out by the anchor, and refused.
 */
export class IdentityFiles {
  readonly #options: IdentityFilesOptions;
  readonly #anchor: AnchorFile | undefined;
  #generation: number | undefined;
  #slots: Slots = { current: NONE, previous: NONE };
  /** The current file is not whole, so it must not become the previous one. */
  #currentDamaged = false;

  constructor(options: IdentityFilesOptions) {
    this.#options = options;
    const { anchorDirectory } = options;
    if (anchorDirectory !== undefined)
      this.#anchor = new AnchorFile({
        ...options,
        path: join(anchorDirectory, IDENTITY_ANCHOR),
        kind: 'identity',
      });
  }

  /** See `SnapshotStore.readIdentity`. */
  read(): IdentitySnapshot | undefined {
    const { fs, directory } = this.#options;
    for (const name of fs.list(directory))
      if (TEMPORARY_NAME.test(name)) removeFile(fs, join(directory, name));
    const current = this.#load(IDENTITY_FILE);
    this.#currentDamaged = current?.damage !== undefined;
    const isWhole = current?.server !== undefined && !current.partial;
    const read = isWhole
      ? snapshotOf(current.server!, current.sessions)
      : this.#merge(current, this.#loadPrevious(current));
    if (read !== undefined) this.#adopt();
    return read;
  }

  /** A worker's is believed without an anchor only until the server has one of its own, which it has not yet. */
  #adopt(): void {
    if (this.#options.ownAnchorDirectory === undefined || this.#anchor?.read() !== undefined) return;
    this.#fix(this.#survey());
  }

  /** The head of the next write: its generation is one above all that are there. */
  nextHeader(): Omit<SealedHeader, 'keyId'> {
    this.#generation ??= this.#survey();
    this.#generation++;
    return {
      kind: 'identity',
      generation: this.#generation,
      createdAt: this.#options.now(),
      notAfter: 0,
      id: newSnapshotId(),
    };
  }

  /**
   * 1. the new file is written under a temporary name and synced,
   * 2. the current file gets the previous one's name as well (a second link, renamed over it),
   * 3. the new file is renamed over the current one, and the directory synced,
   * 4. the anchor says so: from here on, no earlier one is read.
   *
   * Rejects with `STATE_UNWRITABLE`.
   */
  async write(bytes: Uint8Array, { generation, id }: Omit<SealedHeader, 'keyId'>): Promise<void> {
    const { fs, directory, isClosed = () => false } = this.#options;
    const current = join(directory, IDENTITY_FILE);
    let { current: replaced, previous } = this.#slots;
    await replaceDurably(fs, current, bytes, () => {
      if (isClosed()) throw storeClosed();
      if (this.#currentDamaged || fs.info(current) === undefined) return;
      this.#keepAsPrevious(current);
      previous = replaced;
    });
    this.#currentDamaged = false;
    this.#slots = { current: id, previous };
    if (!isClosed()) this.#fix(generation);
  }

  /** Without an anchor an older identity would be read again, if somebody put it back; the one that was written is good all the same. */
  #fix(generation: number): void {
    const { fs, report } = this.#options;
    const { current: newest, previous: former } = this.#slots;
    try {
      // Without a stamp: an operator who changes the owner of STATE_DIR is no attacker.
      this.#anchor?.write({ generation, newest, former, boot: readBootId(fs), stamp: NONE });
    } catch (cause) {
      report({ level: 'warn', event: 'anchor-not-written', message: messageOf(cause) });
    }
  }

  /** The highest generation that is there. What nobody with our key has written does not count: it could say anything. */
  #survey(): number {
    const { fs, directory, keys } = this.#options;
    const [current, previous] = [IDENTITY_FILE, PREVIOUS_FILE].map((name) => {
      try {
        const header = readHeader(fs, join(directory, name));
        return header !== undefined && isAuthentic(header, keys) ? header : undefined;
      } catch {
        return undefined;
      }
    });
    this.#slots = { current: current?.id ?? NONE, previous: previous?.id ?? NONE };
    const anchor = this.#anchor?.read();
    const known = typeof anchor === 'object' ? anchor.generation : 0;
    return Math.max(known, current?.generation ?? 0, previous?.generation ?? 0);
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
    if (current === undefined && previous === undefined) {
      if (typeof this.#anchor?.read() === 'object')
        this.#options.report({
          level: 'warn',
          event: 'identity-lost',
          message: `${this.#anchor.path} knows of an identity, but there is none: starting anew`,
        });
      return undefined;
    }
    const server = current?.server ?? previous?.server;
    if (server === undefined) {
      this.#options.report({
        level: 'warn',
        event: 'identity-lost',
        message: `neither ${IDENTITY_FILE} nor ${PREVIOUS_FILE} holds a readable certificate: starting anew, the files are kept`,
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
    const bytes = this.#read(path);
    if (bytes === undefined) return undefined;
    const contents =
      typeof bytes === 'string'
        ? unusable(bytes)
        : decode(path, bytes, this.#options.keys, (header) => this.#refusal(name, header));
    if (contents.damage !== undefined) this.#putAside(path, contents);
    return contents;
  }

  /** Words where it cannot be read. */
  #read(path: string): Uint8Array | string | undefined {
    try {
      return this.#options.fs.read(path, MAX_SEALED_BYTES);
    } catch (cause) {
      // EIO: the disk is damaged there, which is the same to us as a damaged file. RangeError: it is no file, or none of ours.
      if (errorCode(cause) === 'EIO' || cause instanceof RangeError) return messageOf(cause);
      const message = `${path} cannot be read: ${messageOf(cause)}`;
      throw new RekeycastError('STATE_UNWRITABLE', message, { cause });
    }
  }

  /** Why a file is not to be used that is older than it may be, in words. */
  #refusal(name: string, header: SealedHeader): string | undefined {
    const anchor = this.#anchor?.read();
    if (this.#anchor === undefined) return undefined;
    if (anchor === undefined) return this.#unknown();
    if (typeof anchor === 'string') {
      const message = `${this.#anchor.path} is not to be believed (${anchor}): whether ${name} is the newest cannot be told`;
      this.#options.report({ level: 'warn', event: 'anchor-refused', message });
      return undefined;
    }
    const found = standing(anchor, header);
    if (found === 'newest' || (found === 'former' && name === PREVIOUS_FILE)) return undefined;
    return `it is older than what was written last (generation ${header.generation}, and ${this.#anchor.path} knows ${anchor.generation}). If you have put it there, from a backup: stop the server, remove ${this.#anchor.path} and put it there again`;
  }

  /** A folder that somebody has made holds whatever was sealed once, and nothing in RAM knows it. */
  #unknown(): string | undefined {
    const { fs, ownAnchorDirectory } = this.#options;
    const own = ownAnchorDirectory && join(ownAnchorDirectory, IDENTITY_ANCHOR);
    if (own === undefined || fs.linkInfo(own) === undefined) return undefined;
    return `no worker has written it since the machine was started: ${this.#anchor?.path} is missing, and ${own} is there. If you have put it there, from a backup: stop the server, remove ${own} and put it there again`;
  }

  /** Gives a file that is no good a second name under which it stays; the first is left until a good file replaces it. */
  #putAside(path: string, { damage, refused = false }: Contents): void {
    const { fs, report, now } = this.#options;
    const word = refused ? 'refused' : 'damaged';
    report({
      level: 'warn',
      event: refused ? 'snapshot-refused' : 'identity-damaged',
      message: `${path} is ${word}: ${damage}`,
    });
    try {
      const kept = `${basename(path)}.${word}-`;
      const found = fs.linkInfo(path);
      const earlier = fs.list(dirname(path)).filter((name) => name.startsWith(kept));
      if (earlier.some((name) => fs.linkInfo(join(dirname(path), name))?.inode === found?.inode)) return;
      const time = new Date(now()).toISOString().replaceAll(/[:.]/g, '-');
      const name = `${kept}${time}${earlier.includes(kept + time) ? `-${earlier.length}` : ''}`;
      // What is no file could not be replaced by one.
      if (found?.isFile === true) fs.keepAs(path, join(dirname(path), name));
      else fs.rename(path, join(dirname(path), name));
      report({ level: 'info', event: 'identity-kept-aside', message: `the ${word} file stays as ${name}` });
    } catch (cause) {
      report({
        level: 'warn',
        event: 'identity-kept-aside',
        message: `the ${word} file ${path} could not be kept: ${messageOf(cause)}`,
      });
    }
  }
}

/** Throws where the file is whole but cannot be opened here. */
function decode(
  path: string,
  bytes: Uint8Array,
  keys: SnapshotKeys,
  refusal: (header: SealedHeader) => string | undefined,
): Contents {
  const opened = openSealed(bytes, (id) => secretFor(path, id, keys), { kind: 'identity' });
  switch (opened.outcome) {
    case 'damaged':
      return unusable(opened.damage);
    case 'forged':
      return { ...unusable(opened.why), refused: true };
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
      const why = refusal(opened.header);
      if (why !== undefined) {
        for (const record of opened.records) record.dispose();
        return { ...unusable(why), refused: true };
      }
      const decoded = decodeRecords(opened.records);
      const damage = opened.damage ?? decoded.damage;
      return { ...decoded, damage, partial: !opened.complete || decoded.damage !== undefined };
    }
  }
}

const unusable = (damage: string): Contents => ({
  server: undefined,
  sessions: [],
  damage,
  partial: true,
});

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

/** A directory in the place of a temporary file is in nobody's way. */
function removeFile(fs: FileSystem, path: string): void {
  if (fs.linkInfo(path)?.isDirectory === false) fs.remove(path);
}

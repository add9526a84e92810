import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { messageOf, RekeycastError } from '../errors.ts';
import { decodeUtf8, fromBase64Url, toBase64Url, toHex, utf8 } from '../util/bytes.ts';
import { errorCode, type FileSystem } from '../util/file-system.ts';
import { parseJson } from '../util/json.ts';
import { replaceDurably, shred } from '../util/replace-file.ts';
import { Secret } from '../util/secret.ts';
import { BOX_KEY_BYTES } from '../util/sodium.ts';
import type { KeySource, KeyStore } from './source.ts';

/**
 * A snapshot key on disk is two files: `<id>.json`, which says what it is and may be read by anybody who may list the directory, and
 * `<id>.secret`, the 32 raw bytes of its X25519 secret key. Raw, so that no parser makes a string of them, which could
 * not be wiped. The id is the first 8 bytes of the SHA-256 of the public key, in hex.
 *
 * All changes are a new file renamed over the old one, so that a key is before or after a change and never between.
 */
export interface KeyEntry {
  readonly id: string;
  readonly publicKey: Uint8Array;
  /** `destroyed` is a tombstone: the secret is gone, the dates stay. */
  readonly state: 'enabled' | 'disabled' | 'destroyed';
  /**
   * 0: never was primary. Otherwise the count of promotions when it was promoted: the enabled key with the highest one is
   * primary. So a promotion is one write, and there is no moment with two primary keys or none.
   */
  readonly promotion: number;
  /** `undefined` where others keep the keys, and nobody tells. */
  readonly createdAt: string | undefined;
  readonly destroyedAt: string | undefined;
}

export const keyId = (publicKey: Uint8Array): string =>
  toHex(createHash('sha256').update(publicKey).digest().subarray(0, 8));

const DIRECTORY_MODE = 0o700;
const MAX_ENTRY_BYTES = 4096;
const ENTRY_NAME = /^([0-9a-f]{16})\.json$/;
const SECRET_NAME = /^([0-9a-f]{16})\.secret$/;
/** What is younger than this may be of a command that is at work now. */
const LEFTOVER_AGE_MS = 60_000;

const entrySchema = z.strictObject({
  format: z.literal(1),
  id: z.string(),
  state: z.enum(['enabled', 'disabled', 'destroyed']),
  promotion: z.int().check(z.nonnegative()),
  createdAt: z.optional(z.iso.datetime()),
  destroyedAt: z.optional(z.iso.datetime()),
  publicKey: z.string(),
});

export class KeyFiles implements KeySource, KeyStore {
  readonly directory: string;
  readonly #fs: FileSystem;

  constructor(directory: string, fs: FileSystem) {
    this.directory = directory;
    this.#fs = fs;
  }

  get place(): string {
    return this.directory;
  }

  get store(): KeyStore {
    return this;
  }

  get rotation(): string {
    return 'Run rekeycast keys rotate';
  }

  /** Nothing to do: files are read when they are asked for, */
  async load(): Promise<void> {}

  /** and not kept. */
  forget(): void {}

  /**
   * Makes the directory where there is none, and closes it to others where no key is in it yet. Throws
   * `KEY_MODE_TOO_OPEN` where there are keys and others could have read them: to close it silently would hide that.
   */
  prepare(): void {
    this.#usable(() => {
      const found = this.#fs.info(this.directory);
      if (found === undefined) {
        this.#fs.makeDirectory(this.directory, DIRECTORY_MODE);
      } else if ((found.mode & 0o077) !== 0) {
        if (this.#keyNames().length > 0) throw tooOpen(this.directory, found.mode, '700');
        this.#fs.changeMode(this.directory, DIRECTORY_MODE);
      }
    });
  }

  /** A number that changes whenever a key file is added, replaced or removed; `undefined` where it cannot be told. */
  changedAt(): number | undefined {
    try {
      return this.#fs.info(this.directory)?.modifiedAt;
    } catch {
      return undefined;
    }
  }

  /** All entries. Throws `KEY_MODE_TOO_OPEN` or `KEY_INVALID`. */
  entries(): readonly KeyEntry[] {
    return this.#usable(() => {
      for (const name of this.#keyNames()) {
        const mode = this.#fs.info(join(this.directory, name))?.mode ?? 0;
        if ((mode & 0o077) !== 0) throw tooOpen(join(this.directory, name), mode, '600');
      }
      return this.#fs.list(this.directory).flatMap((name) => {
        const id = ENTRY_NAME.exec(name)?.[1];
        const path = join(this.directory, name);
        const bytes = id === undefined ? undefined : this.#readEntry(path);
        return id === undefined || bytes === undefined ? [] : [parseEntry(id, bytes, path)];
      });
    });
  }

  /**
   * The user whose keys these are, where it is another one than ours: what we wrote now, the server could not read.
   */
  foreignOwner(uid: number | undefined): number | undefined {
    for (const name of this.#keyNames()) {
      const owner = this.#fs.info(join(this.directory, name))?.uid;
      if (owner !== undefined && uid !== undefined && owner !== uid) return owner;
    }
    return undefined;
  }

  async writeEntry(entry: KeyEntry): Promise<void> {
    const text = JSON.stringify({
      format: 1,
      id: entry.id,
      state: entry.state,
      promotion: entry.promotion,
      ...(entry.createdAt === undefined ? {} : { createdAt: entry.createdAt }),
      ...(entry.destroyedAt === undefined ? {} : { destroyedAt: entry.destroyedAt }),
      publicKey: toBase64Url(entry.publicKey),
    } satisfies z.input<typeof entrySchema>);
    await replaceDurably(this.#fs, join(this.directory, `${entry.id}.json`), utf8(`${text}\n`));
  }

  hasSecret(id: string): boolean {
    return this.#fs.info(this.#secretPath(id)) !== undefined;
  }

  /** `undefined` where the file is not there; a secret of another size than 32 bytes is `KEY_INVALID`. */
  readSecret(id: string): Secret | undefined {
    const secret = Secret.alloc(BOX_KEY_BYTES);
    const size = this.#fs.readInto(this.#secretPath(id), secret.bytes);
    if (size === BOX_KEY_BYTES) return secret;
    secret.dispose();
    if (size === undefined) return undefined;
    throw new RekeycastError(
      'KEY_INVALID',
      `${this.#secretPath(id)} has ${size} bytes and not the ${BOX_KEY_BYTES} of a secret key`,
    );
  }

  whyNoSecret(id: string): string {
    return `has lost its secret: ${id}.secret is not there`;
  }

  async writeSecret(id: string, secret: Secret): Promise<void> {
    await replaceDurably(this.#fs, this.#secretPath(id), secret.bytes);
  }

  /** Zeroes the secret where it lies and removes it. Does nothing where there is none. */
  async destroySecret(id: string): Promise<void> {
    if (!this.hasSecret(id)) return;
    shred(this.#fs, this.#secretPath(id));
    await this.#fs.syncDirectory(this.directory);
  }

  /** Removes what a command that was killed has left: temporary files, and secrets that no entry speaks of. */
  removeLeftovers(now: number): void {
    const names = this.#fs.list(this.directory);
    for (const name of names) {
      const id = SECRET_NAME.exec(name)?.[1];
      const orphan = id !== undefined && !names.includes(`${id}.json`);
      if (!orphan && !name.endsWith('.tmp')) continue;
      const path = join(this.directory, name);
      const changedAt = this.#fs.info(path)?.changedAt;
      if (changedAt !== undefined && now - changedAt > LEFTOVER_AGE_MS) shred(this.#fs, path);
    }
  }

  /** May be a symbolic link, as mounted secrets are. */
  #readEntry(path: string): Uint8Array | undefined {
    const bytes = new Uint8Array(MAX_ENTRY_BYTES);
    const size = this.#fs.readInto(path, bytes);
    return size === undefined ? undefined : bytes.subarray(0, size);
  }

  /** Says in words what the system says in codes. */
  #usable<T>(use: () => T): T {
    try {
      return use();
    } catch (cause) {
      const ofSystem = errorCode(cause) !== undefined || cause instanceof RangeError;
      if (cause instanceof RekeycastError || !ofSystem) throw cause;
      const message = `the key directory ${this.directory} cannot be used: ${messageOf(cause)}`;
      throw new RekeycastError('STATE_UNWRITABLE', message, { cause });
    }
  }

  #keyNames(): readonly string[] {
    return this.#fs.list(this.directory).filter((name) => ENTRY_NAME.test(name) || SECRET_NAME.test(name));
  }

  #secretPath(id: string): string {
    return join(this.directory, `${id}.secret`);
  }
}

function parseEntry(id: string, bytes: Uint8Array, path: string): KeyEntry {
  const parsed = entrySchema.safeParse(parseJson(decodeUtf8(bytes)));
  const publicKey = parsed.success ? fromBase64Url(parsed.data.publicKey) : undefined;
  if (
    !parsed.success ||
    parsed.data.id !== id ||
    publicKey?.length !== BOX_KEY_BYTES ||
    keyId(publicKey) !== id
  ) {
    throw new RekeycastError('KEY_INVALID', `${path} is not the description of a snapshot key`);
  }
  const { state, promotion, createdAt, destroyedAt } = parsed.data;
  return { id, publicKey, state, promotion, createdAt, destroyedAt };
}

export function tooOpen(path: string, mode: number, wanted: string): RekeycastError {
  const octal = mode.toString(8).padStart(4, '0');
  return new RekeycastError(
    'KEY_MODE_TOO_OPEN',
    `others can get at the snapshot keys: ${path} has mode ${octal}. Run: chmod ${wanted} ${quoted(path)} (and if others may have read them: rekeycast keys rotate)`,
  );
}

const quoted = (path: string): string =>
  /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;

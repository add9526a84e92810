import { createHash } from 'node:crypto';
import { RekeycastError } from '../errors.ts';
import { toHex } from '../util/bytes.ts';
import { type WallMillis, wallNow } from '../util/clock.ts';
import { errorCode, type FileSystem, nodeFileSystem } from '../util/file-system.ts';
import { type RandomSource, secureRandom } from '../util/rng.ts';
import { Secret } from '../util/secret.ts';
import { BOX_KEY_BYTES, sodium } from '../util/sodium.ts';
import { type KeyEntry, KeyFiles } from './files.ts';

/** What snapshots are sealed to. */
export interface SnapshotKey {
  /** 8 bytes in hex: what a sealed file names. */
  readonly id: string;
  /** X25519, 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** What storing snapshots needs of the keyring. */
export interface SnapshotKeys {
  primary(): SnapshotKey;
  /** A secret key, for the caller to dispose. Throws `KEY_MISSING` or `KEY_INVALID`, and says what to do. */
  secret(id: string): Secret;
  /** Learns of a promotion that another process has made. */
  refresh(): void;
}

export interface KeyStatus {
  readonly id: string;
  readonly state: 'primary' | 'enabled' | 'disabled' | 'destroyed';
  readonly createdAt: string;
  readonly destroyedAt: string | undefined;
  /** It was primary once, or is. */
  readonly promoted: boolean;
  readonly secretPresent: boolean;
}

export interface KeyEvent {
  readonly event: 'key-added' | 'key-promoted' | 'key-opened' | 'key-destroyed';
  readonly key: string;
}

export interface KeyringOptions {
  readonly directory: string;
  /** Make the first key where there is none (default). */
  readonly create?: boolean;
  /** Told of each event, after it has happened. */
  readonly record?: (event: KeyEvent) => void;
  readonly fs?: FileSystem;
  readonly rng?: RandomSource;
  readonly now?: () => WallMillis;
}

/**
 * The snapshot keys in a directory. Holds public keys only: a secret is read from its file when it is asked for, and belongs to the caller.
 * `loadSodium` must have been awaited before.
 */
export class Keyring implements SnapshotKeys {
  readonly #files: KeyFiles;
  readonly #record: (event: KeyEvent) => void;
  readonly #rng: RandomSource;
  readonly #now: () => WallMillis;
  #entries: readonly KeyEntry[] = [];
  #seen: number | undefined;

  private constructor(options: KeyringOptions) {
    this.#files = new KeyFiles(options.directory, options.fs ?? nodeFileSystem);
    this.#record = options.record ?? (() => {});
    this.#rng = options.rng ?? secureRandom;
    this.#now = options.now ?? wallNow;
  }

  /**
   * Reads the directory. On the first run (no key in it) makes the first key, primary. Throws `KEY_MODE_TOO_OPEN`, `KEY_INVALID` or
   * `STATE_UNWRITABLE`.
   */
  static async open(options: KeyringOptions): Promise<Keyring> {
    const keyring = new Keyring(options);
    if (options.create !== false || keyring.#files.changedAt() !== undefined) keyring.#files.prepare();
    keyring.#load();
    // Nothing was ever sealed with these keys: a first run, or one that was killed before its key was primary.
    if (options.create !== false && keyring.#entries.every(({ promotion }) => promotion === 0)) {
      const prepared = keyring.#entries.find(({ state }) => state === 'enabled');
      await keyring.promote(prepared?.id ?? (await keyring.add()));
    }
    return keyring;
  }

  get directory(): string {
    return this.#files.directory;
  }

  primary(): SnapshotKey {
    const entry = this.#primaryEntry();
    if (entry !== undefined) return { id: entry.id, publicKey: entry.publicKey };
    throw new RekeycastError('KEY_MISSING', `no key in ${this.directory} is enabled and primary`);
  }

  secret(id: string): Secret {
    const entry = this.#entries.find((candidate) => candidate.id === id);
    if (entry === undefined) {
      throw missing(
        id,
        `is not in ${this.directory}. Put its two files back (${id}.json, ${id}.secret); or, to give up the sessions and start anew, move the sealed files away`,
      );
    }
    if (entry.state === 'destroyed') throw missing(id, `was destroyed at ${entry.destroyedAt}`);
    if (entry.state === 'disabled') throw missing(id, 'is disabled');
    const secret = this.#files.readSecret(id);
    if (secret === undefined) throw missing(id, `has lost its secret: ${id}.secret is not there`);
    if (!sameKey(sodium().publicKeyOf(secret.bytes), entry.publicKey)) {
      secret.dispose();
      throw new RekeycastError(
        'KEY_INVALID',
        `${id}.secret in ${this.directory} is not the secret of the public key in ${id}.json`,
      );
    }
    this.#record({ event: 'key-opened', key: id });
    return secret;
  }

  list(): readonly KeyStatus[] {
    const primary = this.#primaryEntry()?.id;
    return [...this.#entries]
      .sort((a, b) => a.createdAt.localeCompare(b.createdAt) || a.promotion - b.promotion)
      .map(({ id, state, createdAt, destroyedAt, promotion }) => ({
        id,
        state: id === primary ? 'primary' : state,
        createdAt,
        destroyedAt,
        promoted: promotion > 0,
        secretPresent: this.#files.hasSecret(id),
      }));
  }

  /**
   * Reads the entries again where the directory has changed. Where they cannot be read any more (taken away from the
   * running server, as they may be) it goes on with what it knows.
   */
  refresh(): void {
    const changedAt = this.#files.changedAt();
    if (changedAt === undefined || changedAt === this.#seen) return;
    const before = this.#entries;
    try {
      this.#load();
    } catch {
      this.#entries = before;
    }
    if (this.#primaryEntry() === undefined) this.#entries = before;
  }

  /** Makes a key, enabled. Gives its id. */
  async add(): Promise<string> {
    const owner = this.#files.foreignOwner(process.geteuid?.());
    if (owner !== undefined) {
      throw new RekeycastError(
        'STATE_UNWRITABLE',
        `the keys in ${this.directory} belong to user ${owner}, who could not read a key made by this one. Run: sudo -u '#${owner}' rekeycast keys rotate`,
      );
    }
    this.#removeLeftovers();
    const secret = Secret.random(BOX_KEY_BYTES, this.#rng);
    try {
      const publicKey = sodium().publicKeyOf(secret.bytes);
      const id = keyId(publicKey);
      await this.#files.writeSecret(id, secret);
      await this.#files.writeEntry({
        id,
        publicKey,
        state: 'enabled',
        promotion: 0,
        createdAt: this.#date(),
        destroyedAt: undefined,
      });
      this.#record({ event: 'key-added', key: id });
      this.#load();
      return id;
    } finally {
      secret.dispose();
    }
  }

  /** Makes an enabled key primary; does nothing where it is. */
  async promote(id: string): Promise<void> {
    const entry = this.#entry(id);
    if (entry.state !== 'enabled') throw new RekeycastError('KEY_INVALID', `key ${id} is ${entry.state}`);
    if (this.#primaryEntry()?.id === id) return;
    const highest = Math.max(...this.#entries.map(({ promotion }) => promotion));
    await this.#files.writeEntry({ ...entry, promotion: highest + 1 });
    this.#record({ event: 'key-promoted', key: id });
    this.#load();
  }

  /**
   * Destroys the secret of a key that is not primary and leaves a tombstone. First the secret: killed between the two steps,
   * the key shows as enabled without a secret and is destroyed again.
   */
  async destroy(id: string): Promise<void> {
    const entry = this.#entry(id);
    if (this.#primaryEntry()?.id === id)
      throw new RekeycastError('KEY_INVALID', `key ${id} is primary: it cannot be destroyed`);
    await this.#files.destroySecret(id);
    if (entry.state === 'destroyed') return;
    await this.#files.writeEntry({ ...entry, state: 'destroyed', destroyedAt: this.#date() });
    this.#record({ event: 'key-destroyed', key: id });
    this.#load();
  }

  #load(): void {
    // Taken before reading: what changes meanwhile is read again the next time.
    const seen = this.#files.changedAt();
    this.#entries = this.#files.entries();
    this.#seen = seen;
  }

  #entry(id: string): KeyEntry {
    const entry = this.#entries.find((candidate) => candidate.id === id);
    if (entry === undefined)
      throw new RekeycastError('KEY_MISSING', `there is no key ${id} in ${this.directory}`);
    return entry;
  }

  #primaryEntry(): KeyEntry | undefined {
    let primary: KeyEntry | undefined;
    for (const entry of this.#entries) {
      if (entry.state !== 'enabled' || entry.promotion === 0) continue;
      if (primary === undefined || entry.promotion > primary.promotion) primary = entry;
    }
    return primary;
  }

  #removeLeftovers(): void {
    try {
      this.#files.removeLeftovers(this.#now());
    } catch (cause) {
      if (errorCode(cause) === undefined) throw cause;
    }
  }

  #date(): string {
    return new Date(this.#now()).toISOString();
  }
}

const keyId = (publicKey: Uint8Array): string =>
  toHex(createHash('sha256').update(publicKey).digest().subarray(0, 8));

const sameKey = (a: Uint8Array, b: Uint8Array): boolean => toHex(a) === toHex(b);

const missing = (id: string, why: string): RekeycastError =>
  new RekeycastError('KEY_MISSING', `the snapshot key ${id} ${why}`);

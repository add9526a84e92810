import { RekeycastError } from '../errors.ts';
import { equalConstantTime } from '../util/bytes.ts';
import { type WallMillis, wallNow } from '../util/clock.ts';
import { errorCode, type FileSystem, nodeFileSystem } from '../util/file-system.ts';
import { type RandomSource, secureRandom } from '../util/rng.ts';
import { Secret } from '../util/secret.ts';
import { BOX_KEY_BYTES, sodium } from '../util/sodium.ts';
import { type KeyEntry, KeyFiles, keyId } from './files.ts';
import type { KeySource, KeyStore } from './source.ts';
import { deriveWriterKey } from './writer-key.ts';

/** What snapshots are sealed to. */
export interface SnapshotKey {
  /** 8 bytes in hex: what a sealed file names. */
  readonly id: string;
  /** X25519, 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** What writing a snapshot takes: whom to seal it to, and with what to show who wrote it. */
export interface SnapshotWriter extends SnapshotKey {
  /** See `deriveWriterKey`. It is the keyring's, which wipes it when another key is primary. */
  readonly writerKey: Secret;
}

/** What storing snapshots needs of the keyring. */
export interface SnapshotKeys {
  primary(): SnapshotKey;
  /** The primary key, to write with. Reads its secret once and holds what is derived. Throws as `secret` does. */
  writer(): SnapshotWriter;
  /** What a key's holders write with, to check it by; for the caller to dispose. Throws as `secret` does. */
  writerKey(id: string): Secret;
  /** A secret key, for the caller to dispose. Throws `KEY_MISSING` or `KEY_INVALID`, and says what to do. */
  secret(id: string): Secret;
  /** Learns of a promotion that another process has made. What `writer` gave is good until then. */
  refresh(): void;
}

export interface KeyStatus {
  readonly id: string;
  readonly state: 'primary' | 'enabled' | 'disabled' | 'destroyed';
  /** `undefined` where others keep the keys. */
  readonly createdAt: string | undefined;
  readonly destroyedAt: string | undefined;
  /** It was primary once, or is. */
  readonly promoted: boolean;
  readonly secretPresent: boolean;
}

export interface KeyEvent {
  readonly event:
    | 'key-added'
    | 'key-promoted'
    | 'key-disabled'
    | 'key-enabled'
    | 'key-opened'
    | 'key-destroyed';
  readonly key: string;
}

export interface KeyringOptions {
  /** Where the keys come from; a directory, in short. */
  readonly source?: KeySource;
  readonly directory?: string;
  /** Make the first key where there is none (default). */
  readonly create?: boolean;
  /** Told of each event, after it has happened. */
  readonly record?: (event: KeyEvent) => void;
  readonly fs?: FileSystem;
  readonly rng?: RandomSource;
  readonly now?: () => WallMillis;
}

/**
 * The snapshot keys of a source. Holds public keys, and the writer key of the primary one: a secret key is asked of the source when it is
 * needed, and belongs to the caller.
 * `loadSodium` must have been awaited before.
 */
export class Keyring implements SnapshotKeys {
  readonly #source: KeySource;
  readonly #record: (event: KeyEvent) => void;
  readonly #rng: RandomSource;
  readonly #now: () => WallMillis;
  #entries: readonly KeyEntry[] = [];
  #writer: SnapshotWriter | undefined;
  #seen: number | undefined;
  /** Writer keys of a source that has forgotten its secrets. */
  readonly #kept = new Map<string, Secret>();
  #forgetful = false;

  private constructor(options: KeyringOptions) {
    this.#source = options.source ?? new KeyFiles(options.directory ?? 'keys', options.fs ?? nodeFileSystem);
    this.#record = options.record ?? (() => {});
    this.#rng = options.rng ?? secureRandom;
    this.#now = options.now ?? wallNow;
  }

  /**
   * Reads the keys. On the first run (no key in a directory of ours) makes the first key, primary. Throws `KEY_MODE_TOO_OPEN`, `KEY_INVALID`,
   * `KEY_SOURCE_FAILED` or `STATE_UNWRITABLE`.
   */
  static async open(options: KeyringOptions): Promise<Keyring> {
    const keyring = new Keyring(options);
    const { store } = keyring.#source;
    await keyring.#source.load();
    if (options.create !== false || keyring.#source.changedAt() !== undefined) store?.prepare();
    keyring.#load();
    // Nothing was ever sealed with these keys: a first run, or one that was killed before its key was primary.
    if (
      store !== undefined &&
      options.create !== false &&
      keyring.#entries.every(({ promotion }) => promotion === 0)
    ) {
      const prepared = keyring.#entries.find(({ state }) => state === 'enabled');
      await keyring.promote(prepared?.id ?? (await keyring.add()));
    }
    return keyring;
  }

  /** Where the keys are, for people. */
  get place(): string {
    return this.#source.place;
  }

  /** Others keep the keys: how they are replaced there, in words. */
  get keptByOthers(): string | undefined {
    return this.#source.store === undefined ? this.#source.rotation : undefined;
  }

  primary(): SnapshotKey {
    const entry = this.#primaryEntry();
    if (entry !== undefined) return { id: entry.id, publicKey: entry.publicKey };
    throw new RekeycastError('KEY_MISSING', `no key in ${this.place} is enabled and primary`);
  }

  writer(): SnapshotWriter {
    const key = this.primary();
    if (this.#writer?.id !== key.id) {
      const writerKey = this.writerKey(key.id);
      this.#writer?.writerKey.dispose();
      this.#writer = { ...key, writerKey };
    }
    return this.#writer;
  }

  writerKey(id: string): Secret {
    if (this.#writer?.id === id) return Secret.copy(this.#writer.writerKey.bytes);
    const kept = this.#kept.get(id);
    if (kept !== undefined) return Secret.copy(kept.bytes);
    const secret = this.secret(id);
    try {
      return deriveWriterKey(secret);
    } finally {
      secret.dispose();
    }
  }

  secret(id: string): Secret {
    const entry = this.#entries.find((candidate) => candidate.id === id);
    if (entry === undefined) {
      throw missing(
        id,
        `is not in ${this.place}. Put it back${this.#source.store === undefined ? ', behind the primary one' : ` (its two files, ${id}.json and ${id}.secret)`}; or, to give up the sessions and start anew, move the sealed files away`,
      );
    }
    const secret = this.#readSecret(entry);
    this.#record({ event: 'key-opened', key: id });
    return secret;
  }

  list(): readonly KeyStatus[] {
    const primary = this.#primaryEntry()?.id;
    // What has no dates stays in the order of its source, primary first.
    return [...this.#entries]
      .sort((a, b) =>
        a.createdAt === undefined || b.createdAt === undefined
          ? 0
          : a.createdAt.localeCompare(b.createdAt) || a.promotion - b.promotion,
      )
      .map(({ id, state, createdAt, destroyedAt, promotion }) => ({
        id,
        state: id === primary ? 'primary' : state,
        createdAt,
        destroyedAt,
        promoted: promotion > 0,
        secretPresent: this.#source.hasSecret(id),
      }));
  }

  /**
   * Reads the entries again where the directory has changed. Where they, or the secret of a new primary key, cannot be read any more (taken away
   * from the running server, as they may be) it goes on with what it knows, and looks again the next time.
   */
  refresh(): void {
    const changedAt = this.#source.changedAt();
    if (changedAt === undefined || changedAt === this.#seen) return;
    const before = this.#entries;
    try {
      this.#load();
      if (this.#writer === undefined) this.primary();
      else this.writer();
    } catch {
      this.#entries = before;
      this.#seen = undefined;
    }
  }

  /**
   * Asks a source that others keep for its keys again; the same as {@link refresh} where they are ours. Throws what `KeySource.load` throws, and then
   * goes on with what it knows.
   */
  async reload(): Promise<void> {
    if (this.#source.store !== undefined) return this.refresh();
    await this.#source.load();
    this.#load();
    this.writer();
    if (this.#forgetful) this.forget();
  }

  /** From here on it writes, and opens nothing: secrets that the source holds are wiped. */
  forget(): void {
    this.#forgetful = true;
    if (this.#source.store !== undefined) return;
    this.writer();
    for (const kept of this.#kept.values()) kept.dispose();
    this.#kept.clear();
    for (const { id } of this.#entries) {
      const secret = this.#source.readSecret(id);
      if (secret !== undefined) this.#kept.set(id, deriveWriterKey(secret));
      secret?.dispose();
    }
    this.#source.forget();
  }

  /** Throws `KEY_SOURCE_READ_ONLY` where others keep the keys. */
  assertOurs(): void {
    const { store, place, rotation } = this.#source;
    if (store !== undefined) return;
    throw new RekeycastError(
      'KEY_SOURCE_READ_ONLY',
      `the snapshot keys come from ${place}, which this program does not change. ${rotation}`,
    );
  }

  /** Makes a key, enabled. Gives its id. */
  async add(): Promise<string> {
    const owner = this.#store.foreignOwner(process.geteuid?.());
    if (owner !== undefined) {
      throw new RekeycastError(
        'STATE_UNWRITABLE',
        `the keys in ${this.place} belong to user ${owner}, who could not read a key made by this one. Run: sudo -u '#${owner}' rekeycast keys rotate`,
      );
    }
    this.#removeLeftovers();
    const secret = Secret.random(BOX_KEY_BYTES, this.#rng);
    try {
      const publicKey = sodium().publicKeyOf(secret.bytes);
      const id = keyId(publicKey);
      await this.#store.writeSecret(id, secret);
      await this.#store.writeEntry({
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

  /** Makes an enabled key primary; does nothing where it is. Throws where its secret is not good: nobody could write with it. */
  async promote(id: string): Promise<void> {
    const entry = this.#entry(id);
    if (entry.state !== 'enabled')
      throw new RekeycastError(
        'KEY_INVALID',
        `the snapshot key ${id} is ${entry.state} and cannot be made primary${entry.state === 'disabled' ? `. Run first: rekeycast keys enable ${id}` : ''}`,
      );
    if (this.#primaryEntry()?.id === id) return;
    this.#readSecret(entry).dispose();
    const highest = Math.max(...this.#entries.map(({ promotion }) => promotion));
    await this.#store.writeEntry({ ...entry, promotion: highest + 1 });
    this.#record({ event: 'key-promoted', key: id });
    this.#load();
  }

  /** Keeps a key that is not primary from being used, until it is enabled again; does nothing where it is disabled. */
  async disable(id: string): Promise<void> {
    const entry = this.#entry(id);
    this.#notPrimary(id, 'disabled');
    if (entry.state === 'destroyed') throw missing(id, `was destroyed at ${entry.destroyedAt}`);
    if (entry.state === 'disabled') return;
    await this.#store.writeEntry({ ...entry, state: 'disabled' });
    this.#record({ event: 'key-disabled', key: id });
    this.#load();
  }

  /** Takes `disable` back; does nothing where the key is enabled. */
  async enable(id: string): Promise<void> {
    const entry = this.#entry(id);
    if (entry.state === 'destroyed') throw missing(id, `was destroyed at ${entry.destroyedAt}`);
    if (entry.state === 'enabled') return;
    await this.#store.writeEntry({ ...entry, state: 'enabled' });
    this.#record({ event: 'key-enabled', key: id });
    this.#load();
  }

  /**
   * Destroys the secret of a key that is not primary and leaves a tombstone. First the secret: killed between the two steps,
   * the key shows as enabled without a secret and is destroyed again.
   */
  async destroy(id: string): Promise<void> {
    const entry = this.#entry(id);
    this.#notPrimary(id, 'destroyed');
    await this.#store.destroySecret(id);
    if (entry.state === 'destroyed') return;
    await this.#store.writeEntry({ ...entry, state: 'destroyed', destroyedAt: this.#date() });
    this.#record({ event: 'key-destroyed', key: id });
    this.#load();
  }

  /** What keys are changed by. */
  get #store(): KeyStore {
    this.assertOurs();
    return this.#source.store!;
  }

  #notPrimary(id: string, fate: string): void {
    if (this.#primaryEntry()?.id !== id) return;
    throw new RekeycastError(
      'KEY_INVALID',
      `the snapshot key ${id} is primary and cannot be ${fate}. Promote another one first, or run: rekeycast keys rotate`,
    );
  }

  #readSecret(entry: KeyEntry): Secret {
    const { id, state, destroyedAt } = entry;
    if (state === 'destroyed') throw missing(id, `was destroyed at ${destroyedAt}`);
    if (state === 'disabled') throw missing(id, `is disabled. Run: rekeycast keys enable ${id}`);
    const secret = this.#source.readSecret(id);
    if (secret === undefined) throw missing(id, this.#source.whyNoSecret(id));
    if (this.#isSecretOf(entry, secret)) return secret;
    secret.dispose();
    throw new RekeycastError(
      'KEY_INVALID',
      `${id}.secret in ${this.place} is not the secret of the public key in ${id}.json`,
    );
  }

  #isSecretOf({ id, publicKey }: KeyEntry, secret: Secret): boolean {
    if (this.#writer?.id !== id) return equalConstantTime(sodium().publicKeyOf(secret.bytes), publicKey);
    // Known already, from the same secret. A boot, which opens several files, does not wait for a multiplication each time.
    const writerKey = deriveWriterKey(secret);
    const isSame = equalConstantTime(writerKey.bytes, this.#writer.writerKey.bytes);
    writerKey.dispose();
    return isSame;
  }

  #load(): void {
    // Taken before reading: what changes meanwhile is read again the next time.
    const seen = this.#source.changedAt();
    this.#entries = this.#source.entries();
    this.#seen = seen;
  }

  #entry(id: string): KeyEntry {
    const entry = this.#entries.find((candidate) => candidate.id === id);
    if (entry === undefined)
      throw new RekeycastError(
        'KEY_MISSING',
        `there is no snapshot key ${id} in ${this.place}. There is: ${this.#entries.map((known) => known.id).join(', ') || 'none'}`,
      );
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
      this.#store.removeLeftovers(this.#now());
    } catch (cause) {
      if (errorCode(cause) === undefined) throw cause;
    }
  }

  #date(): string {
    return new Date(this.#now()).toISOString();
  }
}

const missing = (id: string, why: string): RekeycastError =>
  new RekeycastError('KEY_MISSING', `the snapshot key ${id} ${why}`);

import type { Secret } from '../util/secret.ts';
import type { KeyEntry } from './files.ts';

/** Where snapshot keys come from. A keyring does not know which it is. */
export interface KeySource {
  /** For people: a directory, a file, a command. */
  readonly place: string;
  /** Through which keys are changed; `undefined` where others keep them, and this program only reads. */
  readonly store: KeyStore | undefined;
  /** How keys are replaced there, in words, where others keep them. */
  readonly rotation: string;
  /** Fetches what has to be fetched. Throws `KEY_SOURCE_FAILED` or `KEY_INVALID`, and what was fetched before is still good then. */
  load(): Promise<void>;
  /** A number that changes with the keys; `undefined` where it cannot be told. */
  changedAt(): number | undefined;
  entries(): readonly KeyEntry[];
  hasSecret(id: string): boolean;
  /** For the caller to dispose; `undefined` where there is none. */
  readSecret(id: string): Secret | undefined;
  /** What became of a secret that is not there, in words that follow the key's name. */
  whyNoSecret(id: string): string;
  /** Wipes the secrets that it holds. They come back with {@link load}. */
  forget(): void;
}

/** What keys are changed by. Each step leaves a key as before or as after it. */
export interface KeyStore {
  prepare(): void;
  foreignOwner(uid: number | undefined): number | undefined;
  writeEntry(entry: KeyEntry): Promise<void>;
  writeSecret(id: string, secret: Secret): Promise<void>;
  destroySecret(id: string): Promise<void>;
  removeLeftovers(now: number): void;
}

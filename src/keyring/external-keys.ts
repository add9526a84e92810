import { RekeycastError } from '../errors.ts';
import { Secret } from '../util/secret.ts';
import { sodium } from '../util/sodium.ts';
import { type KeyEntry, keyId } from './files.ts';
import { parseKeys } from './key-text.ts';
import { isWrapped, unwrapKeys } from './passphrase.ts';
import type { KeySource } from './source.ts';

export interface ExternalKeysOptions {
  readonly place: string;
  /** How a changed source reaches the running server, in words. */
  readonly reaches: string;
  /** Gives what lies there, for the caller to dispose. Throws `KEY_SOURCE_FAILED` and others with words. */
  readonly fetch: () => Promise<Secret>;
  /** For what lies under one; for the caller to dispose. Throws `KEY_SOURCE_FAILED`, also where there is none. */
  readonly passphrase: () => Secret;
}

/**
 * Snapshot keys that others keep, a secret store or a service manager: read, and never changed. The first one is primary. All are fetched at once
 * and held until {@link forget}, since a store may have to be asked over a network.
 */
export class ExternalKeys implements KeySource {
  readonly place: string;
  readonly rotation: string;
  readonly store = undefined;
  readonly #options: ExternalKeysOptions;
  #entries: readonly KeyEntry[] = [];
  #secrets = new Map<string, Secret>();
  #loads = 0;

  constructor(options: ExternalKeysOptions) {
    this.#options = options;
    this.place = options.place;
    this.rotation = `To rotate there: put a new key in front of the old one (openssl rand -base64 32 makes one; the first is primary), ${options.reaches}, run rekeycast keys verify, and when it exits with 0 take the old one out`;
  }

  async load(): Promise<void> {
    const keys = await this.#fetch();
    const secrets = new Map<string, Secret>();
    const entries = keys.map((secret, at): KeyEntry => {
      const publicKey = sodium().publicKeyOf(secret.bytes);
      const id = keyId(publicKey);
      secrets.get(id)?.dispose();
      secrets.set(id, secret);
      return {
        id,
        publicKey,
        state: 'enabled',
        promotion: at === 0 ? 1 : 0,
        createdAt: undefined,
        destroyedAt: undefined,
      };
    });
    if (secrets.size < keys.length) {
      for (const secret of secrets.values()) secret.dispose();
      throw new RekeycastError('KEY_INVALID', `${this.place} holds the same snapshot key twice`);
    }
    this.forget();
    this.#secrets = secrets;
    this.#entries = entries;
    this.#loads++;
  }

  changedAt(): number {
    return this.#loads;
  }

  entries(): readonly KeyEntry[] {
    return this.#entries;
  }

  hasSecret(id: string): boolean {
    return this.#entries.some((entry) => entry.id === id);
  }

  readSecret(id: string): Secret | undefined {
    const secret = this.#secrets.get(id);
    return secret && Secret.copy(secret.bytes);
  }

  whyNoSecret(): string {
    return `was wiped after the start: this process writes, and does not open what is sealed`;
  }

  forget(): void {
    for (const secret of this.#secrets.values()) secret.dispose();
    this.#secrets.clear();
  }

  async #fetch(): Promise<readonly Secret[]> {
    const fetched = await this.#options.fetch();
    try {
      if (!isWrapped(fetched.bytes)) return parseKeys(fetched, this.place);
      const passphrase = this.#options.passphrase();
      try {
        const inside = unwrapKeys(fetched.bytes, passphrase, this.place);
        try {
          return parseKeys(inside, this.place);
        } finally {
          inside.dispose();
        }
      } finally {
        passphrase.dispose();
      }
    } finally {
      fetched.dispose();
    }
  }
}

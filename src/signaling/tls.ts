import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { messageOf, RekeycastError } from '../errors.ts';
import type { WallMillis } from '../util/clock.ts';

export interface TlsPair {
  /** PEM: the certificate first, then those that lead to one that browsers know. */
  readonly cert: string;
  readonly key: string;
  readonly validTo: WallMillis;
}

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

export type TlsNews =
  /** From now on this one is to be used. */
  | { readonly kind: 'changed'; readonly pair: TlsPair }
  /** What lies there now is of no use: the one before stays. */
  | { readonly kind: 'refused'; readonly words: string }
  | { readonly kind: 'expiring'; readonly validTo: WallMillis };

/** Whoever renews does so weeks before: less than this is left only where that has failed. */
const EXPIRES_SOON: WallMillis = 7 * 24 * 3_600_000;

/**
 * Certificate and key of the page, read from files that somebody else replaces while we run.
 *
 * They are read again and compared as a whole. Renewing may put other files in their place, or turn a link or a directory of links (as Kubernetes
 * and certbot do), of which a watch on the files would see nothing.
 */
export class TlsSource {
  readonly #files: TlsFiles;
  #pair: TlsPair;
  /** What was read last and could not be used: where both files are not replaced in one step, the next look finds a pair. */
  #suspect = '';
  #told: 'refused' | 'expiring' | undefined;

  private constructor(files: TlsFiles, pair: TlsPair) {
    this.#files = files;
    this.#pair = pair;
  }

  /** Throws `CONFIG_INVALID` where there is no certificate with its key. One that has expired is taken: nobody is helped by no server. */
  static async open(files: TlsFiles): Promise<TlsSource> {
    try {
      const { cert, key } = await read(files);
      return new TlsSource(files, parsePair(cert, key));
    } catch (cause) {
      const words = `TLS_CERT is ${JSON.stringify(files.cert)} and TLS_KEY ${JSON.stringify(files.key)}: ${messageOf(cause)}`;
      throw new RekeycastError('CONFIG_INVALID', words, { cause });
    }
  }

  get pair(): TlsPair {
    return this.#pair;
  }

  /** Looks at the files again. Each piece of news is told once. */
  async check(now: WallMillis): Promise<TlsNews | undefined> {
    const found = await read(this.#files).catch((error: unknown) => messageOf(error));
    if (typeof found === 'string') return this.#refuse(found, found);
    if (found.cert === this.#pair.cert && found.key === this.#pair.key) return this.#lookAtTime(now);
    try {
      const pair = parsePair(found.cert, found.key);
      if (pair.validTo <= now) throw new TypeError(`the certificate has expired on ${date(pair.validTo)}`);
      this.#pair = pair;
      [this.#suspect, this.#told] = ['', undefined];
      return { kind: 'changed', pair };
    } catch (error) {
      return this.#refuse(found.cert + found.key, messageOf(error));
    }
  }

  #refuse(suspect: string, words: string): TlsNews | undefined {
    const again = this.#suspect === suspect;
    const told = again && this.#told === 'refused';
    this.#suspect = suspect;
    if (!again || told) {
      if (!again) this.#told = undefined;
      return undefined;
    }
    this.#told = 'refused';
    return { kind: 'refused', words };
  }

  #lookAtTime(now: WallMillis): TlsNews | undefined {
    if (this.#told === 'refused') this.#told = undefined;
    this.#suspect = '';
    const { validTo } = this.#pair;
    if (this.#told !== undefined || validTo - now > EXPIRES_SOON) return undefined;
    this.#told = 'expiring';
    return { kind: 'expiring', validTo };
  }
}

async function read(files: TlsFiles): Promise<{ readonly cert: string; readonly key: string }> {
  const [cert, key] = await Promise.all([readFile(files.cert, 'utf8'), readFile(files.key, 'utf8')]);
  return { cert, key };
}

/** Throws in words where they are not a certificate and its key. */
function parsePair(cert: string, key: string): TlsPair {
  const certificate = attempt('the certificate cannot be read', () => new X509Certificate(cert));
  if (/^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(key))
    throw new TypeError(
      'the key is under a passphrase: give it without one, in a file that only this server can read',
    );
  const privateKey: KeyObject = attempt('the key cannot be read', () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) throw new TypeError('the key is of another certificate');
  attempt('they cannot be used', () => createSecureContext({ cert, key }));
  return { cert, key, validTo: Date.parse(certificate.validTo) };
}

function attempt<Result>(words: string, work: () => Result): Result {
  try {
    return work();
  } catch (cause) {
    throw new TypeError(`${words} (${messageOf(cause)})`, { cause });
  }
}

const date = (at: WallMillis): string => new Date(at).toISOString().slice(0, 10);

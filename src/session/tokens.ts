import { createHmac } from 'node:crypto';
import { equalConstantTime, fromBase64Url, toBase64Url, toHex } from '../util/bytes.ts';
import { type RandomSource, randomBytes } from '../util/rng.ts';
import type { Secret } from '../util/secret.ts';

const TOKEN_BYTES = 32;

/**
 * Resume tokens. The page holds the token; the server keeps a keyed hash, so that what lies on disk resumes nothing.
 *
 * A token is used once: a resume hands out the next one, and both are good until the page confirms that it has it.
 */
export class ResumeTokens {
  readonly #key: Secret;
  readonly #rng: RandomSource;
  /** Session id by the hex of a token hash. A keyed hash can be looked up plainly: its timing tells nothing about the token. */
  readonly #sessions = new Map<string, string>();
  readonly #hashes = new Map<string, TokenHashes>();

  constructor(key: Secret, rng: RandomSource) {
    this.#key = key;
    this.#rng = rng;
  }

  /** The session a token resumes; `undefined` where it is unknown, void or malformed. Using the newest token confirms it. */
  redeem(token: string): string | undefined {
    const bytes = fromBase64Url(token);
    if (bytes?.length !== TOKEN_BYTES) return undefined;
    const hash = this.#hash(bytes);
    const session = this.#sessions.get(toHex(hash));
    const next = session === undefined ? undefined : this.#hashes.get(session)?.next;
    if (session !== undefined && next !== undefined && equalConstantTime(next, hash)) this.confirm(session);
    return session;
  }

  /** A new token for a session; the one before it stays good until {@link confirm}. */
  issue(session: string): string {
    const token = randomBytes(this.#rng, TOKEN_BYTES);
    const hash = this.#hash(token);
    const before = this.#hashes.get(session);
    if (before === undefined) this.restore(session, { current: hash, next: undefined });
    else {
      this.#forget(before.next);
      this.restore(session, { current: before.current, next: hash });
    }
    const text = toBase64Url(token);
    token.fill(0);
    return text;
  }

  /** The page holds the newest token: the one before it is void. */
  confirm(session: string): void {
    const hashes = this.#hashes.get(session);
    if (hashes?.next === undefined) return;
    this.#forget(hashes.current);
    this.restore(session, { current: hashes.next, next: undefined });
  }

  restore(session: string, hashes: TokenHashes): void {
    this.#hashes.set(session, hashes);
    for (const hash of [hashes.current, hashes.next]) {
      if (hash !== undefined) this.#sessions.set(toHex(hash), session);
    }
  }

  capture(session: string): TokenHashes | undefined {
    return this.#hashes.get(session);
  }

  remove(session: string): void {
    const hashes = this.#hashes.get(session);
    this.#forget(hashes?.current);
    this.#forget(hashes?.next);
    this.#hashes.delete(session);
  }

  #forget(hash: Uint8Array | undefined): void {
    if (hash !== undefined) this.#sessions.delete(toHex(hash));
  }

  #hash(token: Uint8Array): Uint8Array {
    return new Uint8Array(createHmac('sha256', this.#key.bytes).update(token).digest());
  }
}

/** HMAC-SHA-256 of the tokens of one session, for the snapshot. */
export interface TokenHashes {
  readonly current: Uint8Array;
  /** Handed out and not yet confirmed. */
  readonly next: Uint8Array | undefined;
}

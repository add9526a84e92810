import { createHmac, randomBytes } from 'node:crypto';
import { equalConstantTime, utf8 } from '../util/bytes.ts';
import type { WallMillis } from '../util/clock.ts';
import type { Secret } from '../util/secret.ts';
import type { AccessKeys } from './access-keys.ts';

export type Right = 'publish' | 'view';

/** What somebody may do here. Who publishes may view as well. */
export interface Admission {
  readonly right: Right;
  /** After that nothing new may be begun with it: neither a visit nor a broadcast. What has begun goes on. */
  readonly until: WallMillis | undefined;
  /** It came with PUBLISH_TOKEN itself. */
  readonly byPublishToken?: boolean;
}

export type Verdict =
  | { readonly admits: Admission }
  /** `words` are for whoever asked. */
  | { readonly refuses: 'missing' | 'wrong'; readonly words: string };

export interface AccessOptions {
  readonly publishToken?: Secret | undefined;
  readonly viewToken?: Secret | undefined;
  /** Of those who sign tokens. */
  readonly keys?: AccessKeys | undefined;
}

/** Longest token, in characters: it comes in the head of a request. */
const MAX_TOKEN_LENGTH = 8 * 1024;
/** RFC 7515 §7.1: a signed token has three parts. */
const SIGNED = /^[\w-]+\.[\w-]+\.[\w-]+$/;

const MISSING: Verdict = { refuses: 'missing', words: 'This server asks for a token.' };
const WRONG: Verdict = { refuses: 'wrong', words: 'This token is not known here.' };

/**
 * Who may come in, and do what.
 *
 *   nothing is set      everybody may do everything
 *   PUBLISH_TOKEN       who has it may publish, everybody may view
 *   VIEW_TOKEN          who has it may come in, and do what is not kept for others
 *   AUTH_PUBLIC_KEY     a signed token says what its bearer may; without one, or one of the tokens above, nobody comes in
 *
 * A token that is none is refused also where one may come in without: whoever has it would wonder for what it was good.
 */
export class Access {
  /** Whatever is compared has been through an HMAC under a key of this process: how long a comparison takes says nothing about the token. */
  readonly #key = randomBytes(32);
  readonly #publish: Uint8Array | undefined;
  readonly #view: Uint8Array | undefined;
  readonly #keys: AccessKeys | undefined;

  constructor({ publishToken, viewToken, keys }: AccessOptions = {}) {
    this.#publish = publishToken && this.#digest(publishToken.bytes);
    this.#view = viewToken && this.#digest(viewToken.bytes);
    this.#keys = keys;
  }

  /** Never rejects. A promise only where a signature has to be checked. */
  judge(token: string | undefined): Verdict | Promise<Verdict> {
    const keepsPublishing = this.#publish !== undefined || this.#keys !== undefined;
    if (!keepsPublishing && this.#view === undefined) return admit('publish');
    if (token === undefined)
      return this.#view === undefined && this.#keys === undefined ? admit('view') : MISSING;
    if (token.length > MAX_TOKEN_LENGTH) return WRONG;
    const digest = this.#digest(utf8(token));
    const publishes = isSame(this.#publish, digest);
    const views = isSame(this.#view, digest);
    if (publishes) return { admits: { right: 'publish', until: undefined, byPublishToken: true } };
    if (views) return admit(keepsPublishing ? 'view' : 'publish');
    return this.#keys !== undefined && SIGNED.test(token) ? this.#keys.judge(token) : WRONG;
  }

  #digest(token: Uint8Array): Uint8Array {
    return createHmac('sha256', this.#key).update(token).digest();
  }
}

const admit = (right: Right): Verdict => ({ admits: { right, until: undefined } });
const isSame = (known: Uint8Array | undefined, digest: Uint8Array): boolean =>
  known !== undefined && equalConstantTime(known, digest);

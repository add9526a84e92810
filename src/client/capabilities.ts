import type { Capabilities } from '../signaling/protocol.ts';

/**
 * There is no way to ask a browser whether it starts a new DTLS association when the fingerprint changes. The hint is whether its
 * `RTCDtlsTransport` has an `error` event: the browsers built on libwebrtc, which does start one, have it, and Firefox (seen up to ESR
 * 153), which stays connected and silent, has all of that interface but this. Where the hint says no, it is tried out once (`trial.ts`);
 * where it says yes and is wrong, the first failed re-key corrects it for the page's later joins.
 */
export function detectCapabilities(): Capabilities {
  const transport = (globalThis as { RTCDtlsTransport?: { prototype: object } }).RTCDtlsTransport;
  return { rekeyInPlace: transport !== undefined && 'onerror' in transport.prototype };
}

/** What the browser can do, as far as this page knows. */
export class Ability {
  #rekeyInPlace: boolean;
  #trialDue: boolean;
  /** The server was told otherwise when the page joined. */
  #found = false;

  constructor(hint: Capabilities) {
    this.#rekeyInPlace = hint.rekeyInPlace;
    this.#trialDue = !hint.rekeyInPlace;
  }

  get capabilities(): Capabilities {
    return { rekeyInPlace: this.#rekeyInPlace };
  }

  /** What the server may not know; it does no harm to say it again. */
  get news(): Capabilities | undefined {
    return this.#found ? this.capabilities : undefined;
  }

  /** True, once, where it has to be tried out. */
  takeTrial(): boolean {
    const due = this.#trialDue;
    this.#trialDue = false;
    return due;
  }

  /** What was found out; `undefined` where that is nothing new. */
  handleTried(rekeyInPlace: boolean): Capabilities | undefined {
    if (!rekeyInPlace || this.#rekeyInPlace) return undefined;
    this.#rekeyInPlace = true;
    this.#found = true;
    return this.news;
  }

  /** A re-key in place has failed: that counts for more than a trial. */
  handleFailure(): Capabilities | undefined {
    if (!this.#rekeyInPlace) return undefined;
    this.#rekeyInPlace = false;
    return this.news;
  }
}

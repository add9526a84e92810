import { equalConstantTime } from '../../util/bytes.ts';
import { type RandomSource, randomBytes } from '../../util/rng.ts';
import type { SrtpProfile } from '../srtp/profile.ts';
import { HANDSHAKE_TYPE, type HandshakeFragment, type HandshakeMessage } from './handshake.ts';
import { encodeClientHello, RANDOM_BYTES } from './messages/client-hello.ts';
import { decodeHelloVerifyRequest } from './messages/hello-verify-request.ts';

/** An honest server sends one HelloVerifyRequest; the rest is somebody who wants us to repeat hellos. */
const MAX_COOKIES = 4;

/** Our ClientHello: the first, then the one with the newest cookie (RFC 6347 §4.2.1). */
export class ClientHelloSource {
  readonly random: Uint8Array;
  readonly #srtpProfiles: readonly SrtpProfile[];
  #cookie: Uint8Array = new Uint8Array(0);
  #cookies = 0;

  constructor(rng: RandomSource, srtpProfiles: readonly SrtpProfile[]) {
    this.random = randomBytes(rng, RANDOM_BYTES);
    this.#srtpProfiles = srtpProfiles;
  }

  /** The one to send. Everything but the cookie stays the same: MUST, RFC 6347 §4.2.1. */
  message(): HandshakeMessage {
    const hello = { random: this.random, cookie: this.#cookie, srtpProfiles: this.#srtpProfiles };
    return { type: HANDSHAKE_TYPE.clientHello, seq: this.answerSeq, body: encodeClientHello(hello) };
  }

  /**
   * message_seq of the ServerHello that answers it: both sides count the HelloVerifyRequest once. A server that sends it keeps no
   * state, so that a further cookie does not count again.
   */
  get answerSeq(): number {
    return this.#cookies === 0 ? 0 : 1;
  }

  /**
   * Takes the cookie of a HelloVerifyRequest, or tells why not. It comes in one piece: the server that sends it holds no state to
   * fragment with.
   */
  takeCookie(
    fragment: HandshakeFragment,
  ): 'malformed-message' | 'retransmission' | 'too-many-cookies' | undefined {
    const whole = fragment.bytes.length === fragment.length;
    const cookie = whole ? decodeHelloVerifyRequest(fragment.bytes) : undefined;
    if (cookie === undefined) return 'malformed-message';
    if (equalConstantTime(cookie, this.#cookie)) return 'retransmission';
    if (this.#cookies === MAX_COOKIES) return 'too-many-cookies';
    this.#cookies++;
    this.#cookie = cookie;
    return undefined;
  }
}

import { type RandomSource, randomBytes } from '../../util/rng.ts';
import type { SrtpProfile } from '../srtp/profile.ts';
import { HANDSHAKE_TYPE, type HandshakeFragment, type HandshakeMessage } from './handshake.ts';
import { encodeClientHello, RANDOM_BYTES } from './messages/client-hello.ts';
import { decodeHelloVerifyRequest } from './messages/hello-verify-request.ts';
import type { Reassembly } from './reassembly.ts';

/** An honest server sends one HelloVerifyRequest; the rest is somebody who wants us to repeat hellos. */
const MAX_COOKIES = 4;

/**
 * Our ClientHello: the first, and the one with the newest cookie (RFC 6347 §4.2.1). Both are kept until the ServerHello tells
 * which one it answers, so that a forged HelloVerifyRequest costs a hello and nothing else.
 */
export class ClientHellos {
  readonly random: Uint8Array;
  readonly #srtpProfiles: readonly SrtpProfile[];
  readonly #first: HandshakeMessage;
  #second: HandshakeMessage | undefined;
  #cookie: Uint8Array = new Uint8Array(0);
  #cookies = 0;

  constructor(rng: RandomSource, srtpProfiles: readonly SrtpProfile[]) {
    this.random = randomBytes(rng, RANDOM_BYTES);
    this.#srtpProfiles = srtpProfiles;
    this.#first = this.#encode(0);
  }

  /** The one to send. */
  get newest(): HandshakeMessage {
    return this.#second ?? this.#first;
  }

  /** The one that this ServerHello answers, told by its message_seq; from now on the only one. */
  settle(serverHello: HandshakeMessage): HandshakeMessage {
    if (serverHello.seq === 0) this.#second = undefined;
    return this.newest;
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
    if (Buffer.compare(cookie, this.#cookie) === 0) return 'retransmission';
    if (this.#cookies === MAX_COOKIES) return 'too-many-cookies';
    this.#cookies++;
    this.#cookie = cookie;
    this.#second = this.#encode(1);
    return undefined;
  }

  /** A ServerHello is message 0, or 1 after a HelloVerifyRequest: moves on to it there. */
  findServerHello(reassembly: Reassembly): void {
    if (this.#second === undefined || reassembly.peek(0) !== undefined) return;
    if (reassembly.peek(1)?.type === HANDSHAKE_TYPE.serverHello) reassembly.skipTo(1);
  }

  #encode(seq: number): HandshakeMessage {
    const hello = { random: this.random, cookie: this.#cookie, srtpProfiles: this.#srtpProfiles };
    return { type: HANDSHAKE_TYPE.clientHello, seq, body: encodeClientHello(hello) };
  }
}

import type { HandshakeFragment, HandshakeMessage } from './handshake.ts';

/** Largest handshake message taken: room for a certificate chain of a few RSA certificates. */
export const MAX_MESSAGE_BYTES = 16 * 1024;
/** How far ahead of the next message fragments are kept: a whole server flight has five messages. */
export const MESSAGE_WINDOW = 8;

export type FragmentVerdict =
  | 'kept'
  /** Already taken: the peer repeats its flight. */
  | 'retransmission'
  | 'out-of-window'
  | 'message-too-large'
  /** Disagrees with what is already here about the message's type, length or bytes. */
  | 'conflicting-fragment';

/**
 * Puts handshake messages together from fragments that come in any order, twice, or overlapping (RFC 6347 §4.2.3), and hands
 * them out in order of message_seq. Holds at most `MESSAGE_WINDOW` messages of `MAX_MESSAGE_BYTES`, whatever arrives.
 */
export class Reassembly {
  #next: number;
  readonly #partial = new Map<number, PartialMessage>();

  /** `next` is the message_seq to start with. */
  constructor(next: number) {
    this.#next = next;
  }

  /** message_seq of the next message to be handed out. */
  get next(): number {
    return this.#next;
  }

  add(fragment: HandshakeFragment): FragmentVerdict {
    if (fragment.seq < this.#next) return 'retransmission';
    if (fragment.seq >= this.#next + MESSAGE_WINDOW) return 'out-of-window';
    if (fragment.length > MAX_MESSAGE_BYTES) return 'message-too-large';
    let partial = this.#partial.get(fragment.seq);
    if (partial === undefined) {
      partial = new PartialMessage(fragment.type, fragment.length);
      this.#partial.set(fragment.seq, partial);
    }
    return partial.merge(fragment) ? 'kept' : 'conflicting-fragment';
  }

  /** The next message, if all of it is here; it stays until `accept` or `reject`. */
  peek(): HandshakeMessage | undefined {
    const partial = this.#partial.get(this.#next);
    if (partial === undefined || partial.missing > 0) return undefined;
    return { type: partial.type, seq: this.#next, body: partial.body };
  }

  /** Takes the next message: its successor is next. */
  accept(): void {
    this.#partial.delete(this.#next);
    this.#next++;
  }

  /** Forgets the next message, which was no good: the peer's own may still come. */
  reject(): void {
    this.#partial.delete(this.#next);
  }
}

class PartialMessage {
  readonly type: number;
  readonly body: Uint8Array;
  readonly #received: Uint8Array;
  missing: number;

  constructor(type: number, length: number) {
    this.type = type;
    this.body = new Uint8Array(length);
    this.#received = new Uint8Array(length);
    this.missing = length;
  }

  merge(fragment: HandshakeFragment): boolean {
    if (fragment.type !== this.type || fragment.length !== this.body.length) return false;
    const { offset, bytes } = fragment;
    for (let i = 0; i < bytes.length; i++) {
      if (this.#received[offset + i] === 1 && this.body[offset + i] !== bytes[i]) return false;
    }
    for (let i = 0; i < bytes.length; i++) {
      if (this.#received[offset + i] === 1) continue;
      this.#received[offset + i] = 1;
      this.body[offset + i] = bytes[i]!;
      this.missing--;
    }
    return true;
  }
}

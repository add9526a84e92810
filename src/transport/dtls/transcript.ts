import { createHash } from 'node:crypto';
import { concat } from '../../util/bytes.ts';
import type { PrfHash } from './cipher-suite.ts';
import { encodeMessage, type HandshakeMessage } from './handshake.ts';

/**
 * The handshake messages of both sides in order, as if never fragmented (RFC 6347 §4.2.6). Kept as bytes, because
 * CertificateVerify signs them and the hash is known after ServerHello only.
 */
export class Transcript {
  readonly #messages: Uint8Array[] = [];

  add(message: HandshakeMessage): void {
    this.#messages.push(encodeMessage(message));
  }

  bytes(): Uint8Array {
    return concat(...this.#messages);
  }

  hash(hash: PrfHash): Uint8Array {
    return new Uint8Array(createHash(hash).update(this.bytes()).digest());
  }
}

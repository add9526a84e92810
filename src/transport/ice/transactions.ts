import { ByteReader } from '../../util/bytes.ts';

/** A browser checks every few seconds: this reaches back for the better part of an hour, in 8 kB. */
const REMEMBERED = 1024;

/** The newest transaction ids of authentic checks: one that comes again is a retransmission, or was recorded by somebody. */
export class Transactions {
  readonly #seen = new Float64Array(REMEMBERED).fill(-1);
  #next = 0;

  /** True where the transaction is new; it is not any more then. */
  take(transactionId: Uint8Array): boolean {
    // 48 of its 96 random bits (RFC 8489 §5): only who knows the password gets this far.
    const id = new ByteReader(transactionId).u48();
    if (this.#seen.includes(id)) return false;
    this.#seen[this.#next] = id;
    this.#next = (this.#next + 1) % REMEMBERED;
    return true;
  }
}

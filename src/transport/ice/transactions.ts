import { ByteReader } from '../../util/bytes.ts';

/** A browser checks every few seconds: this reaches back for the better part of an hour, in 8 kB. */
export const REMEMBERED = 1024;
/** There is room for so many at first: those who stay for a while get more. */
const FIRST_ROOM = 64;

/** The newest transaction ids of authentic checks: one that comes again is a retransmission, or was recorded by somebody. */
export class Transactions {
  #seen = new Float64Array(FIRST_ROOM);
  #taken = 0;

  /** True where the transaction is new; it is not any more then. */
  take(transactionId: Uint8Array): boolean {
    // 48 of its 96 random bits (RFC 8489 §5): only who knows the password gets this far.
    const id = new ByteReader(transactionId).u48();
    const known = Math.min(this.#taken, this.#seen.length);
    if (this.#seen.subarray(0, known).includes(id)) return false;
    if (this.#taken === this.#seen.length && this.#taken < REMEMBERED) this.#makeRoom();
    this.#seen[this.#taken++ % REMEMBERED] = id;
    return true;
  }

  #makeRoom(): void {
    const before = this.#seen;
    this.#seen = new Float64Array(Math.min(REMEMBERED, 2 * before.length));
    this.#seen.set(before);
  }
}

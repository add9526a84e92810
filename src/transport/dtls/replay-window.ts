const WINDOW = 64;

/**
 * Which record sequence numbers of an epoch were received (RFC 6347 §4.1.2.6). `check` comes before authentication and changes
 * nothing, `update` after it: a forged record must not move the window.
 */
export class ReplayWindow {
  #highest = -1;
  /** Bit n: `#highest - n` was received. */
  #seen = 0n;

  /** Whether a record of this number may still be accepted. */
  check(sequence: number): boolean {
    if (sequence > this.#highest) return true;
    const age = this.#highest - sequence;
    return age < WINDOW && (this.#seen & (1n << BigInt(age))) === 0n;
  }

  update(sequence: number): void {
    if (sequence > this.#highest) {
      const step = this.#highest < 0 ? WINDOW : Math.min(sequence - this.#highest, WINDOW);
      this.#seen = BigInt.asUintN(WINDOW, (this.#seen << BigInt(step)) | 1n);
      this.#highest = sequence;
    } else {
      this.#seen |= 1n << BigInt(this.#highest - sequence);
    }
  }
}

/**
 * Which packets of a stream (RFC 3711 §3.3.2) or records of an epoch (RFC 6347 §4.1.2.6) were taken, as a bitmap that slides with the highest
 * index. What lies below the window counts as taken. `check` changes nothing, so it may come before authentication; `update` comes after: a
 * forged index must not move the window.
 */
export class ReplayWindow {
  /** Nothing below this index is ever fresh. */
  readonly floor: number;
  readonly #bits: Uint32Array;
  readonly #size: number;
  #highest: number;

  /** @param size indices remembered, a multiple of 32. */
  constructor(size: number, floor = 0) {
    this.floor = floor;
    this.#size = size;
    this.#bits = new Uint32Array(size / 32);
    this.#highest = floor - 1;
  }

  /** The highest index taken; `floor - 1` before the first. */
  get highest(): number {
    return this.#highest;
  }

  /** True where `index` was not taken yet. */
  check(index: number): boolean {
    if (index > this.#highest) return true;
    if (index < this.floor || index <= this.#highest - this.#size) return false;
    const bit = index % this.#size;
    return (this.#bits[bit >>> 5]! & (1 << (bit & 31))) === 0;
  }

  /** Takes `index`, which must be fresh. */
  update(index: number): void {
    if (index > this.#highest) {
      const skipped = index - this.#highest - 1;
      if (skipped >= this.#size) this.#bits.fill(0);
      else for (let i = this.#highest + 1; i < index; i++) this.#clear(i % this.#size);
      this.#highest = index;
    }
    const bit = index % this.#size;
    this.#bits[bit >>> 5] = this.#bits[bit >>> 5]! | (1 << (bit & 31));
  }

  #clear(bit: number): void {
    this.#bits[bit >>> 5] = this.#bits[bit >>> 5]! & ~(1 << (bit & 31));
  }
}

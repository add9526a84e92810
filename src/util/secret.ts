import { inspect } from 'node:util';
import { RekeycastError } from '../errors.ts';
import type { RandomSource } from './rng.ts';

const PAGE_BYTES = 64 * 1024;
const SLOT_BYTES = 16;

/**
 * Secret bytes. Printed or serialized it shows its length only; `dispose()` zeroes it.
 *
 * The bytes lie in an off-heap slab and not in an array of their own: V8 keeps small typed arrays on its
 * heap, where the collector copies them about and leaves the copies behind.
 */
export class Secret {
  #bytes: Uint8Array | undefined;
  readonly #slots: number;
  readonly length: number;

  private constructor(length: number) {
    this.length = length;
    this.#slots = Math.max(1, Math.ceil(length / SLOT_BYTES));
    this.#bytes = takeSlots(this.#slots).subarray(0, length);
  }

  /** A secret of zeroes, to be filled through {@link bytes}. */
  static alloc(length: number): Secret {
    return new Secret(length);
  }

  /** Moves bytes in: they are copied and the source is zeroed. */
  static take(source: Uint8Array): Secret {
    const secret = new Secret(source.length);
    secret.bytes.set(source);
    source.fill(0);
    return secret;
  }

  /** Copies bytes in; the source stays as it is (a view of another secret). */
  static copy(source: Uint8Array): Secret {
    const secret = new Secret(source.length);
    secret.bytes.set(source);
    return secret;
  }

  static random(length: number, rng: RandomSource): Secret {
    const secret = new Secret(length);
    rng.fill(secret.bytes);
    return secret;
  }

  /** A live view, not a copy: valid until `dispose()`. Throws `SECRET_DISPOSED` afterwards. */
  get bytes(): Uint8Array {
    if (this.#bytes === undefined) throw new RekeycastError('SECRET_DISPOSED', 'this secret has been wiped');
    return this.#bytes;
  }

  get disposed(): boolean {
    return this.#bytes === undefined;
  }

  /** Zeroes the bytes and gives their place back. Calling it again does nothing. */
  dispose(): void {
    if (this.#bytes === undefined) return;
    this.#bytes.fill(0);
    giveBack(this.#bytes, this.#slots);
    this.#bytes = undefined;
  }

  toString(): string {
    return `Secret(${this.length} bytes)`;
  }

  toJSON(): never {
    throw new TypeError('a Secret is never serialized');
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** Zeroes what a library returned, once it has been copied to where it belongs. */
export function wipe(...buffers: readonly Uint8Array[]): void {
  for (const buffer of buffers) buffer.fill(0);
}

const free = new Map<number, Uint8Array[]>();
let page = new Uint8Array(0);
let used = 0;

function takeSlots(slots: number): Uint8Array {
  const recycled = free.get(slots)?.pop();
  if (recycled !== undefined) return recycled;
  const size = slots * SLOT_BYTES;
  if (size > PAGE_BYTES) return new Uint8Array(size);
  if (used + size > page.length) {
    page = new Uint8Array(PAGE_BYTES);
    used = 0;
  }
  const start = used;
  used += size;
  return page.subarray(start, start + size);
}

function giveBack(view: Uint8Array, slots: number): void {
  const size = slots * SLOT_BYTES;
  const whole = new Uint8Array(view.buffer, view.byteOffset, size);
  const list = free.get(slots);
  if (list === undefined) free.set(slots, [whole]);
  else list.push(whole);
}

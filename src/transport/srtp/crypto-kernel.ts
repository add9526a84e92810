import { type Cipher, createCipheriv, type KeyObject } from 'node:crypto';
import { release } from '../../util/release.ts';
import { wipe } from '../../util/secret.ts';

/** Packets that are sealed before the places of the first are used again. */
export const KERNEL_SLOTS = 64;
/** Longer packets go the plain way: none that the path of a broadcast takes whole is longer. */
export const KERNEL_PACKET_BYTES = 1500;

/** Two connections of each of two thousand sessions. Who finds none free goes the plain way. */
const RECORDS = 4096;
/** AES blocks of keystream that a packet takes, at most. */
const PACKET_BLOCKS = Math.ceil(KERNEL_PACKET_BYTES / 16);
/** A packet with its tag, or with the rollover counter and SHA-1's padding in the place of it, and no power of two: lanes would share cache lines. */
const SLOT_BYTES = 1600;
const AUTHENTICATION_KEY_BYTES = 20;

/** As much of it as is used here: it is no part of the language's own types. */
declare const WebAssembly: {
  instantiate(program: Uint8Array): Promise<{ readonly instance: { readonly exports: object } }>;
};

/** What `kernel/kernel.ts` exports. */
interface KernelExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly KEY: { readonly value: number };
  readonly RECORDS: { readonly value: number };
  readonly RECORD_BYTES: { readonly value: number };
  install(record: number): void;
  remove(record: number): void;
  counters(
    record: number,
    ssrc: number,
    rollover: number,
    sequence: number,
    at: number,
    blocks: number,
  ): void;
  seal(packet: number, header: number, length: number, ...lanes: Quadruples): void;
  wipe(at: number, bytes: number): void;
}

type Four = readonly [number, number, number, number];
/** Records, keystreams, places and rollover counters of the four lanes. */
type Quadruples = readonly [...Four, ...Four, ...Four, ...Four];

/**
 * The WebAssembly half of AES_CM_128_HMAC_SHA1_80: XOR and HMAC-SHA1 of four packets at once, in one memory that never grows. AES is node:crypto's,
 * with one cipher a key.
 *
 *   scratch │ records of keys │ the packet │ counter blocks │ keystream │ slots: protected packets
 *
 * Records are zeroed in place when their context is disposed, counter blocks (they tell the salt) and keystream as soon as they are used.
 */
export class CryptoKernel {
  readonly #exports: KernelExports;
  readonly #memory: Uint8Array;
  readonly #key: number;
  readonly #packet: number;
  readonly #counters: number;
  readonly #keystream: number;
  readonly #slots: number;
  /** Counter blocks by how many they are: a view costs as much as a short packet's AES. */
  readonly #views: (Uint8Array | undefined)[] = [];
  /** By slot, of what was there last: packets of a frame are mostly of one length. */
  readonly #sealed: (Uint8Array | undefined)[] = [];
  readonly #free: number[] = [];
  #nextRecord = 0;
  #keystreamUsed = 0;

  private constructor(exports: KernelExports) {
    this.#exports = exports;
    this.#memory = new Uint8Array(exports.memory.buffer);
    this.#key = exports.KEY.value;
    this.#packet = exports.RECORDS.value + RECORDS * exports.RECORD_BYTES.value;
    this.#counters = this.#packet + SLOT_BYTES;
    this.#keystream = this.#counters + KERNEL_SLOTS * PACKET_BLOCKS * 16;
    this.#slots = this.#keystream + KERNEL_SLOTS * PACKET_BLOCKS * 16;
    if (this.#slots + KERNEL_SLOTS * SLOT_BYTES > this.#memory.length)
      throw new RangeError('the kernel was built with too small a memory');
  }

  /** @param program what `npm run build` has made of `kernel/`. */
  static async load(program: Uint8Array): Promise<CryptoKernel> {
    const { instance } = await WebAssembly.instantiate(program);
    return new CryptoKernel(instance.exports as KernelExports);
  }

  /** The memory that protected packets lie in, for who hands them to the system by their addresses. */
  get memory(): Uint8Array {
    return this.#memory;
  }

  /** Places keys in a record; they stay the caller's, who disposes what it gets. `undefined` where no record is free. */
  install(encryption: KeyObject, authentication: KeyObject, salt: Uint8Array): KernelKeys | undefined {
    const record = this.#free.pop() ?? (this.#nextRecord < RECORDS ? this.#nextRecord++ : undefined);
    if (record === undefined) return undefined;
    const key = authentication.export();
    this.#memory.set(key, this.#key);
    this.#memory.set(salt, this.#key + AUTHENTICATION_KEY_BYTES);
    wipe(key);
    // Zeroes what it is given.
    this.#exports.install(record);
    const cipher = createCipheriv('aes-128-ecb', encryption, null);
    cipher.setAutoPadding(false);
    return new KernelKeys(this, record, cipher, () => {
      this.#exports.remove(record);
      this.#free.push(record);
    });
  }

  /** Where the record of these keys lies in {@link memory}. */
  recordAt({ record }: KernelKeys): number {
    return this.#exports.RECORDS.value + record * this.#exports.RECORD_BYTES.value;
  }

  /** Places the packet that {@link seal} is about. */
  place(packet: Uint8Array): void {
    this.#memory.set(packet, this.#packet);
  }

  /** Adds the counter blocks of a packet to those of this key, `blocks` so far; gives how many there are now. */
  count(keys: KernelKeys, ssrc: number, index: number, blocks: number, bytes: number): number {
    const more = Math.ceil(bytes / 16);
    const at = this.#counters + blocks * 16;
    this.#exports.counters(keys.record, ssrc, rolloverOf(index), index % 2 ** 16, at, more);
    return blocks + more;
  }

  /** Makes keystream of this key's counter blocks, behind what there is. Gives where it begins. */
  generate(keys: KernelKeys, blocks: number): number {
    const at = this.#keystream + this.#keystreamUsed;
    try {
      this.#views[blocks] ??= this.#memory.subarray(this.#counters, this.#counters + blocks * 16);
      const keystream = keys.encrypt(this.#views[blocks]);
      this.#memory.set(keystream, at);
      this.#keystreamUsed += keystream.length;
      wipe(keystream);
      release(keystream);
    } finally {
      this.#exports.wipe(this.#counters, blocks * 16);
    }
    return at;
  }

  /** Seals the placed packet for up to four receivers, the first `count` of the list, each into its slot. */
  seal(headerLength: number, length: number, lanes: readonly KernelLane[], count = lanes.length): void {
    const a = lanes[0]!;
    const b = count > 1 ? lanes[1]! : a;
    const c = count > 2 ? lanes[2]! : a;
    const d = count > 3 ? lanes[3]! : a;
    this.#exports.seal(
      this.#packet,
      headerLength,
      length,
      a.record,
      b.record,
      c.record,
      d.record,
      a.keystream,
      b.keystream,
      c.keystream,
      d.keystream,
      this.#place(a.slot),
      this.#place(b.slot),
      this.#place(c.slot),
      this.#place(d.slot),
      rolloverOf(a.index),
      rolloverOf(b.index),
      rolloverOf(c.index),
      rolloverOf(d.index),
    );
  }

  /** What was sealed into a slot: a view, valid until something else is. */
  slot(slot: number, length: number): Uint8Array {
    const known = this.#sealed[slot];
    if (known?.length === length) return known;
    const at = this.#place(slot);
    const view = this.#memory.subarray(at, at + length);
    this.#sealed[slot] = view;
    return view;
  }

  /** Zeroes all keystream. */
  wipeKeystream(): void {
    this.#exports.wipe(this.#keystream, this.#keystreamUsed);
    this.#keystreamUsed = 0;
  }

  #place(slot: number): number {
    return this.#slots + slot * SLOT_BYTES;
  }
}

/** One receiver of the packet that is sealed. */
export interface KernelLane {
  record: number;
  keystream: number;
  slot: number;
  /** The 48-bit SRTP index. */
  index: number;
}

/** The keys of one context in a kernel: its record there, and its cipher. */
export class KernelKeys {
  readonly kernel: CryptoKernel;
  readonly record: number;
  readonly #remove: () => void;
  #cipher: Cipher | undefined;

  constructor(kernel: CryptoKernel, record: number, cipher: Cipher, remove: () => void) {
    this.kernel = kernel;
    this.record = record;
    this.#cipher = cipher;
    this.#remove = remove;
  }

  /** AES of each block by itself: keystream where they are counter blocks. */
  encrypt(blocks: Uint8Array): Uint8Array {
    return this.#cipher!.update(blocks);
  }

  dispose(): void {
    if (this.#cipher === undefined) return;
    // Makes node:crypto cleanse its copy of the key now, and not when the cipher is collected.
    this.#cipher.final();
    this.#cipher = undefined;
    this.#remove();
  }
}

const rolloverOf = (index: number): number => Math.floor(index / 2 ** 16);

import { randomFillSync } from 'node:crypto';
import wrappers from 'libsodium-wrappers';
import { Secret } from './secret.ts';

/** Bytes of an X25519 key, secret or public. */
export const BOX_KEY_BYTES = 32;
/** A 32-byte data key in a sealed box: ephemeral public key, tag, ciphertext. */
export const SEALED_KEY_BYTES = 80;
export const STREAM_HEADER_BYTES = 24;
/** By how much a secretstream message is longer than its plaintext. */
const STREAM_OVERHEAD_BYTES = 17;
export const MAX_STREAM_MESSAGE_BYTES = 65_518;
const MAX_ASSOCIATED_BYTES = 1024;

const DATA_KEY_BYTES = 32;
const STATE_BYTES = 52;
const TAG_MESSAGE = 0;
const TAG_FINAL = 3;

/** Seals messages under a fresh data key, which only the holder of the secret key can open. */
interface SealStream {
  readonly sealedKey: Uint8Array;
  readonly streamHeader: Uint8Array;
  /** A view of library memory, valid until the next call of anything here. Throws `RangeError` past the size limits. */
  push(message: Uint8Array, associated: Uint8Array, final: boolean): Uint8Array;
  /** Wipes the stream's key. Always to be called. */
  close(): void;
}

export interface OpenStream {
  /** `undefined` where the message is not authentic here: changed, cut, out of order. Nothing can be pulled after that. */
  pull(
    ciphertext: Uint8Array,
    associated: Uint8Array,
  ): { readonly message: Secret; readonly final: boolean } | undefined;
  close(): void;
}

/**
 * The part of libsodium that is used here, on its memory directly.
 *
 * The wrappers' own functions allocate for each call, give the memory back without zeroing it, and never give a stream's state
 * back at all: plaintext keys would stay in the WASM memory, and a server that seals five times a second would
 * grow without bound. Here everything lies in one arena, which is zeroed when a call is over.
 */
export interface Sodium {
  /** The public key of an X25519 secret key. */
  publicKeyOf(secretKey: Uint8Array): Uint8Array;
  openSealStream(publicKey: Uint8Array): SealStream;
  /** `undefined` where the key does not open the box. */
  openStream(
    sealedKey: Uint8Array,
    streamHeader: Uint8Array,
    publicKey: Uint8Array,
    secretKey: Uint8Array,
  ): OpenStream | undefined;
  /** Whether all memory that is used here is zero: nothing was left behind. */
  isClean(): boolean;
}

let loaded: Sodium | undefined;

/** Loads the WASM module, once. */
export async function loadSodium(): Promise<Sodium> {
  await wrappers.ready;
  loaded ??= new Arena((wrappers as unknown as { libsodium: RawSodium }).libsodium);
  return loaded;
}

/** What {@link loadSodium} has loaded; throws where that was not awaited at boot. */
export function sodium(): Sodium {
  if (loaded === undefined) throw new Error('libsodium is used before it is loaded');
  return loaded;
}

/** The exports of the WASM module that are called here. 64-bit lengths come as two halves. */
interface RawSodium {
  /** Replaced when the memory grows, so it is never kept. */
  readonly HEAPU8: Uint8Array;
  _malloc(size: number): number;
  _crypto_scalarmult_base(publicKey: number, secretKey: number): number;
  _crypto_box_seal(
    sealed: number,
    message: number,
    length: number,
    lengthHigh: number,
    publicKey: number,
  ): number;
  _crypto_box_seal_open(
    message: number,
    sealed: number,
    length: number,
    lengthHigh: number,
    publicKey: number,
    secretKey: number,
  ): number;
  _crypto_secretstream_xchacha20poly1305_init_push(state: number, header: number, key: number): number;
  _crypto_secretstream_xchacha20poly1305_init_pull(state: number, header: number, key: number): number;
  _crypto_secretstream_xchacha20poly1305_push(
    state: number,
    ciphertext: number,
    ciphertextLength: number,
    message: number,
    length: number,
    lengthHigh: number,
    associated: number,
    associatedLength: number,
    associatedLengthHigh: number,
    tag: number,
  ): number;
  _crypto_secretstream_xchacha20poly1305_pull(
    state: number,
    message: number,
    messageLength: number,
    tag: number,
    ciphertext: number,
    length: number,
    lengthHigh: number,
    associated: number,
    associatedLength: number,
    associatedLengthHigh: number,
  ): number;
}

/** One allocation for the life of the process, cut into fixed places. One stream is open at a time. */
const PLACE = {
  state: 0,
  key: 64,
  publicKey: 96,
  secretKey: 128,
  header: 160,
  sealedKey: 192,
  tag: 272,
  associated: 288,
  input: 288 + MAX_ASSOCIATED_BYTES,
  output: 288 + MAX_ASSOCIATED_BYTES + 65_536,
} as const;
const ARENA_BYTES = PLACE.output + 65_536;

class Arena implements Sodium {
  readonly #raw: RawSodium;
  readonly #base: number;
  #open: object | undefined;

  constructor(raw: RawSodium) {
    this.#raw = raw;
    this.#base = raw._malloc(ARENA_BYTES);
    if (this.#base === 0) throw new Error('libsodium has no memory');
    this.#wipe(0, ARENA_BYTES);
  }

  publicKeyOf(secretKey: Uint8Array): Uint8Array {
    this.#put(PLACE.secretKey, secretKey, BOX_KEY_BYTES);
    const failed = this.#raw._crypto_scalarmult_base(
      this.#base + PLACE.publicKey,
      this.#base + PLACE.secretKey,
    );
    const publicKey = this.#copy(PLACE.publicKey, BOX_KEY_BYTES);
    this.#wipe(PLACE.publicKey, BOX_KEY_BYTES * 2);
    if (failed !== 0) throw new Error('libsodium refuses this secret key');
    return publicKey;
  }

  openSealStream(publicKey: Uint8Array): SealStream {
    const owner = this.#claim();
    const at = this.#base;
    this.#put(PLACE.publicKey, publicKey, BOX_KEY_BYTES);
    // As the library's own function would, but in one call: that one asks for four bytes at a time.
    randomFillSync(this.#view(PLACE.key, DATA_KEY_BYTES));
    const failed =
      this.#raw._crypto_box_seal(
        at + PLACE.sealedKey,
        at + PLACE.key,
        DATA_KEY_BYTES,
        0,
        at + PLACE.publicKey,
      ) |
      this.#raw._crypto_secretstream_xchacha20poly1305_init_push(
        at + PLACE.state,
        at + PLACE.header,
        at + PLACE.key,
      );
    const sealedKey = this.#copy(PLACE.sealedKey, SEALED_KEY_BYTES);
    const streamHeader = this.#copy(PLACE.header, STREAM_HEADER_BYTES);
    this.#wipe(PLACE.key, PLACE.tag - PLACE.key);
    if (failed !== 0) {
      this.#release(owner);
      throw new Error('libsodium refuses this public key');
    }
    return {
      sealedKey,
      streamHeader,
      push: (message, associated, final) => {
        this.#check(owner);
        return this.#push(message, associated, final);
      },
      close: () => this.#release(owner),
    };
  }

  openStream(
    sealedKey: Uint8Array,
    streamHeader: Uint8Array,
    publicKey: Uint8Array,
    secretKey: Uint8Array,
  ): OpenStream | undefined {
    const owner = this.#claim();
    const at = this.#base;
    this.#put(PLACE.sealedKey, sealedKey, SEALED_KEY_BYTES);
    this.#put(PLACE.header, streamHeader, STREAM_HEADER_BYTES);
    this.#put(PLACE.publicKey, publicKey, BOX_KEY_BYTES);
    this.#put(PLACE.secretKey, secretKey, BOX_KEY_BYTES);
    const failed =
      this.#raw._crypto_box_seal_open(
        at + PLACE.key,
        at + PLACE.sealedKey,
        SEALED_KEY_BYTES,
        0,
        at + PLACE.publicKey,
        at + PLACE.secretKey,
      ) ||
      this.#raw._crypto_secretstream_xchacha20poly1305_init_pull(
        at + PLACE.state,
        at + PLACE.header,
        at + PLACE.key,
      );
    this.#wipe(PLACE.key, PLACE.tag - PLACE.key);
    if (failed !== 0) {
      this.#release(owner);
      return undefined;
    }
    return {
      pull: (ciphertext, associated) => {
        this.#check(owner);
        return this.#pull(ciphertext, associated);
      },
      close: () => this.#release(owner),
    };
  }

  isClean(): boolean {
    return this.#view(0, ARENA_BYTES).every((byte) => byte === 0);
  }

  #push(message: Uint8Array, associated: Uint8Array, final: boolean): Uint8Array {
    if (message.length > MAX_STREAM_MESSAGE_BYTES || associated.length > MAX_ASSOCIATED_BYTES) {
      throw new RangeError('too long for one sealed record');
    }
    const at = this.#base;
    this.#put(PLACE.input, message, message.length);
    this.#put(PLACE.associated, associated, associated.length);
    const failed = this.#raw._crypto_secretstream_xchacha20poly1305_push(
      at + PLACE.state,
      at + PLACE.output,
      0,
      at + PLACE.input,
      message.length,
      0,
      at + PLACE.associated,
      associated.length,
      0,
      final ? TAG_FINAL : TAG_MESSAGE,
    );
    this.#wipe(PLACE.input, message.length);
    this.#wipe(PLACE.associated, associated.length);
    if (failed !== 0) throw new Error('libsodium could not seal a record');
    return this.#view(PLACE.output, message.length + STREAM_OVERHEAD_BYTES);
  }

  #pull(
    ciphertext: Uint8Array,
    associated: Uint8Array,
  ): { readonly message: Secret; readonly final: boolean } | undefined {
    const length = ciphertext.length - STREAM_OVERHEAD_BYTES;
    if (length < 0 || length > MAX_STREAM_MESSAGE_BYTES || associated.length > MAX_ASSOCIATED_BYTES)
      return undefined;
    const at = this.#base;
    this.#put(PLACE.input, ciphertext, ciphertext.length);
    this.#put(PLACE.associated, associated, associated.length);
    const failed = this.#raw._crypto_secretstream_xchacha20poly1305_pull(
      at + PLACE.state,
      at + PLACE.output,
      0,
      at + PLACE.tag,
      at + PLACE.input,
      ciphertext.length,
      0,
      at + PLACE.associated,
      associated.length,
      0,
    );
    const final = this.#view(PLACE.tag, 1)[0] === TAG_FINAL;
    const message = failed === 0 ? Secret.copy(this.#view(PLACE.output, length)) : undefined;
    this.#wipe(PLACE.output, length);
    this.#wipe(PLACE.input, ciphertext.length);
    this.#wipe(PLACE.associated, associated.length);
    this.#wipe(PLACE.tag, 1);
    return message === undefined ? undefined : { message, final };
  }

  #claim(): object {
    if (this.#open !== undefined) throw new Error('a sealed stream is already open');
    this.#open = {};
    return this.#open;
  }

  #check(owner: object): void {
    if (this.#open !== owner) throw new Error('this sealed stream is closed');
  }

  #release(owner: object): void {
    if (this.#open !== owner) return;
    this.#open = undefined;
    this.#wipe(PLACE.state, STATE_BYTES);
    this.#wipe(PLACE.output, 65_536);
  }

  #view(offset: number, length: number): Uint8Array {
    const start = this.#base + offset;
    return this.#raw.HEAPU8.subarray(start, start + length);
  }

  #copy(offset: number, length: number): Uint8Array {
    return this.#view(offset, length).slice();
  }

  #put(offset: number, bytes: Uint8Array, length: number): void {
    if (bytes.length !== length) throw new RangeError(`expected ${length} bytes`);
    this.#view(offset, length).set(bytes);
  }

  #wipe(offset: number, length: number): void {
    this.#view(offset, length).fill(0);
  }
}

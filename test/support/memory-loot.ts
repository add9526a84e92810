import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readMemory } from './memory.ts';

/** An SRTP master key with the salt that may go with it. */
export interface MasterGuess {
  readonly key: Uint8Array;
  readonly salt: Uint8Array;
}

/** HMAC-SHA1 keys of SRTP (RFC 3711 §5.2), and master keys and salts of the counter-mode profile. */
const AUTHENTICATION_KEY_BYTES = 20;
const MASTER_KEY_BYTES = 16;
const MASTER_SALT_BYTES = 14;
/** Pointers and what malloc gives are aligned to this; secrets of the server's own to twice as much. */
const ALIGNMENT = 8;
const SLOT_BYTES = 16;
/** A key and its salt lie no further apart: the first free places of a page of secrets. */
const PAGE_BYTES = 4 * 1024;
/** How many slots are looked at on either side, and how many of them may hold something else. */
const NEIGHBOURS = 8;
const MAX_ODD = 3;
const LONGEST_BYTES = 160;
/** PKCS #8 of a P-256 key up to the scalar (RFC 5958, RFC 5915). */
const P256_PKCS8 = Buffer.from(
  '308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420',
  'hex',
);
const P256_PKCS8_BYTES = 138;

interface Placed {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** All that looks like a key in the memory of a process: in what it can write to, at places where a key can begin. */
export class MemoryLoot {
  readonly authenticationKeys: Uint8Array[] = [];
  readonly masters: MasterGuess[] = [];
  readonly privateKeys: KeyObject[] = [];
  readonly #seen = new Set<string>();
  #slots: Placed[] = [];
  #salts: Placed[] = [];

  static async take(pid: number): Promise<MemoryLoot> {
    const loot = new MemoryLoot();
    await readMemory(
      pid,
      LONGEST_BYTES,
      (chunk, _mapping, address) => loot.#search(chunk, address),
      ({ writable }) => writable,
    );
    loot.#pairUp();
    return loot;
  }

  #search(chunk: Uint8Array, address: number): void {
    for (let at = 0; at + AUTHENTICATION_KEY_BYTES <= chunk.length; at += ALIGNMENT) {
      // Most of memory is zeroes.
      if (chunk[at] === 0 && chunk[at + 1] === 0 && chunk[at + 2] === 0) continue;
      if (looksRandom(chunk, at, AUTHENTICATION_KEY_BYTES)) this.#addOnce(chunk, at);
      if (at % SLOT_BYTES === 0) this.#searchSlot(chunk, at, address + at);
    }
    const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    for (let at = buffer.indexOf(P256_PKCS8); at >= 0; at = buffer.indexOf(P256_PKCS8, at + 1)) {
      const key = parsePrivateKey(Buffer.from(buffer.subarray(at, at + P256_PKCS8_BYTES)));
      if (key !== undefined) this.privateKeys.push(key);
    }
  }

  #addOnce(chunk: Uint8Array, at: number): void {
    const bytes = chunk.slice(at, at + AUTHENTICATION_KEY_BYTES);
    const name = Buffer.from(bytes.buffer).toString('latin1');
    if (this.#seen.has(name)) return;
    this.#seen.add(name);
    this.authenticationKeys.push(bytes);
  }

  #searchSlot(chunk: Uint8Array, at: number, address: number): void {
    // A salt leaves two bytes of its slot, which are zero; and is no pair of pointers, whose upper bytes are.
    const padded = chunk[at + 14] === 0 && chunk[at + 15] === 0;
    const pointer = chunk[at + 6] === 0 && chunk[at + 7] === 0;
    if (padded && !pointer && looksRandom(chunk, at, MASTER_SALT_BYTES) && isAmongSecrets(chunk, at))
      this.#salts.push({ address, bytes: chunk.slice(at, at + MASTER_SALT_BYTES) });
    if (looksRandom(chunk, at, MASTER_KEY_BYTES) && isAmongSecrets(chunk, at))
      this.#slots.push({ address, bytes: chunk.slice(at, at + MASTER_KEY_BYTES) });
  }

  /** Keys and salts that lie close together, in every combination. */
  #pairUp(): void {
    const pageOf = (address: number): number => Math.floor(address / PAGE_BYTES);
    const pages = new Map<number, Placed[]>();
    for (const salt of this.#salts) {
      // Pages begin anywhere.
      for (const page of [-1, 0, 1].map((step) => pageOf(salt.address) + step)) {
        const known = pages.get(page);
        if (known === undefined) pages.set(page, [salt]);
        else known.push(salt);
      }
    }
    for (const { address, bytes: key } of this.#slots) {
      for (const salt of pages.get(pageOf(address)) ?? [])
        if (Math.abs(salt.address - address) < PAGE_BYTES) this.masters.push({ key, salt: salt.bytes });
    }
    this.#slots = [];
    this.#salts = [];
    this.#seen.clear();
  }
}

/** Whether most of what lies around is empty or random, slot by slot, as in a page of secrets. */
function isAmongSecrets(chunk: Uint8Array, at: number): boolean {
  let odd = 0;
  for (let slot = at - NEIGHBOURS * SLOT_BYTES; slot <= at + NEIGHBOURS * SLOT_BYTES; slot += SLOT_BYTES) {
    if (slot < 0 || slot + SLOT_BYTES > chunk.length || slot === at) continue;
    const bytes = chunk.subarray(slot, slot + SLOT_BYTES);
    if (!looksRandom(bytes, 0, 12) && bytes.some((byte) => byte !== 0)) odd++;
  }
  return odd <= MAX_ODD;
}

/**
 * Whether bytes could be a key: text, code, pointers and counters could not. A true key of 32 bytes fails this once in 40,000 times, one of 20 bytes
 * once in 15,000, and salts of 14 bytes once in 7,000: who looks for one that has to be found looks for what is made of it as well.
 */
export function looksRandom(bytes: Uint8Array, at: number, length: number): boolean {
  const maxZeroes = length < 32 ? 2 : 3;
  let [zeroes, high, different] = [0, 0, 0];
  stamp++;
  for (let i = at; i < at + length; i++) {
    const byte = bytes[i]!;
    if (byte === 0 && ++zeroes > maxZeroes) return false;
    if (byte > 127) high++;
    if (lastSeen[byte] !== stamp) different++;
    lastSeen[byte] = stamp;
  }
  return high >= 1 && high <= length - 1 && different >= length - Math.max(6, length / 4);
}

/** The call of `looksRandom` that saw a byte value last. */
const lastSeen = new Float64Array(256);
let stamp = 0;

function parsePrivateKey(pkcs8: Buffer): KeyObject | undefined {
  try {
    return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  } catch {
    return undefined;
  }
}

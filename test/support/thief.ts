import { createCipheriv, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { signingKey } from '../../src/server/certificate.ts';
import { decodeServer } from '../../src/snapshot/codec/identity.ts';
import { openSealed } from '../../src/snapshot/seal.ts';
import { classifyDatagram } from '../../src/transport/demux.ts';
import type { DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { decodeFragments, HANDSHAKE_TYPE } from '../../src/transport/dtls/handshake.ts';
import { decodeCertificate } from '../../src/transport/dtls/messages/certificate.ts';
import { decodeRecords } from '../../src/transport/dtls/record.ts';
import { SRTP_PROFILES, type SrtpProfile } from '../../src/transport/srtp/profile.ts';
import { errorCode } from '../../src/util/file-system.ts';
import { Secret } from '../../src/util/secret.ts';
import { type MasterGuess, MemoryLoot } from './memory-loot.ts';
import { HmacSha1, paddedWords } from './sha1.ts';
import { opener } from './virtual-world.ts';

/** The profile whose packets are attacked. */
export const ATTACKED_PROFILE: SrtpProfile = 'AES_CM_128_HMAC_SHA1_80';
/** Bytes between a key and its salt that the thief tries; in between there can be lengths and types. */
const MAX_GAP = 3;
const TAG_BYTES = 10;
const HMAC_BLOCK_BYTES = 64;
/** Key derivation labels of the authentication keys (RFC 3711 §4.3.2). */
const AUTHENTICATION_LABEL = { srtp: 0x01, srtcp: 0x04 } as const;

/** Somebody who copies directories and memory and decrypts what can be decrypted with what is in them. */
export class Thief {
  /** Plaintext of every record of every sealed file that could be opened. */
  readonly records: Uint8Array[] = [];
  readonly #sealed = new Map<string, Uint8Array>();
  readonly #keys = new Map<string, Uint8Array>();
  readonly #memory: MemoryLoot[] = [];
  readonly #handshakes: Uint8Array[] = [];
  readonly #certificates: Uint8Array[] = [];

  /** Copies what lies in a directory now. */
  copy(directory: string): void {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      // Sockets hold nothing.
      if (!entry.isFile()) continue;
      const { name } = entry;
      const bytes = readIfThere(join(directory, name));
      if (bytes === undefined) continue;
      if (name.endsWith('.secret')) this.#keys.set(name.slice(0, -'.secret'.length), bytes);
      // Under whatever name: what a server has taken or left half written has another.
      else this.#sealed.set(Buffer.from(bytes).toString('latin1'), bytes);
    }
  }

  /** Copies everything in the memory of a process that looks like a key. */
  async copyMemory(pid: number): Promise<void> {
    this.#memory.push(await MemoryLoot.take(pid));
  }

  /** Keeps what a handshake says in the clear: takes it for key material like any other, and reads the certificates. */
  record(datagrams: readonly Uint8Array[]): void {
    for (const datagram of datagrams) {
      if (classifyDatagram(datagram) !== 'dtls') continue;
      this.#handshakes.push(datagram);
      this.#certificates.push(...certificatesIn(datagram));
    }
  }

  /** Opens all that the copied keys open. */
  open(): void {
    for (const bytes of this.#sealed.values()) {
      for (const kind of ['identity', 'media'] as const) {
        const result = openSealed(bytes, (id) => this.#secret(id), { kind });
        if (result.outcome !== 'opened') continue;
        for (const record of result.records) this.records.push(Uint8Array.from(record.bytes));
      }
    }
    this.#sealed.clear();
  }

  /** The server's certificate and its key: out of a record that holds both, or a key in memory that fits a certificate on the wire. */
  identity(): DtlsIdentity | undefined {
    for (const record of this.records) {
      const server = decodeServer(record);
      if (server === undefined) continue;
      const { certificate } = server;
      return { certificate: certificate.certificate, privateKey: signingKey(certificate) };
    }
    for (const privateKey of this.#memory.flatMap(({ privateKeys }) => privateKeys)) {
      const certificate = this.#certificates.find((one) => belongsTo(privateKey, one));
      if (certificate !== undefined) return { certificate, privateKey };
    }
    return undefined;
  }

  /**
   * How many of the datagrams come open with any bytes of the records, taken for a master key with the master salt behind it: needs no
   * knowledge of the format, so that no field can be overlooked.
   */
  decrypts(datagrams: readonly Uint8Array[], profile: SrtpProfile): number {
    const opened = new Set<Uint8Array>();
    for (const { key, salt } of guessesIn(this.records, profile, MAX_GAP)) {
      const open = opener(profile, { key: Secret.copy(key), salt: Secret.copy(salt) });
      for (const datagram of datagrams) if (open(datagram) !== undefined) opened.add(datagram);
    }
    return opened.size;
  }

  /**
   * The packets that come open with anything there is: bytes of records as above, keys and salts in the memory, and bytes of the memory
   * as session authentication keys, where one that fits counts as if it had decrypted the packet.
   *
   * Packets come in streams under the same keys, which anybody can tell who sees the handshakes: the first of each is tried with everything.
   */
  opens(streams: readonly (readonly Uint8Array[])[]): ReadonlySet<Uint8Array> {
    const opened = new Set<Uint8Array>();
    const locks = streams.flatMap((stream) => lockOf(stream) ?? []);
    const hmac = new HmacSha1();
    for (const guess of this.#guesses()) {
      for (const kind of ['srtp', 'srtcp'] as const) {
        hmac.setKey(authenticationKey(guess, kind));
        for (const lock of locks) {
          if (lock.kind !== kind || !fits(hmac, lock)) continue;
          const open = opener(ATTACKED_PROFILE, {
            key: Secret.copy(guess.key),
            salt: Secret.copy(guess.salt),
          });
          for (const packet of lock.stream) if (open(packet) !== undefined) opened.add(packet);
        }
      }
    }
    for (const key of this.#memory.flatMap(({ authenticationKeys }) => authenticationKeys)) {
      hmac.setKey(key);
      for (const lock of locks) if (fits(hmac, lock)) for (const packet of lock.stream) opened.add(packet);
    }
    return opened;
  }

  /** Each once. Of what is written down, none that is no key at first sight: there is no other trace of it that would be found in its place. */
  #guesses(): Iterable<MasterGuess> {
    const guesses = new Map<string, MasterGuess>();
    const add = (guess: MasterGuess): void => {
      if (isVaried(guess.key) && isVaried(guess.salt))
        guesses.set(Buffer.concat([guess.key, guess.salt]).toString('latin1'), guess);
    };
    for (const guess of guessesIn(this.records, ATTACKED_PROFILE, MAX_GAP)) add(guess);
    for (const guess of guessesIn(this.#handshakes, ATTACKED_PROFILE, 0)) add(guess);
    for (const { masters } of this.#memory) masters.forEach(add);
    return guesses.values();
  }

  #secret(id: string): Secret | undefined {
    const key = this.#keys.get(id);
    return key && Secret.copy(key);
  }
}

/** Hardly a key has fewer than half as many different bytes as bytes: one in 10^12. */
const isVaried = (bytes: Uint8Array): boolean => 2 * new Set(bytes).size >= bytes.length;

/** The first packet of a stream, as its tag protects it. */
interface Lock {
  readonly stream: readonly Uint8Array[];
  readonly kind: 'srtp' | 'srtcp';
  readonly covered: Int32Array;
  readonly tag: DataView;
}

/** Of a packet with a rollover counter of zero, as all have within minutes of a re-key (RFC 3711 §4.2). */
function lockOf(stream: readonly Uint8Array[]): Lock | undefined {
  const [datagram] = stream;
  const kind = datagram && classifyDatagram(datagram);
  if (datagram === undefined || (kind !== 'srtp' && kind !== 'srtcp')) return undefined;
  const packet = datagram.subarray(0, -TAG_BYTES);
  const covered = new Uint8Array(packet.length + (kind === 'srtp' ? 4 : 0));
  covered.set(packet);
  const tag = datagram.slice(-TAG_BYTES);
  return { stream, kind, covered: paddedWords(covered, HMAC_BLOCK_BYTES), tag: new DataView(tag.buffer) };
}

/** By 64 of the 80 bits of the tag, which nothing fits by chance. */
function fits(hmac: HmacSha1, { covered, tag }: Lock): boolean {
  const [first, second] = hmac.tagHead(covered);
  return first === tag.getInt32(0) && second === tag.getInt32(4);
}

function authenticationKey({ key, salt }: MasterGuess, kind: Lock['kind']): Uint8Array {
  const iv = new Uint8Array(16);
  iv.set(salt);
  iv[7]! ^= AUTHENTICATION_LABEL[kind];
  return createCipheriv('aes-128-ctr', key, iv).update(new Uint8Array(20));
}

function* guessesIn(
  records: readonly Uint8Array[],
  profile: SrtpProfile,
  maxGap: number,
): Generator<MasterGuess> {
  const { keyBytes, saltBytes } = SRTP_PROFILES[profile];
  for (const record of records) {
    for (let at = 0; at + keyBytes + saltBytes <= record.length; at++) {
      for (let gap = 0; gap <= maxGap; gap++) {
        const saltAt = at + keyBytes + gap;
        if (saltAt + saltBytes > record.length) break;
        const key = record.subarray(at, at + keyBytes);
        yield { key, salt: record.subarray(saltAt, saltAt + saltBytes) };
      }
    }
  }
}

function certificatesIn(datagram: Uint8Array): Uint8Array[] {
  return [...decodeRecords(datagram)].flatMap((record) => {
    if (record === undefined || record.epoch !== 0) return [];
    return [...decodeFragments(record.fragment)].flatMap((fragment) =>
      fragment?.type === HANDSHAKE_TYPE.certificate ? (decodeCertificate(fragment.bytes) ?? []) : [],
    );
  });
}

function belongsTo(privateKey: KeyObject, certificate: Uint8Array): boolean {
  return new X509Certificate(certificate).publicKey.equals(createPublicKey(privateKey));
}

/** A file that is renamed or removed at this moment is not there. */
function readIfThere(path: string): Uint8Array | undefined {
  try {
    return new Uint8Array(readFileSync(path));
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw cause;
    return undefined;
  }
}

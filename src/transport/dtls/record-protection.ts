import { createCipheriv, createDecipheriv } from 'node:crypto';
import { ByteWriter, bufferOf, concat } from '../../util/bytes.ts';
import { Secret } from '../../util/secret.ts';
import type { CipherSuite } from './cipher-suite.ts';
import type { DtlsRecord } from './record.ts';

/** The implicit part of the nonce, from the key block (RFC 5288 §3: `salt`). */
export const GCM_SALT_BYTES = 4;
const EXPLICIT_NONCE_BYTES = 8;
const TAG_BYTES = 16;
/** What protection adds to a record. */
export const PROTECTION_OVERHEAD_BYTES = EXPLICIT_NONCE_BYTES + TAG_BYTES;

/** AES-GCM over the records of one direction (RFC 5288 §3). Owns its keys. */
export class RecordProtection {
  readonly #suite: CipherSuite;
  readonly #key: Secret;
  readonly #salt: Secret;

  constructor(suite: CipherSuite, key: Secret, salt: Secret) {
    this.#suite = suite;
    this.#key = key;
    this.#salt = salt;
  }

  /**
   * The record with its fragment protected. The nonce is epoch and sequence number, which the caller never uses twice
   * (RFC 5288 §3: reuse gives up the key).
   */
  seal(record: DtlsRecord): DtlsRecord {
    const explicit = epochAndSequence(record);
    const nonce = this.#nonce(explicit);
    const cipher = createCipheriv(this.#suite.cipher, this.#key.bytes, nonce.bytes);
    cipher.setAAD(additionalData(record, record.fragment.length));
    const body = cipher.update(record.fragment);
    // `final` also makes node:crypto cleanse its copy of the key.
    cipher.final();
    nonce.dispose();
    return { ...record, fragment: concat(explicit, body, cipher.getAuthTag()) };
  }

  /** The record in the clear, or `undefined` where it is short or not authentic. */
  open(record: DtlsRecord): DtlsRecord | undefined {
    const length = record.fragment.length - PROTECTION_OVERHEAD_BYTES;
    if (length < 0) return undefined;
    const explicit = record.fragment.subarray(0, EXPLICIT_NONCE_BYTES);
    const nonce = this.#nonce(explicit);
    const decipher = createDecipheriv(this.#suite.cipher, this.#key.bytes, nonce.bytes, {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(additionalData(record, length));
    decipher.setAuthTag(record.fragment.subarray(EXPLICIT_NONCE_BYTES + length));
    const body = decipher.update(
      record.fragment.subarray(EXPLICIT_NONCE_BYTES, EXPLICIT_NONCE_BYTES + length),
    );
    try {
      decipher.final();
    } catch {
      return undefined;
    } finally {
      nonce.dispose();
    }
    return { ...record, fragment: new Uint8Array(body) };
  }

  dispose(): void {
    this.#key.dispose();
    this.#salt.dispose();
  }

  #nonce(explicit: Uint8Array): Secret {
    const nonce = Secret.alloc(GCM_SALT_BYTES + EXPLICIT_NONCE_BYTES);
    nonce.bytes.set(this.#salt.bytes);
    nonce.bytes.set(explicit, GCM_SALT_BYTES);
    return nonce;
  }
}

function epochAndSequence(record: DtlsRecord): Uint8Array {
  return new ByteWriter(EXPLICIT_NONCE_BYTES).u16(record.epoch).u48(record.sequence).finish();
}

/** RFC 5246 §6.2.3.3 with the sequence number of RFC 6347 §4.1.2.1: epoch and sequence, type, version, plaintext length. */
function additionalData(record: DtlsRecord, length: number): Buffer {
  const writer = new ByteWriter(13).bytes(epochAndSequence(record));
  return bufferOf(writer.u8(record.type).u16(record.version).u16(length).finish());
}

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSealed } from '../../src/snapshot/seal.ts';
import { SRTP_PROFILES, type SrtpProfile } from '../../src/transport/srtp/profile.ts';
import { Secret } from '../../src/util/secret.ts';
import { opener } from './virtual-world.ts';

/** Bytes between a key and its salt that the thief tries; in between there can be lengths and types. */
const MAX_GAP = 3;

/** Somebody who copies directories and decrypts what can be decrypted with what is in them. */
export class Thief {
  /** Plaintext of every record of every sealed file that could be opened. */
  readonly records: Uint8Array[] = [];
  readonly #sealed: Uint8Array[] = [];
  readonly #keys = new Map<string, Uint8Array>();

  /** Copies what lies in a directory now. */
  copy(directory: string): void {
    for (const name of readdirSync(directory)) {
      if (name.endsWith('.sock')) continue;
      const bytes = new Uint8Array(readFileSync(join(directory, name)));
      if (name.endsWith('.secret')) this.#keys.set(name.slice(0, -'.secret'.length), bytes);
      else if (name.includes('.sealed')) this.#sealed.push(bytes);
    }
  }

  /** Opens all that the copied keys open. */
  open(): void {
    for (const bytes of this.#sealed) {
      for (const kind of ['identity', 'media'] as const) {
        const result = openSealed(bytes, (id) => this.#secret(id), { kind });
        if (result.outcome !== 'opened') continue;
        for (const record of result.records) this.records.push(Uint8Array.from(record.bytes));
      }
    }
  }

  /**
   * How many of the datagrams come open with any bytes of the records, taken for a master key with the master salt behind it: needs no
   * knowledge of the format, so that no field can be overlooked.
   */
  decrypts(datagrams: readonly Uint8Array[], profile: SrtpProfile): number {
    const { keyBytes, saltBytes } = SRTP_PROFILES[profile];
    const opened = new Set<Uint8Array>();
    for (const record of this.records) {
      for (let at = 0; at + keyBytes + saltBytes <= record.length; at++) {
        for (let gap = 0; gap <= MAX_GAP; gap++) {
          const saltAt = at + keyBytes + gap;
          if (saltAt + saltBytes > record.length) break;
          const open = opener(profile, {
            key: Secret.copy(record.subarray(at, at + keyBytes)),
            salt: Secret.copy(record.subarray(saltAt, saltAt + saltBytes)),
          });
          for (const datagram of datagrams) if (open(datagram) !== undefined) opened.add(datagram);
        }
      }
    }
    return opened.size;
  }

  #secret(id: string): Secret | undefined {
    const key = this.#keys.get(id);
    return key && Secret.copy(key);
  }
}

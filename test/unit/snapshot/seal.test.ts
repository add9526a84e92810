import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { SnapshotWriter } from '../../../src/keyring/keyring.ts';
import { FORMAT_VERSION, HEADER_BYTES, parseHeader } from '../../../src/snapshot/header.ts';
import { type OpenResult, openSealed, sealSnapshot } from '../../../src/snapshot/seal.ts';
import { toHex, utf8 } from '../../../src/util/bytes.ts';
import { Secret } from '../../../src/util/secret.ts';
import { loadSodium, MAX_STREAM_MESSAGE_BYTES, type Sodium, sodium } from '../../../src/util/sodium.ts';
import { flipped } from '../../support/flipped.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { writerFrom } from '../../support/snapshots.ts';

const HEADER = {
  kind: 'media',
  generation: 9,
  createdAt: 1000,
  notAfter: 2000,
  id: '0f'.repeat(16),
} as const;
const RECORDS = [utf8('first'), utf8(''), utf8('the third record')];

let library: Sodium;
let key: SnapshotWriter;
let other: SnapshotWriter;

beforeAll(async () => {
  library = await loadSodium();
  key = writerFrom(secretFrom(1));
  other = writerFrom(secretFrom(2));
});

describe('a sealed file', () => {
  it('opens with the secret key to what was sealed', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (records) => {
        const opened = open(sealSnapshot(key, HEADER, records));
        expect(opened).toMatchObject({ outcome: 'opened', complete: true, damage: undefined });
        expect(texts(opened)).toEqual(records.map(toHex));
      }),
      { numRuns: 50 },
    );
  });

  it('shows its header to whoever has it', () => {
    const opened = open(sealSnapshot(key, HEADER, RECORDS));
    expect(opened).toMatchObject({ header: { ...HEADER, keyId: key.id } });
  });

  it('never has the same ciphertext twice', () => {
    const [a, b] = [sealSnapshot(key, HEADER, RECORDS), sealSnapshot(key, HEADER, RECORDS)];
    expect(toHex(a.subarray(HEADER_BYTES))).not.toEqual(toHex(b.subarray(HEADER_BYTES)));
  });

  it('takes records that are views of one buffer, overwritten between them', () => {
    const buffer = new Uint8Array(8);
    const records = function* () {
      for (const fill of [1, 2, 3]) yield buffer.fill(fill);
    };
    expect(texts(open(sealSnapshot(key, HEADER, records())))).toEqual(
      ['01', '02', '03'].map((byte) => byte.repeat(8)),
    );
  });

  it('takes a record of the largest size and refuses a larger one', () => {
    const largest = new Uint8Array(MAX_STREAM_MESSAGE_BYTES).fill(7);
    expect(open(sealSnapshot(key, HEADER, [largest]))).toMatchObject({ complete: true });
    const larger = new Uint8Array(MAX_STREAM_MESSAGE_BYTES + 1);
    expect(() => sealSnapshot(key, HEADER, [larger])).toThrow(RangeError);
  });

  it('is locked without the key, and not taken for genuine with the wrong one under its id', () => {
    const bytes = sealSnapshot(key, HEADER, RECORDS);
    expect(openSealed(bytes, () => undefined, { kind: 'media' })).toEqual({
      outcome: 'locked',
      keyId: key.id,
    });
    expect(openSealed(bytes, () => secretFrom(2), { kind: 'media' })).toEqual({
      outcome: 'forged',
      why: `no holder of the snapshot key ${key.id} wrote it`,
    });
  });

  it('is locked where its writer could write and the key does not open it', () => {
    const bytes = sealSnapshot({ ...key, publicKey: other.publicKey }, HEADER, RECORDS);
    expect(open(bytes)).toEqual({ outcome: 'locked', keyId: key.id });
  });

  it('names its snapshot by the same id when it is sealed anew to another key', () => {
    const anew = openSealed(sealSnapshot(other, HEADER, RECORDS), () => secretFrom(2), { kind: 'media' });
    expect(anew).toMatchObject({ header: { id: HEADER.id, keyId: other.id } });
    texts(anew);
  });

  it('wipes the secret key that it was opened with', () => {
    const secret = secretFrom(1);
    openSealed(sealSnapshot(key, HEADER, RECORDS), () => secret, { kind: 'media' });
    expect(secret.disposed).toBe(true);
  });

  it('is not taken for a file of the other kind', () => {
    const bytes = sealSnapshot(key, { ...HEADER, kind: 'identity' }, RECORDS);
    expect(open(bytes)).toMatchObject({ outcome: 'damaged' });
  });

  it('gives only as many records as are asked for', () => {
    const bytes = sealSnapshot(key, HEADER, RECORDS);
    const opened = openSealed(bytes, () => secretFrom(1), { kind: 'media', recordLimit: 1 });
    expect(texts(opened)).toEqual([toHex(RECORDS[0]!)]);
    expect(opened).toMatchObject({ complete: false, damage: undefined });
  });
});

describe('a damaged sealed file', () => {
  it('cut at any length, gives the records in front of the cut', () => {
    const bytes = sealSnapshot(key, HEADER, RECORDS);
    const ends = recordEnds(bytes);
    for (let length = 0; length < bytes.length; length++) {
      const opened = open(bytes.slice(0, length));
      if (length < HEADER_BYTES) {
        expect(opened.outcome).toBe('damaged');
        continue;
      }
      const whole = ends.filter((end) => end <= length).length;
      expect(opened).toMatchObject({ outcome: 'opened', complete: false, damage: expect.any(String) });
      expect(texts(opened)).toEqual(RECORDS.slice(0, whole).map(toHex));
    }
  });

  it('with any byte changed, gives the records in front of it and no wrong one', () => {
    const bytes = sealSnapshot(key, HEADER, RECORDS);
    const ends = recordEnds(bytes);
    for (let at = 0; at < bytes.length; at++) {
      const opened = open(flipped(bytes, at, 0x41));
      if (at < HEADER_BYTES) {
        expect(opened.outcome).toBe('damaged');
        continue;
      }
      const whole = ends.filter((end) => end <= at).length;
      expect(opened).toMatchObject({ outcome: 'opened', complete: false, damage: expect.any(String) });
      expect(texts(opened)).toEqual(RECORDS.slice(0, Math.min(whole, RECORDS.length)).map(toHex));
    }
  });

  it('with a header that was changed on purpose, checksum and all, gives nothing', () => {
    const bytes = sealSnapshot(key, HEADER, RECORDS);
    // The last byte of the deadline: magic, version, kind, length, key id, generation, created, deadline.
    const at = 8 + 8 + 8 + 6 + 5;
    const changed = withChecksum(bytes, at, 0xff);
    expect(parseHeader(changed)).toMatchObject({ outcome: 'header', header: { notAfter: 2047 } });
    expect(open(changed)).toMatchObject({ outcome: 'forged' });
  });

  it('is not mended by the records of another file', () => {
    const [a, b] = [sealSnapshot(key, HEADER, RECORDS), sealSnapshot(key, HEADER, RECORDS)];
    const mixed = a.slice();
    mixed.set(b.subarray(HEADER_BYTES), HEADER_BYTES);
    expect(open(mixed)).toMatchObject({ outcome: 'opened', records: [] });
  });

  it('says so when bytes follow its end, and keeps what is good', () => {
    const bytes = sealSnapshot(key, HEADER, RECORDS);
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    expect(open(longer)).toMatchObject({ complete: true, damage: '1 bytes follow where it should end' });
  });

  it('of a newer version is told from a damaged one', () => {
    const bytes = sealSnapshot(key, HEADER, RECORDS);
    expect(open(withChecksum(bytes, 4, FORMAT_VERSION + 1))).toEqual({
      outcome: 'newer',
      version: FORMAT_VERSION + 1,
    });
    const damaged = bytes.slice();
    damaged[4] = FORMAT_VERSION + 1;
    expect(open(damaged)).toMatchObject({ outcome: 'damaged' });
  });

  it('of a format that did not show who wrote it is refused in words', () => {
    const bytes = sealSnapshot(key, HEADER, RECORDS);
    expect(open(withChecksum(bytes, 4, 1))).toEqual({
      outcome: 'forged',
      why: 'it has format 1, which does not show who wrote it',
    });
  });

  it('sealed to another key names that key', () => {
    const bytes = sealSnapshot(other, HEADER, RECORDS);
    const asked: string[] = [];
    openSealed(
      bytes,
      (id) => {
        asked.push(id);
        return undefined;
      },
      { kind: 'media' },
    );
    expect(asked).toEqual([other.id]);
  });
});

describe('the memory of the library', () => {
  it('holds nothing after sealing and opening, good or damaged', () => {
    const bytes = sealSnapshot(key, HEADER, RECORDS);
    expect(library.isClean()).toBe(true);
    texts(open(bytes));
    texts(open(bytes.slice(0, -3)));
    openSealed(bytes, () => secretFrom(2), { kind: 'media' });
    expect(library.isClean()).toBe(true);
  });

  it('is seen to hold something while a stream is open', () => {
    const stream = sodium().openSealStream(key.publicKey);
    expect(library.isClean()).toBe(false);
    stream.close();
    expect(library.isClean()).toBe(true);
  });

  it('is given back when sealing fails half-way', () => {
    const failing = function* () {
      yield RECORDS[0]!;
      throw new Error('no more records');
    };
    expect(() => sealSnapshot(key, HEADER, failing())).toThrow('no more records');
    expect(library.isClean()).toBe(true);
    expect(open(sealSnapshot(key, HEADER, RECORDS))).toMatchObject({ complete: true });
  });
});

function open(bytes: Uint8Array): OpenResult {
  return openSealed(bytes, (id) => (id === key.id ? secretFrom(1) : undefined), { kind: 'media' });
}

function texts(result: OpenResult): readonly string[] {
  if (result.outcome !== 'opened') throw new Error(`not opened: ${result.outcome}`);
  return result.records.map((record) => {
    const text = toHex(record.bytes);
    record.dispose();
    return text;
  });
}

function secretFrom(seed: number): Secret {
  return Secret.random(32, seededRandom(seed));
}

/** Where each record ends, the empty last one too. */
function recordEnds(bytes: Uint8Array): readonly number[] {
  const ends: number[] = [];
  for (let at = HEADER_BYTES; at < bytes.length; ) {
    at += 2 + bytes[at]! * 256 + bytes[at + 1]!;
    ends.push(at);
  }
  return ends;
}

function withChecksum(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const changed = bytes.slice();
  changed[at] = value;
  const body = changed.subarray(0, HEADER_BYTES - 8);
  changed.set(createHash('sha256').update(body).digest().subarray(0, 8), HEADER_BYTES - 8);
  return changed;
}

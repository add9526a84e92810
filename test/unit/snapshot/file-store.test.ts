import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileSnapshotStore } from '../../../src/snapshot/file-store.ts';
import { FORMAT_VERSION, HEADER_BYTES, parseHeader } from '../../../src/snapshot/header.ts';
import type { IdentitySnapshot } from '../../../src/snapshot/schema.ts';
import type { SnapshotStore } from '../../../src/snapshot/store.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { type FileSystem, nodeFileSystem } from '../../../src/util/file-system.ts';
import { flipped } from '../../support/flipped.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { revealed, sampleIdentity, sampleMedia } from '../../support/snapshots.ts';
import { type StoreBench, storeBench } from '../../support/stores.ts';
import { until } from '../../support/wait.ts';

let bench: StoreBench;

beforeEach(async () => {
  bench = await storeBench();
});

afterEach(() => bench.dispose());

describe('the identity', () => {
  it('is not there on a first run, which makes a directory closed to others', async () => {
    const store = await bench.start();
    expect(await store.readIdentity()).toBeUndefined();
    expect(modeOf(bench.stateDir)).toBe(0o700);
    expect(eventNames()).toEqual(['state-created']);
  });

  it('is read by the next process as it was written, from a file of mode 0600', async () => {
    const snapshot = sampleIdentity(seededRandom(1));
    await (await bench.start()).writeIdentity(snapshot);
    expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(snapshot));
    expect(modeOf(join(bench.stateDir, 'identity.sealed'))).toBe(0o600);
    expect(readdirSync(bench.stateDir)).toEqual(['identity.sealed']);
  });

  it('keeps the generation before it', async () => {
    const [first, second] = [sampleIdentity(seededRandom(1)), sampleIdentity(seededRandom(2))];
    const store = await bench.start();
    await store.writeIdentity(first);
    await store.writeIdentity(second);
    rmSync(join(bench.stateDir, 'identity.sealed'));
    expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(first));
    expect(eventNames()).toContain('identity-filled');
  });

  it('counts its generations on from one process to the next', async () => {
    const snapshot = sampleIdentity(seededRandom(1), 0);
    for (let run = 1; run <= 3; run++) {
      await (await bench.start()).writeIdentity(snapshot);
      const parsed = parseHeader(readFileSync(join(bench.stateDir, 'identity.sealed')));
      expect(parsed).toMatchObject({ outcome: 'header', header: { generation: run } });
    }
  });

  it('of another process is not overwritten by a write that comes through when the store is closed', async () => {
    let goOn: (() => void) | undefined;
    const hanging: FileSystem = {
      ...nodeFileSystem,
      writeDurably: async (path, bytes) => {
        await new Promise<void>((resume) => {
          goOn = resume;
        });
        await nodeFileSystem.writeDurably(path, bytes);
      },
    };
    const [late, next] = [sampleIdentity(seededRandom(1)), sampleIdentity(seededRandom(2))];
    const former = await bench.start(hanging);
    const writing = former.writeIdentity(late);
    await until('the write is under way', () => goOn !== undefined);
    former.close();
    await (await bench.start()).writeIdentity(next);
    const files = () =>
      [bench.stateDir, bench.runtimeDir].flatMap((directory) =>
        readdirSync(directory).map((name) => [name, toHex(readFileSync(join(directory, name)))]),
      );
    const before = files();
    goOn?.();
    await expect(writing).rejects.toMatchObject({ message: expect.stringContaining('let go') });
    await expect(former.reseal(late, undefined)).rejects.toMatchObject({ code: 'STATE_IN_USE' });
    expect(() => former.writeMedia(sampleMedia(seededRandom(3), 1, bench.now))).toThrow(/let go/);
    expect(files()).toEqual(before);
  });

  it('is written as it was at the call, one write after the other', async () => {
    let [writes, underWay, atOnce] = [0, 0, 0];
    const fs: FileSystem = {
      ...nodeFileSystem,
      writeDurably: (path, bytes) => {
        writes++;
        atOnce = Math.max(atOnce, ++underWay);
        return nodeFileSystem.writeDurably(path, bytes).finally(() => underWay--);
      },
    };
    const store = await bench.start(fs);
    const snapshots = [1, 2, 3, 4].map((seed) => sampleIdentity(seededRandom(seed), seed));
    const last = revealed(snapshots[3]);
    const all = Promise.all(snapshots.map((snapshot) => store.writeIdentity(snapshot)));
    for (const { tokenKey, certificate } of snapshots) {
      tokenKey.dispose();
      certificate.privateKey.dispose();
    }
    await all;
    expect(writes).toBe(4);
    expect(atOnce).toBe(1);
    expect(revealed(await (await bench.start()).readIdentity())).toEqual(last);
  });

  it('is not lost when a write fails, and the next write works', async () => {
    let full = false;
    const fs: FileSystem = {
      ...nodeFileSystem,
      writeDurably: (path, bytes) =>
        full ? Promise.reject(new Error('no space left')) : nodeFileSystem.writeDurably(path, bytes),
    };
    const store = await bench.start(fs);
    const [first, second] = [sampleIdentity(seededRandom(1)), sampleIdentity(seededRandom(2))];
    await store.writeIdentity(first);
    full = true;
    await expect(store.writeIdentity(second)).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
      message: expect.stringContaining('no space left'),
    });
    expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(first));
    full = false;
    await store.writeIdentity(second);
    expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(second));
  });

  it('is sealed to a key that another process has made primary meanwhile', async () => {
    const store = await bench.start();
    await store.writeIdentity(sampleIdentity(seededRandom(1)));
    const operator = await bench.keyring();
    const key = await operator.add();
    await operator.promote(key);
    await store.writeIdentity(sampleIdentity(seededRandom(2)));
    const parsed = parseHeader(readFileSync(join(bench.stateDir, 'identity.sealed')));
    expect(parsed).toMatchObject({ header: { keyId: key } });
  });

  it('is resealed in both generations, with the media', async () => {
    const snapshot = sampleIdentity(seededRandom(1));
    const store = await bench.start();
    await store.writeIdentity(snapshot);
    const operator = await bench.keyring();
    const key = await operator.add();
    await operator.promote(key);
    await store.reseal(snapshot, sampleMedia(seededRandom(1)));
    for (const path of sealedPaths())
      expect(parseHeader(readFileSync(path))).toMatchObject({ header: { keyId: key } });
  });
});

describe('a directory that cannot be used', () => {
  it('is an error in words where it cannot be made', async () => {
    writeFileSync(join(bench.root, 'file'), '');
    const keys = await bench.keyring();
    const stateDir = join(bench.root, 'file', 'state');
    expect(
      () => new FileSnapshotStore({ stateDir, runtimeDir: undefined, keys, report: () => {} }),
    ).toThrowError(
      expect.objectContaining({ code: 'STATE_UNWRITABLE', message: expect.stringContaining(stateDir) }),
    );
  });

  it('is an error in words where it cannot be written to', async () => {
    const keys = await bench.keyring();
    const fs: FileSystem = {
      ...nodeFileSystem,
      write: () => {
        throw new Error('read-only file system');
      },
    };
    expect(
      () =>
        new FileSnapshotStore({
          stateDir: bench.stateDir,
          runtimeDir: undefined,
          keys,
          fs,
          report: () => {},
        }),
    ).toThrowError(expect.objectContaining({ code: 'STATE_UNWRITABLE' }));
  });
});

describe('a damaged identity', () => {
  const older = withLastSeen(sampleIdentity(seededRandom(1)), 1000);
  const newer = withLastSeen(sampleIdentity(seededRandom(1)), 2000);
  let good: Uint8Array;

  beforeEach(async () => {
    const store = await bench.start();
    await store.writeIdentity(older);
    await store.writeIdentity(newer);
    good = new Uint8Array(readFileSync(join(bench.stateDir, 'identity.sealed')));
  });

  it('cut at any length, is filled from the generation before, and kept', { timeout: 60_000 }, async () => {
    const ends = recordEnds(good);
    const store = await bench.start();
    for (let length = 0; length < good.length; length++) {
      const whole = ends.filter((end) => end <= length).length;
      await expectFilled(store, good.slice(0, length), whole);
    }
  });

  it('with any byte changed, is filled from the generation before, and kept', {
    timeout: 60_000,
  }, async () => {
    const ends = recordEnds(good);
    const store = await bench.start();
    for (let at = 0; at < good.length; at++) {
      const changed = flipped(good, at, 1 << (at % 8));
      const whole = at < HEADER_BYTES ? 0 : ends.filter((end) => end <= at).length;
      await expectFilled(store, changed, whole);
    }
  });

  it('with nothing to fill it from, starts with what is good or anew', async () => {
    rmSync(join(bench.stateDir, 'identity.previous.sealed'));
    const ends = recordEnds(good);
    for (let length = 0; length < good.length; length += 7) {
      damage(good.slice(0, length));
      const whole = ends.filter((end) => end <= length).length;
      const read = await (await bench.start()).readIdentity();
      if (whole === 0) expect(read).toBeUndefined();
      else expect(ids(read)).toEqual(ids(newer)?.slice(0, whole - 1));
      forgetDamaged();
    }
    expect(eventNames()).toContain('identity-lost');
  });

  it('is kept once, however often it is read', async () => {
    damage(good.slice(0, 500));
    await (await bench.start()).readIdentity();
    await (await bench.start()).readIdentity();
    expect(damagedFiles()).toHaveLength(1);
    expect(damagedFiles()[0]).toMatch(/^identity\.sealed\.damaged-2027-01-15T08-00-00-000Z$/);
  });

  it('does not become the previous generation, and is kept after the next write', async () => {
    const cut = good.slice(0, 500);
    damage(cut);
    const store = await bench.start();
    const read = await store.readIdentity();
    const before = readFileSync(join(bench.stateDir, 'identity.previous.sealed'));
    await store.writeIdentity(read!);
    expect(readFileSync(join(bench.stateDir, 'identity.previous.sealed'))).toEqual(before);
    expect(keptBytes()).toEqual(Buffer.from(cut));
    bench.events.length = 0;
    expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(read));
    expect(bench.events).toEqual([]);
  });

  it('with both generations damaged starts anew and keeps both', async () => {
    damage(good.slice(0, 100));
    writeFileSync(join(bench.stateDir, 'identity.previous.sealed'), good.slice(0, 200));
    expect(await (await bench.start()).readIdentity()).toBeUndefined();
    expect(damagedFiles()).toHaveLength(2);
  });

  it('is used where the disk cannot read one of the files', async () => {
    const fs: FileSystem = {
      ...nodeFileSystem,
      read: (path, maxBytes) => {
        if (path.endsWith('identity.sealed')) throw Object.assign(new Error('i/o error'), { code: 'EIO' });
        return nodeFileSystem.read(path, maxBytes);
      },
    };
    expect(ids(await (await bench.start(fs)).readIdentity())).toEqual(ids(older));
  });

  /** The first record is the server's, so `whole` records are `whole - 1` sessions. */
  async function expectFilled(store: SnapshotStore, bytes: Uint8Array, whole: number): Promise<void> {
    damage(bytes);
    const read = await store.readIdentity();
    expect(ids(read)).toEqual(ids(newer));
    const fresh = Math.min(Math.max(whole - 1, 0), 3);
    expect(read!.sessions.map(({ lastSeenAt }) => lastSeenAt)).toEqual(
      [2000, 2000, 2000, 1000, 1000, 1000].slice(3 - fresh, 6 - fresh),
    );
    expect(toHex(read!.tokenKey.bytes)).toEqual(toHex(newer.tokenKey.bytes));
    expect(damagedFiles()).toHaveLength(1);
    expect(keptBytes()).toEqual(Buffer.from(bytes));
    forgetDamaged();
  }

  function damage(bytes: Uint8Array): void {
    const path = join(bench.stateDir, 'identity.sealed');
    rmSync(path, { force: true });
    writeFileSync(path, bytes, { mode: 0o600 });
  }

  function keptBytes(): Buffer {
    return readFileSync(join(bench.stateDir, damagedFiles()[0] ?? 'none'));
  }

  function forgetDamaged(): void {
    for (const name of damagedFiles()) rmSync(join(bench.stateDir, name));
  }
});

describe('an identity that cannot be opened', () => {
  beforeEach(async () => {
    await (await bench.start()).writeIdentity(sampleIdentity(seededRandom(1)));
  });

  it('whose key is not in the keyring is an error, and left as it is', async () => {
    rmSync(bench.keysDir, { recursive: true });
    await expectRefused('KEY_MISSING', /is not in .*Put it back/);
  });

  it('whose key has lost its secret is an error, and left as it is', async () => {
    for (const name of readdirSync(bench.keysDir))
      if (name.endsWith('.secret')) rmSync(join(bench.keysDir, name));
    await expectRefused('KEY_MISSING', /has lost its secret/);
  });

  it('whose secret is another one is an error, and left as it is', async () => {
    for (const name of readdirSync(bench.keysDir))
      if (name.endsWith('.secret')) writeFileSync(join(bench.keysDir, name), new Uint8Array(32).fill(9));
    await expectRefused('KEY_INVALID', /is not the secret of the public key/);
  });

  it('of a newer format is refused in words, and left as it is', async () => {
    const path = join(bench.stateDir, 'identity.sealed');
    const bytes = new Uint8Array(readFileSync(path));
    bytes[4] = FORMAT_VERSION + 1;
    const body = bytes.subarray(0, HEADER_BYTES - 8);
    bytes.set(createHash('sha256').update(body).digest().subarray(0, 8), HEADER_BYTES - 8);
    writeFileSync(path, bytes);
    await expectRefused(
      'SEALED_FILE_INVALID',
      new RegExp(`newer version \\(format ${FORMAT_VERSION + 1}\\)`),
    );
  });

  it('opens again when the key is back', async () => {
    const kept = new Map(
      readdirSync(bench.keysDir).map((name) => [name, readFileSync(join(bench.keysDir, name))]),
    );
    rmSync(bench.keysDir, { recursive: true });
    await expectRefused('KEY_MISSING', /is not in/);
    for (const [name, bytes] of kept) writeFileSync(join(bench.keysDir, name), bytes, { mode: 0o600 });
    expect(ids(await (await bench.start()).readIdentity())).toHaveLength(3);
  });

  async function expectRefused(code: string, words: RegExp): Promise<void> {
    const path = join(bench.stateDir, 'identity.sealed');
    const before = readFileSync(path);
    const store = await bench.start();
    await expect(store.readIdentity()).rejects.toMatchObject({
      code,
      message: expect.stringMatching(words),
    });
    expect(readFileSync(path)).toEqual(before);
    expect(readdirSync(bench.stateDir)).toEqual(['identity.sealed']);
  }
});

function withLastSeen(snapshot: IdentitySnapshot, lastSeenAt: number): IdentitySnapshot {
  return { ...snapshot, sessions: snapshot.sessions.map((session) => ({ ...session, lastSeenAt })) };
}

/** Where each record ends, without the empty last one. */
function recordEnds(bytes: Uint8Array): readonly number[] {
  const ends: number[] = [];
  for (let at = HEADER_BYTES; at < bytes.length; ) {
    at += 2 + bytes[at]! * 256 + bytes[at + 1]!;
    ends.push(at);
  }
  return ends.slice(0, -1);
}

const ids = (snapshot: IdentitySnapshot | undefined): readonly string[] | undefined =>
  snapshot?.sessions.map(({ id }) => toHex(id));

const modeOf = (path: string): number => statSync(path).mode & 0o777;
const eventNames = (): readonly string[] => bench.events.map(({ event }) => event);
const damagedFiles = (): readonly string[] =>
  readdirSync(bench.stateDir).filter((name) => name.includes('.damaged-'));
const sealedPaths = (): readonly string[] =>
  [
    join(bench.stateDir, 'identity.sealed'),
    join(bench.stateDir, 'identity.previous.sealed'),
    join(bench.runtimeDir, 'media.sealed'),
  ].filter((path) => existsSync(path) || expect.fail(`${path} is not there`));

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SnapshotKeys } from '../../../src/keyring/keyring.ts';
import { type Anchor, AnchorFile, NONE } from '../../../src/snapshot/anchor.ts';
import { HEADER_BYTES } from '../../../src/snapshot/header.ts';
import { MediaFile } from '../../../src/snapshot/media-file.ts';
import type { MediaSnapshot } from '../../../src/snapshot/schema.ts';
import type { SnapshotStore } from '../../../src/snapshot/store.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { type FileSystem, nodeFileSystem } from '../../../src/util/file-system.ts';
import { killedAt } from '../../support/faulty-file-system.ts';
import { flipped } from '../../support/flipped.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { revealed, SAMPLE_TIME, sampleMedia } from '../../support/snapshots.ts';
import { type StoreBench, storeBench } from '../../support/stores.ts';

let bench: StoreBench;
let path: string;

beforeEach(async () => {
  bench = await storeBench();
  path = join(bench.runtimeDir, 'media.sealed');
});

afterEach(() => bench.dispose());

describe('the media snapshot', () => {
  it('is taken by the next process as it was written last', async () => {
    const store = await bench.start();
    store.writeMedia(sampleMedia(seededRandom(1)));
    const snapshot = sampleMedia(seededRandom(2), 3);
    store.writeMedia(snapshot);
    expect(readdirSync(bench.runtimeDir)).toEqual(['media.sealed']);
    const taken = await (await bench.start()).takeMedia();
    expect(revealed(taken)).toEqual(revealed(snapshot));
    expect(bench.events.map(({ event }) => event)).toEqual(['state-created']);
  });

  it('is there when the call returns', async () => {
    const store = await bench.start();
    store.writeMedia(sampleMedia(seededRandom(1)));
    expect(existsSync(path)).toBe(true);
  });

  it('is gone once it was taken', async () => {
    (await bench.start()).writeMedia(sampleMedia(seededRandom(1)));
    const store = await bench.start();
    expect(await store.takeMedia()).toBeDefined();
    expect(readdirSync(bench.runtimeDir)).toEqual([]);
    expect(await store.takeMedia()).toBeUndefined();
    expect(await (await bench.start()).takeMedia()).toBeUndefined();
  });

  it('is zeroed and unlinked before any of it is opened', async () => {
    (await bench.start()).writeMedia(sampleMedia(seededRandom(1)));
    const keyring = await bench.keyring();
    const order: string[] = [];
    const fs: FileSystem = {
      ...nodeFileSystem,
      overwrite: (file) => {
        nodeFileSystem.overwrite(file);
        order.push(`zeroed ${readFileSync(file).every((byte) => byte === 0)}`);
      },
      remove: (file) => {
        order.push('removed');
        nodeFileSystem.remove(file);
      },
    };
    keyring.writer();
    const keys = {
      primary: () => keyring.primary(),
      writer: () => keyring.writer(),
      writerKey: (id: string) => keyring.writerKey(id),
      refresh: () => {},
      secret: (id: string) => {
        order.push('opened');
        return keyring.secret(id);
      },
    };
    expect(mediaFile({ fs, keys }).take()).toBeDefined();
    expect(order).toEqual(['zeroed true', 'removed', 'opened']);
  });

  it('gives no contexts past its deadline, only the numbering of the room', async () => {
    const snapshot = sampleMedia(seededRandom(1));
    (await bench.start()).writeMedia(snapshot);
    bench.now = snapshot.notAfter + 1;
    const taken = await (await bench.start()).takeMedia();
    expect(taken).toMatchObject({ peers: [], room: snapshot.room });
    expect(bench.events.at(-1)).toMatchObject({ level: 'warn', event: 'media-expired' });
    expect(readdirSync(bench.runtimeDir)).toEqual([]);
  });

  it('gives its contexts up to its deadline', async () => {
    const snapshot = sampleMedia(seededRandom(1));
    (await bench.start()).writeMedia(snapshot);
    bench.now = snapshot.notAfter;
    expect((await (await bench.start()).takeMedia())?.peers).toHaveLength(snapshot.peers.length);
    expect(bench.events.map(({ event }) => event)).not.toContain('media-expired');
  });

  it('is past its deadline where the clock was set back', async () => {
    (await bench.start()).writeMedia(sampleMedia(seededRandom(1)));
    bench.now = SAMPLE_TIME - 60_000;
    expect(await (await bench.start()).takeMedia()).toMatchObject({ peers: [] });
    expect(bench.events.at(-1)).toMatchObject({ event: 'media-expired' });
  });

  it('with a deadline that was put off by somebody gives nothing', async () => {
    (await bench.start()).writeMedia(sampleMedia(seededRandom(1)));
    const bytes = new Uint8Array(readFileSync(path));
    bytes[8 + 8 + 8 + 6] = 0x7f;
    bytes.set(
      createHash('sha256')
        .update(bytes.subarray(0, HEADER_BYTES - 8))
        .digest()
        .subarray(0, 8),
      HEADER_BYTES - 8,
    );
    writeFileSync(path, bytes);
    bench.now = SAMPLE_TIME + 60_000;
    expect(await (await bench.start()).takeMedia()).toBeUndefined();
    expectDeletedWithWords();
  });

  it('is dropped also where it cannot be overwritten for want of a file descriptor', async () => {
    const fs: FileSystem = {
      ...nodeFileSystem,
      overwrite: () => {
        throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
      },
    };
    const store = await bench.start(fs);
    store.writeMedia(sampleMedia(seededRandom(1)));
    store.dropMedia();
    expect(readdirSync(bench.runtimeDir)).toEqual([]);
  });

  it('is dropped unread on request', async () => {
    const store = await bench.start();
    store.writeMedia(sampleMedia(seededRandom(1)));
    store.dropMedia();
    expect(readdirSync(bench.runtimeDir)).toEqual([]);
  });

  it('that cannot be written is an error, and the former one stays', async () => {
    let full = false;
    const fs: FileSystem = {
      ...nodeFileSystem,
      write: (file, bytes) => {
        if (full) throw new Error('no space left');
        nodeFileSystem.write(file, bytes);
      },
    };
    const store = await bench.start(fs);
    const snapshot = sampleMedia(seededRandom(1));
    store.writeMedia(snapshot);
    full = true;
    expect(() => store.writeMedia(sampleMedia(seededRandom(2)))).toThrowError(
      expect.objectContaining({ code: 'STATE_UNWRITABLE' }),
    );
    expect(revealed(await (await bench.start()).takeMedia())).toMatchObject(
      revealed(snapshot) as Record<string, unknown>,
    );
  });
});

describe('a media snapshot that is no good', () => {
  let good: Uint8Array;
  let anchor: Anchor;
  let peers: readonly string[];
  /** How many contexts were given. */
  let seen: Set<number>;

  beforeEach(async () => {
    // More than one record of contexts.
    const snapshot = sampleMedia(seededRandom(1), 30);
    peers = snapshot.peers.map(({ session }) => toHex(session));
    (await bench.start()).writeMedia(snapshot);
    good = new Uint8Array(readFileSync(path));
    const known = anchorFile(await bench.keyring()).read();
    if (typeof known !== 'object') throw new Error('there is no anchor');
    anchor = known;
    seen = new Set();
  });

  it('cut anywhere gives contexts that are good or nothing, and is deleted', {
    timeout: 60_000,
  }, async () => {
    const store = await bench.start();
    for (const length of places()) await expectGoodOrNothing(store, good.slice(0, length));
    expectSomeAndNone();
  });

  it('with a byte changed anywhere gives contexts that are good or nothing, and is deleted', {
    timeout: 60_000,
  }, async () => {
    const store = await bench.start();
    for (const at of places()) await expectGoodOrNothing(store, flipped(good, at, 0x80));
    expectSomeAndNone();
  });

  it('whose key is missing is deleted, with words', async () => {
    rmSync(bench.keysDir, { recursive: true });
    expect(await (await bench.start()).takeMedia()).toBeUndefined();
    expectDeletedWithWords();
  });

  it('whose key is another one is deleted, with words', async () => {
    for (const name of readdirSync(bench.keysDir))
      if (name.endsWith('.secret')) writeFileSync(join(bench.keysDir, name), new Uint8Array(32).fill(9));
    expect(await (await bench.start()).takeMedia()).toBeUndefined();
    expectDeletedWithWords();
  });

  /** Every byte of the head, the room and the first context, of the others some. */
  const places = (): number[] => [...good.keys()].filter((at) => at < 700 || at % 11 === 0);

  /** None, those of the first record, and all of them where only the end is missing. */
  function expectSomeAndNone(): void {
    const some = [...seen].filter((contexts) => contexts > 0 && contexts < peers.length);
    expect(some).toHaveLength(1);
    expect(seen).toEqual(new Set([0, some[0], peers.length]));
  }

  /** As if the server had written these bytes: else no copy would be looked at. */
  function anchorAnew(keys: SnapshotKeys): void {
    anchorFile(keys).write({ ...anchor, stamp: nodeFileSystem.linkInfo(path)?.stamp ?? NONE });
  }

  async function expectGoodOrNothing(store: SnapshotStore, bytes: Uint8Array): Promise<void> {
    writeFileSync(path, bytes);
    anchorAnew(await bench.keyring());
    bench.events.length = 0;
    const taken = await store.takeMedia();
    const sessions = taken?.peers.map(({ session }) => toHex(session)) ?? [];
    seen.add(sessions.length);
    expect(sessions).toEqual(peers.slice(0, sessions.length));
    expect(sessions.length === peers.length || bench.events.length > 0).toBe(true);
    expect(readdirSync(bench.runtimeDir)).toEqual([]);
  }
});

describe('what a killed process left', () => {
  it('is deleted unread, and what is good is taken', async () => {
    (await bench.start()).writeMedia(sampleMedia(seededRandom(1)));
    writeFileSync(`${path}.tmp`, 'half a file');
    writeFileSync(join(bench.runtimeDir, `media.taken-${process.pid}-00112233`), 'taken and not finished');
    expect(await (await bench.start()).takeMedia()).toBeDefined();
    expect(readdirSync(bench.runtimeDir)).toEqual([]);
    expect(bench.events.filter(({ event }) => event === 'media-leftover-removed')).toHaveLength(2);
  });

  it('is left alone while another process may be at work on it', async () => {
    const name = `media.taken-${process.ppid}-00112233`;
    writeFileSync(join(bench.runtimeDir, name), 'taken a moment ago');
    bench.now = Date.now();
    await (await bench.start()).takeMedia();
    expect(readdirSync(bench.runtimeDir)).toEqual([name]);
    utimesSync(join(bench.runtimeDir, name), 0, 0);
    bench.now = Date.now() + 60_000;
    await (await bench.start()).takeMedia();
    expect(readdirSync(bench.runtimeDir)).toEqual([]);
  });

  it('at any step of taking, gives its contexts to at most one process', async () => {
    const store = await bench.start();
    let taken = 0;
    for (let step = 1; ; step++) {
      store.writeMedia(sampleMedia(seededRandom(step)));
      const fs = killedAt(step);
      const first = await mediaFile({ fs, keys: await bench.keyring() }).take();
      const second = await (await bench.start()).takeMedia();
      expect([first, second].filter((media) => media !== undefined).length).toBeLessThanOrEqual(1);
      expect(readdirSync(bench.runtimeDir)).toEqual([]);
      if (second !== undefined) taken++;
      if (fs.steps < step) break;
    }
    // Killed in the renaming, the file is still there for the next one.
    expect(taken).toBe(1);
  });

  it('at any step of writing, is the former file or the new one', async () => {
    const given = new Set<number | undefined>();
    for (let step = 1; ; step++) {
      (await bench.start()).writeMedia(sampleMedia(seededRandom(1), 2));
      const fs = killedAt(step);
      const keys = await bench.keyring();
      const writing = () => mediaFile({ fs, keys }).write(sampleMedia(seededRandom(2), 3));
      const killed = step < 4;
      if (killed) expect(writing).toThrow();
      else writing();
      const taken = await (await bench.start()).takeMedia();
      given.add(taken?.peers.length);
      expect(readdirSync(bench.runtimeDir)).toEqual([]);
      expect(fs.steps).toBe(killed ? step : 3);
      if (!killed) break;
    }
    // Killed before its anchor, the new one is not known to be ours: that is a resume by re-key.
    expect(given).toEqual(new Set([2, undefined, 3]));
  });
});

describe('two processes that take at once', () => {
  it('get it once between them, wherever the second comes in', async () => {
    const store = await bench.start();
    const keys = await bench.keyring();
    bench.now = Date.now();
    for (let at = 1; at <= 5; at++) {
      store.writeMedia(sampleMedia(seededRandom(at), 2, bench.now));
      const results: (MediaSnapshot | undefined)[] = [];
      const second = mediaFile({ keys, pid: process.ppid });
      const fs = interrupted(at, () => results.push(second.take()));
      results.push(mediaFile({ fs, keys }).take());
      expect(results).toHaveLength(2);
      expect(results.filter((media) => media !== undefined)).toHaveLength(1);
    }
  });
});

/** Lets something happen before step number `at` of all that are taken. */
function interrupted(at: number, happens: () => void): FileSystem {
  let steps = 0;
  return new Proxy(nodeFileSystem, {
    get(target, name: keyof FileSystem) {
      const step = target[name] as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        steps++;
        if (steps === at) happens();
        return step(...args);
      };
    },
  });
}

const anchorFile = (keys: SnapshotKeys): AnchorFile =>
  new AnchorFile({ path: join(bench.stateDir, 'media.anchor'), kind: 'media', fs: nodeFileSystem, keys });

function mediaFile(
  options: Partial<ConstructorParameters<typeof MediaFile>[0]> &
    Pick<ConstructorParameters<typeof MediaFile>[0], 'keys'>,
): MediaFile {
  return new MediaFile({
    directory: bench.runtimeDir,
    anchorDirectory: bench.stateDir,
    fs: nodeFileSystem,
    report: (event) => bench.events.push(event),
    now: () => bench.now,
    ...options,
  });
}

function expectDeletedWithWords(): void {
  expect(readdirSync(bench.runtimeDir)).toEqual([]);
  expect(bench.events.at(-1)).toMatchObject({
    level: 'warn',
    event: expect.stringMatching(/^(media-unusable|snapshot-refused)$/),
  });
}

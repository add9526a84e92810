import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Keyring } from '../../../src/keyring/keyring.ts';
import {
  type Anchor,
  AnchorFile,
  NONE,
  newSnapshotId,
  readBootId,
  standing,
} from '../../../src/snapshot/anchor.ts';
import type { SealedKind } from '../../../src/snapshot/header.ts';
import { type FileSystem, nodeFileSystem } from '../../../src/util/file-system.ts';
import { flipped } from '../../support/flipped.ts';
import { type StoreBench, storeBench } from '../../support/stores.ts';

const ANCHOR: Anchor = {
  generation: 17,
  newest: newSnapshotId(),
  former: newSnapshotId(),
  boot: newSnapshotId(),
  stamp: newSnapshotId(),
};

let bench: StoreBench;
let keys: Keyring;
let path: string;

beforeEach(async () => {
  bench = await storeBench();
  keys = await bench.keyring();
  path = join(bench.runtimeDir, 'identity.anchor');
});

afterEach(() => bench.dispose());

const file = (kind: SealedKind = 'identity', fs: FileSystem = nodeFileSystem): AnchorFile =>
  new AnchorFile({ path, kind, fs, keys });

describe('an anchor', () => {
  it('is read as it was written, from a file of mode 0600', () => {
    expect(file().read()).toBeUndefined();
    file().write(ANCHOR);
    expect(file().read()).toEqual({ ...ANCHOR, keyId: keys.primary().id });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('is written over in place, and anew where that cannot be', () => {
    file().write(ANCHOR);
    const { ino } = statSync(path);
    file().write({ ...ANCHOR, generation: 18 });
    expect(statSync(path).ino).toBe(ino);
    writeFileSync(path, 'half');
    file().write({ ...ANCHOR, generation: 19 });
    expect(file().read()).toMatchObject({ generation: 19 });
    expect(readdirSync(bench.runtimeDir)).toEqual(['identity.anchor']);
  });

  it('with any byte changed, cut or longer is not believed', () => {
    file().write(ANCHOR);
    const good = new Uint8Array(readFileSync(path));
    for (let at = 0; at < good.length; at++) {
      for (const bytes of [flipped(good, at), good.subarray(0, at), new Uint8Array([...good, at])]) {
        writeFileSync(path, bytes);
        expect(file().read()).toEqual(expect.any(String));
      }
    }
    writeFileSync(path, good);
    expect(file().read()).toMatchObject(ANCHOR);
  });

  it('of the other kind of file is not believed', () => {
    file('media').write(ANCHOR);
    expect(file('identity').read()).toBe('it is damaged');
  });

  it('of a key that is not there any more is not believed, and says which', async () => {
    file().write(ANCHOR);
    const { id } = keys.primary();
    rmSync(bench.keysDir, { recursive: true });
    keys = await bench.keyring();
    expect(file().read()).toContain(id);
  });

  it('is still believed under the former key while that is there', async () => {
    file().write(ANCHOR);
    const { id } = keys.primary();
    await keys.promote(await keys.add());
    expect(file().read()).toMatchObject({ keyId: id, generation: 17 });
  });
});

describe('a file, by its anchor,', () => {
  it.each([
    ['newest', 17, ANCHOR.newest],
    ['newest', 18, newSnapshotId()],
    ['former', 16, ANCHOR.former],
    ['older', 17, newSnapshotId()],
    ['older', 16, newSnapshotId()],
  ])('is the %s: generation %d', (expected, generation, id) => {
    expect(standing(ANCHOR, { generation, id })).toBe(expected);
  });

  it('is old once it has been taken', () => {
    const taken = { ...ANCHOR, newest: NONE, former: NONE };
    expect(standing(taken, { generation: 17, id: ANCHOR.newest })).toBe('older');
  });
});

describe('the start of the machine', () => {
  it('is known by an id, the same until the next one', () => {
    expect(readBootId(nodeFileSystem)).toMatch(/^[0-9a-f]{32}$/);
    expect(readBootId(nodeFileSystem)).not.toBe(NONE);
    expect(readBootId(nodeFileSystem)).toBe(readBootId(nodeFileSystem));
  });

  it('is not known where the system does not tell', () => {
    const missing: FileSystem = { ...nodeFileSystem, readInto: () => undefined };
    expect(readBootId(missing)).toBe(NONE);
    const refused: FileSystem = {
      ...nodeFileSystem,
      readInto: () => {
        throw new Error('not permitted');
      },
    };
    expect(readBootId(refused)).toBe(NONE);
  });
});

import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodePeers, decodeRoom } from '../../../src/snapshot/codec/media.ts';
import { FORMAT_VERSION, HEADER_BYTES } from '../../../src/snapshot/header.ts';
import { openSealed } from '../../../src/snapshot/seal.ts';
import { ROOT } from '../../support/process.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { revealed, sampleIdentity, sampleMedia } from '../../support/snapshots.ts';
import { type StoreBench, storeBench } from '../../support/stores.ts';

const FIXTURES = join(ROOT, 'test/fixtures/snapshots');
/** The first one that shows who wrote it: what is older is refused (docs/decisions/0005). */
const OLDEST = 2;
const VERSIONS = Array.from({ length: FORMAT_VERSION - OLDEST + 1 }, (_, i) => OLDEST + i);

let bench: StoreBench;
beforeEach(async () => {
  bench = await storeBench();
});
afterEach(() => bench.dispose());

const fixture = (version: number, name = ''): string => join(FIXTURES, `v${version}`, name);
const text = (value: unknown): string => `${JSON.stringify(revealed(value), undefined, 1)}\n`;

/** Where the files of a version are missing, and only then, they are written: by the version that they are of. */
if (process.env.WRITE_SNAPSHOT_FIXTURES === '1' && !existsSync(fixture(FORMAT_VERSION))) {
  const bench = await storeBench();
  const [identity, media] = [sampleIdentity(seededRandom(1)), sampleMedia(seededRandom(2))];
  const store = await bench.start();
  await store.writeIdentity(identity);
  store.writeMedia(media);
  mkdirSync(fixture(FORMAT_VERSION), { recursive: true });
  const take = (directory: string, name: string): void =>
    copyFileSync(join(directory, name), fixture(FORMAT_VERSION, name));
  take(bench.stateDir, 'identity.sealed');
  take(bench.runtimeDir, 'media.sealed');
  for (const name of readdirSync(bench.keysDir)) take(bench.keysDir, name);
  writeFileSync(fixture(FORMAT_VERSION, 'identity.json'), text(identity));
  writeFileSync(fixture(FORMAT_VERSION, 'media.json'), text({ room: media.room, peers: media.peers }));
  bench.dispose();
}

/** The directories of a server that was stopped when it had written them. */
function putInPlace(version: number): void {
  for (const directory of [bench.stateDir, bench.keysDir]) mkdirSync(directory, { mode: 0o700 });
  for (const name of readdirSync(fixture(version))) {
    const directory =
      name === 'identity.sealed'
        ? bench.stateDir
        : name === 'media.sealed'
          ? bench.runtimeDir
          : bench.keysDir;
    if (/^(identity|media)\.json$/.test(name)) continue;
    copyFileSync(fixture(version, name), join(directory, name));
    chmodSync(join(directory, name), 0o600);
  }
}

describe.each(VERSIONS)('files of format %d', (version) => {
  it('open, and hold what was written', async () => {
    putInPlace(version);
    const identity = await (await bench.start()).readIdentity();
    expect(text(identity)).toBe(readFileSync(fixture(version, 'identity.json'), 'utf8'));
    const keys = await bench.keyring();
    const sealed = new Uint8Array(readFileSync(fixture(version, 'media.sealed')));
    const opened = openSealed(sealed, (id) => keys.secret(id), { kind: 'media' });
    if (opened.outcome !== 'opened') throw new Error(`the media file is ${opened.outcome}`);
    const [room, ...peers] = opened.records.map(({ bytes }) => Uint8Array.from(bytes));
    const found = { room: decodeRoom(room!), peers: peers.flatMap((record) => decodePeers(record)) };
    expect(text(found)).toBe(readFileSync(fixture(version, 'media.json'), 'utf8'));
  });

  it('are written on by this version, which then finds its own', async () => {
    putInPlace(version);
    const before = await (await bench.start()).readIdentity();
    const store = await bench.start();
    await store.readIdentity();
    await store.writeIdentity(before!);
    expect(readFileSync(join(bench.stateDir, 'identity.sealed'))[4]).toBe(FORMAT_VERSION);
    expect(text(await (await bench.start()).readIdentity())).toBe(text(before));
  });
});

it('files of the next format are refused in words, and kept as they are', async () => {
  putInPlace(FORMAT_VERSION);
  const paths = [join(bench.stateDir, 'identity.sealed'), join(bench.runtimeDir, 'media.sealed')];
  for (const path of paths) {
    const bytes = new Uint8Array(readFileSync(path));
    bytes[4] = FORMAT_VERSION + 1;
    const checksum = createHash('sha256')
      .update(bytes.subarray(0, HEADER_BYTES - 8))
      .digest()
      .subarray(0, 8);
    bytes.set(checksum, HEADER_BYTES - 8);
    writeFileSync(path, bytes);
  }
  const before = paths.map((path) => readFileSync(path));
  const store = await bench.start();
  await expect(store.readIdentity()).rejects.toMatchObject({
    code: 'SEALED_FILE_INVALID',
    message: expect.stringContaining(`newer version (format ${FORMAT_VERSION + 1})`),
  });
  expect(paths.map((path) => readFileSync(path))).toEqual(before);
});

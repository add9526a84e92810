import { createHash } from 'node:crypto';
import { linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SnapshotKeys, SnapshotWriter } from '../../src/keyring/keyring.ts';
import { AnchorFile, NONE, newSnapshotId } from '../../src/snapshot/anchor.ts';
import { encodeIdentity } from '../../src/snapshot/codec/identity.ts';
import { HEADER_BYTES, parseHeader, type SealedHeader } from '../../src/snapshot/header.ts';
import type { IdentitySnapshot, MediaSnapshot } from '../../src/snapshot/schema.ts';
import { sealSnapshot } from '../../src/snapshot/seal.ts';
import { fromBase64Url } from '../../src/util/bytes.ts';
import { nodeFileSystem } from '../../src/util/file-system.ts';
import { Secret } from '../../src/util/secret.ts';
import { seededRandom } from './seeded-rng.ts';
import { encodeMedia } from './snapshots.ts';

/** The primary key as everybody may know it, with a writer key that was made up. */
export function publicMaterial(keysDir: string): SnapshotWriter {
  const name = readdirSync(keysDir).find((file) => file.endsWith('.json'));
  const { id, publicKey } = JSON.parse(readFileSync(join(keysDir, String(name)), 'utf8')) as Record<
    string,
    string
  >;
  return {
    id: String(id),
    publicKey: fromBase64Url(String(publicKey))!,
    writerKey: Secret.random(32, seededRandom(666)),
  };
}

export const forgedIdentity = (writer: SnapshotWriter, snapshot: IdentitySnapshot, generation: number) =>
  sealSnapshot(
    writer,
    { kind: 'identity', generation, createdAt: 0, notAfter: 0, id: newSnapshotId() },
    encodeIdentity(snapshot),
  );

export const forgedMedia = (writer: SnapshotWriter, snapshot: MediaSnapshot) =>
  sealSnapshot(
    writer,
    {
      kind: 'media',
      generation: snapshot.writtenAt,
      createdAt: snapshot.writtenAt,
      notAfter: snapshot.notAfter,
      id: newSnapshotId(),
    },
    encodeMedia(snapshot),
  );

/** Where the fields of a head lie. */
export const HEAD = {
  version: [4, 5],
  kind: [5, 6],
  'key id': [8, 16],
  generation: [16, 24],
  created: [24, 30],
  'not after': [30, 36],
  'snapshot id': [36, 52],
  'sealed key': [52, 132],
  'stream header': [132, 156],
  mac: [156, 188],
} as const;

/** A file with a field of its head taken from elsewhere, and the checksum made right. */
export function withField(file: Uint8Array, field: keyof typeof HEAD, from: Uint8Array): Uint8Array {
  const changed = file.slice();
  const [start, end] = HEAD[field];
  changed.set(from.subarray(start, end), start);
  return withChecksum(changed);
}

export function withChecksum(file: Uint8Array): Uint8Array {
  const end = HEADER_BYTES - 8;
  file.set(createHash('sha256').update(file.subarray(0, end)).digest().subarray(0, 8), end);
  return file;
}

/** The records of a file as they lie in it, each with its length in front. */
export function recordsOf(file: Uint8Array): readonly Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let at = HEADER_BYTES; at < file.length; ) {
    const end = at + 2 + file[at]! * 256 + file[at + 1]!;
    records.push(file.subarray(at, end));
    at = end;
  }
  return records;
}

/** A directory as it was, to be put back: as copies, or as the very files, kept alive by a second name. */
export class Hoard {
  readonly #directory: string;
  readonly #files = new Map<string, Uint8Array | string>();

  constructor(directory: string, way: 'copy' | 'link' = 'copy') {
    this.#directory = directory;
    for (const name of readdirSync(directory)) {
      if (!/sealed$|anchor$/.test(name)) continue;
      const path = join(directory, name);
      if (way === 'copy') this.#files.set(name, new Uint8Array(readFileSync(path)));
      else {
        const kept = `${directory}-hoard-${name}`;
        linkSync(path, kept);
        this.#files.set(name, kept);
      }
    }
  }

  get names(): readonly string[] {
    return [...this.#files.keys()];
  }

  /** Puts one of them, or all, in the place of what is there now. */
  putBack(...names: readonly string[]): void {
    for (const name of names.length === 0 ? this.names : names) {
      const path = join(this.#directory, name);
      const kept = this.#files.get(name);
      if (kept === undefined) throw new Error(`${name} was not there`);
      if (typeof kept === 'string') renameSync(kept, path);
      else {
        rmSync(path, { force: true });
        writeFileSync(path, kept, { mode: 0o600 });
      }
    }
  }
}

/**
 * What nobody can do but the holder of the key who also sets the kernel's stamps: says that `media.sealed`, as it lies there now, was written last.
 * With it a test shows what would follow.
 */
export function vouchForMedia(stateDir: string, runtimeDir: string, keys: SnapshotKeys): void {
  const path = join(runtimeDir, 'media.sealed');
  const parsed = parseHeader(readFileSync(path));
  if (parsed.outcome !== 'header') throw new Error('there is no head to vouch for');
  const anchor = new AnchorFile({
    path: join(stateDir, 'media.anchor'),
    kind: 'media',
    fs: nodeFileSystem,
    keys,
  });
  const known = anchor.read();
  if (typeof known !== 'object') throw new Error('there is no anchor');
  const { generation, id }: SealedHeader = parsed.header;
  const stamp = nodeFileSystem.linkInfo(path)?.stamp ?? NONE;
  anchor.write({ ...known, generation, newest: id, former: NONE, stamp });
}

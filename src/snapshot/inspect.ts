import { join } from 'node:path';
import { RekeycastError } from '../errors.ts';
import type { SnapshotKeys } from '../keyring/keyring.ts';
import { fingerprintOf } from '../transport/dtls/fingerprint.ts';
import { ByteReader, toHex } from '../util/bytes.ts';
import type { WallMillis } from '../util/clock.ts';
import type { FileSystem } from '../util/file-system.ts';
import { AnchorFile, isAuthentic } from './anchor.ts';
import { decodeServer, decodeSession } from './codec/identity.ts';
import { isExpired, MAX_SEALED_BYTES, type ParsedHeader, parseHeader, type SealedKind } from './header.ts';
import { IDENTITY_ANCHOR, IDENTITY_FILE, PREVIOUS_FILE } from './identity-file.ts';
import { MEDIA_ANCHOR, MEDIA_FILE } from './media-file.ts';
import { openSealed } from './seal.ts';
import { placesOf } from './worker-folders.ts';

type WriterVerdict = 'authenticated' | 'not authenticated' | 'unknown';

/** What can be told of a sealed file by whoever may read it. */
export interface Inspected {
  readonly path: string;
  readonly bytes: number;
  /** Absent where it is no sealed file, or not one that this version knows. */
  readonly kind?: SealedKind;
  readonly version?: number;
  readonly key?: string;
  readonly generation?: number;
  readonly snapshot?: string;
  readonly writtenAt?: string;
  readonly ageMs?: number;
  /** Past this time contexts are deleted unread. */
  readonly notAfter?: string;
  readonly expired?: boolean;
  /** Whether a holder of the key wrote it; `unknown` where that key is not here. */
  readonly writer?: WriterVerdict;
  /** As they lie one behind the other, opened by nobody; `undefined` where the last one is cut. */
  readonly records?: number | undefined;
  /** What is wrong with it, in words. */
  readonly problem?: string;
  readonly opened?: OpenedIdentity;
}

export interface InspectedAnchor {
  readonly path: string;
  readonly of: SealedKind;
  readonly key?: string;
  readonly generation?: number;
  readonly newest?: string;
  readonly problem?: string;
}

/** Counts, and what every visitor gets to see. */
interface OpenedIdentity {
  readonly broadcasters: number;
  readonly viewers: number;
  readonly withConnection: number;
  readonly certificate: {
    readonly sha256: string;
    readonly createdAt: string;
    readonly ageMs: number;
  };
}

export interface InspectOptions {
  readonly fs: FileSystem;
  /** `undefined` where there are none here. */
  readonly keys: SnapshotKeys | undefined;
  readonly now: WallMillis;
  /** Open identities, and count. Media files are opened by the next start alone. */
  readonly open: boolean;
}

/** The sealed files in the two directories, and those that were put aside. */
export function sealedPaths(
  stateDir: string,
  runtimeDir: string | undefined,
  fs: FileSystem,
): readonly string[] {
  const names = [IDENTITY_FILE, PREVIOUS_FILE];
  return placesOf({ stateDir, runtimeDir }, fs)
    .flatMap((place) => {
      const aside = fs.list(place.stateDir).filter((name) => /\.sealed\.(damaged|refused)-/.test(name));
      return [
        ...[...names, ...aside].map((name) => join(place.stateDir, name)),
        ...(place.runtimeDir === undefined ? [] : [join(place.runtimeDir, MEDIA_FILE)]),
      ];
    })
    .filter((path) => fs.linkInfo(path) !== undefined);
}

/** Throws `SEALED_FILE_INVALID` where there is no file, and what opening throws. */
export function inspectFile(path: string, options: InspectOptions): Inspected {
  const { fs, keys, now, open } = options;
  const bytes = readSealed(path, fs);
  const parsed = parseHeader(bytes);
  const file = { path, bytes: bytes.length };
  switch (parsed.outcome) {
    case 'damaged':
      return { ...file, problem: parsed.damage };
    case 'newer':
      return { ...file, version: parsed.version, problem: 'a newer version of this program wrote it' };
    case 'outdated':
      return { ...file, version: parsed.version, problem: 'its format does not show who wrote it' };
    case 'header':
      break;
  }
  const { header } = parsed;
  const records = countRecords(bytes, header);
  const writer = writerOf(header, keys);
  const problem =
    writer === 'not authenticated'
      ? 'no holder of its key wrote it'
      : records === undefined
        ? 'it is cut off'
        : undefined;
  return {
    ...file,
    kind: header.kind,
    version: header.version,
    key: header.keyId,
    generation: header.generation,
    snapshot: header.id,
    writtenAt: date(header.createdAt),
    ageMs: now - header.createdAt,
    ...(header.notAfter === 0 ? {} : { notAfter: date(header.notAfter), expired: isExpired(header, now) }),
    writer,
    records,
    ...(problem === undefined ? {} : { problem }),
    ...(open && header.kind === 'identity' ? { opened: openIdentity(path, bytes, options) } : {}),
  };
}

export function inspectAnchors(
  stateDir: string,
  runtimeDir: string | undefined,
  { fs, keys = NO_KEYS }: InspectOptions,
): readonly InspectedAnchor[] {
  const anchors = placesOf({ stateDir, runtimeDir }, fs).flatMap(
    (place): (readonly [string | undefined, string, SealedKind])[] => [
      [place.stateDir, MEDIA_ANCHOR, 'media'],
      [place.runtimeDir, IDENTITY_ANCHOR, 'identity'],
    ],
  );
  return anchors.flatMap(([directory, name, kind]): InspectedAnchor[] => {
    if (directory === undefined) return [];
    const path = join(directory, name);
    const found = new AnchorFile({ path, kind, fs, keys }).read();
    if (found === undefined) return [];
    if (typeof found === 'string') return [{ path, of: kind, problem: found }];
    const { keyId: key, generation, newest } = found;
    return [{ path, of: kind, key, generation, newest }];
  });
}

function readSealed(path: string, fs: FileSystem): Uint8Array {
  try {
    const bytes = fs.read(path, MAX_SEALED_BYTES);
    if (bytes !== undefined) return bytes;
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new RekeycastError('SEALED_FILE_INVALID', `${path} is no sealed file: ${cause.message}`, { cause });
  }
  throw new RekeycastError('SEALED_FILE_INVALID', `there is no ${path}`);
}

/** Without the empty one that ends it. */
function countRecords(bytes: Uint8Array, header: ParsedHeader): number | undefined {
  const reader = new ByteReader(bytes.subarray(header.bytes.length));
  let records = 0;
  for (; reader.remaining > 0; records++) {
    reader.vector(2);
    if (reader.failed) return undefined;
  }
  return records === 0 ? undefined : records - 1;
}

function writerOf(header: ParsedHeader, keys: SnapshotKeys | undefined): WriterVerdict {
  try {
    // Asked for, and not only compared: a key that is not here says nothing against the file.
    keys?.writerKey(header.keyId).dispose();
  } catch (cause) {
    if (cause instanceof RekeycastError) return 'unknown';
    throw cause;
  }
  if (keys === undefined) return 'unknown';
  return isAuthentic(header, keys) ? 'authenticated' : 'not authenticated';
}

function openIdentity(
  path: string,
  bytes: Uint8Array,
  { keys = NO_KEYS, now }: InspectOptions,
): OpenedIdentity {
  const opened = openSealed(bytes, (id) => keys.secret(id), { kind: 'identity' });
  if (opened.outcome !== 'opened')
    throw new RekeycastError('SEALED_FILE_INVALID', `${path} does not open: it is ${opened.outcome}`);
  try {
    const [first, ...others] = opened.records;
    const server = first && decodeServer(first.bytes);
    if (server === undefined)
      throw new RekeycastError('SEALED_FILE_INVALID', `${path} is damaged: its first record makes no sense`);
    server.certificate.privateKey.dispose();
    server.tokenKey.dispose();
    const sessions = others.flatMap((record) => decodeSession(record.bytes) ?? []);
    const { certificate, createdAt } = server.certificate;
    return {
      broadcasters: sessions.filter(({ role }) => role === 'broadcaster').length,
      viewers: sessions.filter(({ role }) => role === 'viewer').length,
      withConnection: sessions.filter(({ connection }) => connection !== undefined).length,
      certificate: {
        sha256: toHex(fingerprintOf(certificate, 'sha-256').digest),
        createdAt: date(createdAt),
        ageMs: now - createdAt,
      },
    };
  } finally {
    for (const record of opened.records) record.dispose();
  }
}

const date = (time: WallMillis): string => new Date(time).toISOString();

const noKey = (): never => {
  throw new RekeycastError('KEY_MISSING', 'the snapshot keys are not here');
};
const NO_KEYS: SnapshotKeys = {
  primary: noKey,
  writer: noKey,
  writerKey: noKey,
  secret: noKey,
  refresh: () => {},
};

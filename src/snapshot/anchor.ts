import { randomBytes } from 'node:crypto';
import { messageOf, RekeycastError } from '../errors.ts';
import type { SnapshotKeys } from '../keyring/keyring.ts';
import { macOf } from '../keyring/writer-key.ts';
import {
  ByteReader,
  ByteWriter,
  decodeUtf8,
  equalConstantTime,
  fromHex,
  toHex,
  utf8,
} from '../util/bytes.ts';
import type { FileSystem } from '../util/file-system.ts';
import { replace } from '../util/replace-file.ts';
import type { Secret } from '../util/secret.ts';
import { isWrittenWith, type ParsedHeader, type SealedHeader, type SealedKind } from './header.ts';

/**
 * Which sealed file was written last. It lies in the other one of the two directories, so that whoever can put an older file back in one of
 * them is found out by what lies in the other:
 *
 *   STATE_DIR     identity.sealed  media.anchor
 *   RUNTIME_DIR   media.sealed     identity.anchor
 *
 *   magic(4) version(1) kind(1) length(2) | key id(8) generation(8) newest(16) former(16) boot(16) stamp(16) | MAC(32)
 *
 * The MAC is HMAC-SHA-256 under the writer key over all before it. It is written after the file and before anything that the file promises is
 * used.
 */
export interface Anchor {
  readonly generation: number;
  /** Snapshot id of the newest file, {@link NONE} where it has been taken. */
  readonly newest: string;
  /** Of the one that is kept as the previous generation. */
  readonly former: string;
  /** Which start of the machine it is of; zeroes where that cannot be told. */
  readonly boot: string;
  /** The kernel's stamp on the file (`FileInfo.stamp`), so that a copy is found out also where the anchor was put back with it. */
  readonly stamp: string;
}

export interface FoundAnchor extends Anchor {
  readonly keyId: string;
}

/** In the place of an id or a stamp that there is none of. */
export const NONE = '00'.repeat(16);

export const newSnapshotId = (): string => randomBytes(16).toString('hex');

/** What an anchor says of an identity: the newest or newer than known, the one before it, or one that was put back. */
export function standing(
  anchor: Anchor,
  { generation, id }: Pick<SealedHeader, 'generation' | 'id'>,
): 'newest' | 'former' | 'older' {
  if (generation > anchor.generation || id === anchor.newest) return 'newest';
  return id === anchor.former ? 'former' : 'older';
}

/** Whether a holder of the key that a head names has made it. */
export function isAuthentic(header: ParsedHeader, keys: SnapshotKeys): boolean {
  const writerKey = writerKeyOf(header.keyId, keys);
  if (typeof writerKey === 'string') return false;
  try {
    return isWrittenWith(header, writerKey);
  } finally {
    writerKey.dispose();
  }
}

const MAGIC = utf8('RKCA');
const VERSION = 1;
const KINDS: readonly SealedKind[] = ['identity', 'media'];
const AUTHENTICATED_BYTES = 8 + 8 + 8 + 16 + 16 + 16 + 16;
const ANCHOR_BYTES = AUTHENTICATED_BYTES + 32;

export interface AnchorFileOptions {
  readonly path: string;
  readonly kind: SealedKind;
  readonly fs: FileSystem;
  readonly keys: SnapshotKeys;
}

export class AnchorFile {
  readonly path: string;
  readonly #options: AnchorFileOptions;

  constructor(options: AnchorFileOptions) {
    this.path = options.path;
    this.#options = options;
  }

  /** `undefined` where there is none; words where what is there is not to be believed. */
  read(): FoundAnchor | string | undefined {
    const { fs, path, kind, keys } = this.#options;
    try {
      const bytes = fs.read(path, ANCHOR_BYTES);
      return bytes === undefined ? undefined : decode(bytes, kind, keys);
    } catch (cause) {
      return messageOf(cause);
    }
  }

  /** In place where it can be, which takes no space on a disk that may be full. Throws `STATE_UNWRITABLE` and what `SnapshotKeys.writer` throws. */
  write(anchor: Anchor): void {
    const { fs, path, kind, keys } = this.#options;
    const { id, writerKey } = keys.writer();
    const writer = new ByteWriter(ANCHOR_BYTES)
      .bytes(MAGIC)
      .u8(VERSION)
      .u8(KINDS.indexOf(kind))
      .u16(ANCHOR_BYTES)
      .bytes(fromHex(id))
      .u64(anchor.generation)
      .bytes(fromHex(anchor.newest))
      .bytes(fromHex(anchor.former))
      .bytes(fromHex(anchor.boot))
      .bytes(fromHex(anchor.stamp));
    const bytes = writer.bytes(macOf(writer.view(), writerKey)).finish();
    try {
      fs.writeOver(path, bytes);
    } catch {
      replace(fs, path, bytes);
    }
  }
}

/** Tells one start of the machine from another (proc(5)): what lay in RAM is gone then, and what claims to have lain there is a copy. */
export function readBootId(fs: FileSystem): string {
  const buffer = new Uint8Array(36);
  try {
    fs.readInto('/proc/sys/kernel/random/boot_id', buffer);
  } catch {
    return NONE;
  }
  const id = decodeUtf8(buffer)?.replaceAll('-', '') ?? '';
  return /^[0-9a-f]{32}$/.test(id) ? id : NONE;
}

function decode(bytes: Uint8Array, kind: SealedKind, keys: SnapshotKeys): FoundAnchor | string {
  const reader = new ByteReader(bytes);
  const magic = reader.bytes(MAGIC.length);
  const [version, found, length] = [reader.u8(), KINDS[reader.u8()], reader.u16()];
  const keyId = toHex(reader.bytes(8));
  const generation = reader.u64();
  const [newest = '', former = '', boot = '', stamp = ''] = [1, 2, 3, 4].map(() => toHex(reader.bytes(16)));
  const mac = reader.bytes(32);
  if (!reader.complete || !equalConstantTime(magic, MAGIC) || version !== VERSION || found !== kind)
    return 'it is damaged';
  const writerKey = writerKeyOf(keyId, keys);
  if (typeof writerKey === 'string') return writerKey;
  const authentic = equalConstantTime(macOf(bytes.subarray(0, AUTHENTICATED_BYTES), writerKey), mac);
  writerKey.dispose();
  if (length !== ANCHOR_BYTES || !authentic) return `no holder of the snapshot key ${keyId} wrote it`;
  return { keyId, generation, newest, former, boot, stamp };
}

/** Words where there is none. */
function writerKeyOf(id: string, keys: SnapshotKeys): Secret | string {
  try {
    return keys.writerKey(id);
  } catch (cause) {
    if (cause instanceof RekeycastError) return cause.message;
    throw cause;
  }
}

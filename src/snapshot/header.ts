import { createHash } from 'node:crypto';
import { macOf } from '../keyring/writer-key.ts';
import { ByteReader, ByteWriter, equalConstantTime, fromHex, toHex, utf8 } from '../util/bytes.ts';
import type { WallMillis } from '../util/clock.ts';
import type { FileSystem } from '../util/file-system.ts';
import type { Secret } from '../util/secret.ts';
import { SEALED_KEY_BYTES, STREAM_HEADER_BYTES } from '../util/sodium.ts';

/**
 * The head of a sealed file:
 *
 *   magic(4) version(1) kind(1) length(2) | key id(8) generation(8) created(6) notAfter(6) snapshot id(16) sealed key(80) stream header(24) |
 *   MAC(32) | checksum(8)
 *
 * The first four fields and the checksum over all before it are the same in every version, so that any version can tell
 * "damaged" from "newer than I am" and from "sealed to a key that I have not got". The checksum finds accidents only. What finds an
 * attacker is the MAC, HMAC-SHA-256 under the writer key over all before it: nobody else can make a head. And none can be given another body: its
 * data key is in the box, and the whole head is associated data of each record.
 */
export interface SealedHeader {
  readonly kind: SealedKind;
  /** Id of the snapshot key, in hex. */
  readonly keyId: string;
  readonly generation: number;
  readonly createdAt: WallMillis;
  /** Past this time the file is deleted unread; 0 where there is no such time. */
  readonly notAfter: WallMillis;
  /** 16 random bytes in hex: the same content, also when it is sealed anew to another key. */
  readonly id: string;
}

export type SealedKind = 'identity' | 'media';

export interface ParsedHeader extends SealedHeader {
  readonly version: number;
  readonly sealedKey: Uint8Array;
  readonly streamHeader: Uint8Array;
  readonly mac: Uint8Array;
  /** The head as it lies in the file. */
  readonly bytes: Uint8Array;
}

export type HeaderResult =
  | { readonly outcome: 'header'; readonly header: ParsedHeader }
  | { readonly outcome: 'newer'; readonly version: number }
  /** Of a format that did not show who wrote it. */
  | { readonly outcome: 'outdated'; readonly version: number }
  | { readonly outcome: 'damaged'; readonly damage: string };

export const FORMAT_VERSION = 4;
/** The first one that shows who wrote it (docs/decisions/0005). Heads are the same since; records say themselves of which format they are. */
const OLDEST_VERSION = 2;
const KEY_ID_BYTES = 8;
const SNAPSHOT_ID_BYTES = 16;
const MAC_BYTES = 32;
const CHECKSUM_BYTES = 8;
const AUTHENTICATED_BYTES =
  8 + KEY_ID_BYTES + 8 + 6 + 6 + SNAPSHOT_ID_BYTES + SEALED_KEY_BYTES + STREAM_HEADER_BYTES;
export const HEADER_BYTES = AUTHENTICATED_BYTES + MAC_BYTES + CHECKSUM_BYTES;

/** Largest sealed file that is read. */
export const MAX_SEALED_BYTES = 64 * 1024 * 1024;

const MAGIC = utf8('RKCS');
/** A file written so much later than now means that the clock was set back. */
const CLOCK_SLACK_MS = 5_000;
const KINDS: readonly SealedKind[] = ['identity', 'media'];

export function encodeHeader(
  header: SealedHeader,
  sealedKey: Uint8Array,
  streamHeader: Uint8Array,
  writerKey: Secret,
): Uint8Array {
  const writer = new ByteWriter(HEADER_BYTES)
    .bytes(MAGIC)
    .u8(FORMAT_VERSION)
    .u8(KINDS.indexOf(header.kind))
    .u16(HEADER_BYTES)
    .bytes(fromHex(header.keyId))
    .u64(header.generation)
    .u48(Math.floor(header.createdAt))
    .u48(Math.floor(header.notAfter))
    .bytes(fromHex(header.id))
    .bytes(sealedKey)
    .bytes(streamHeader);
  writer.bytes(macOf(writer.view(), writerKey));
  return writer.bytes(checksum(writer.view())).finish();
}

/** Reads a head without opening anything. */
export function parseHeader(bytes: Uint8Array): HeaderResult {
  const damaged = (damage: string): HeaderResult => ({ outcome: 'damaged', damage });
  const reader = new ByteReader(bytes);
  const magic = reader.bytes(MAGIC.length);
  const version = reader.u8();
  const kind = KINDS[reader.u8()];
  const length = reader.u16();
  if (reader.failed) return damaged('it is shorter than its header');
  if (!equalConstantTime(magic, MAGIC)) return damaged('it does not begin like a sealed file');
  if (length < 8 + CHECKSUM_BYTES || length > bytes.length) return damaged('its header is cut off');
  const body = bytes.subarray(0, length - CHECKSUM_BYTES);
  if (!equalConstantTime(checksum(body), bytes.subarray(body.length, length)))
    return damaged('its header is damaged');
  if (version > FORMAT_VERSION) return { outcome: 'newer', version };
  if (version < OLDEST_VERSION) return { outcome: 'outdated', version };
  const header: ParsedHeader = {
    version,
    kind: kind ?? 'identity',
    keyId: toHex(reader.bytes(KEY_ID_BYTES)),
    generation: reader.u64(),
    createdAt: reader.u48(),
    notAfter: reader.u48(),
    id: toHex(reader.bytes(SNAPSHOT_ID_BYTES)),
    sealedKey: reader.bytes(SEALED_KEY_BYTES),
    streamHeader: reader.bytes(STREAM_HEADER_BYTES),
    mac: reader.bytes(MAC_BYTES),
    bytes: bytes.subarray(0, length),
  };
  if (kind === undefined || length !== HEADER_BYTES || reader.failed)
    return damaged('its header makes no sense');
  return { outcome: 'header', header };
}

/** Whether a holder of the writer key made this head. */
export const isWrittenWith = (header: ParsedHeader, writerKey: Secret): boolean =>
  equalConstantTime(macOf(header.bytes.subarray(0, AUTHENTICATED_BYTES), writerKey), header.mac);

/**
 * The head of a file, which anybody may have made: for people. `undefined` where there is none, or the file is not whole enough to have
 * one. Throws what reading throws.
 */
export function readHeader(fs: FileSystem, path: string): ParsedHeader | undefined {
  try {
    const bytes = fs.read(path, MAX_SEALED_BYTES);
    const parsed = bytes === undefined ? undefined : parseHeader(bytes);
    return parsed?.outcome === 'header' ? parsed.header : undefined;
  } catch (cause) {
    // What lies there is no file, or none of ours.
    if (cause instanceof RangeError) return undefined;
    throw cause;
  }
}

/** What it says to people, without what opens the file and what shows who wrote it. */
export function publicPart(header: ParsedHeader): SealedHeader {
  const { kind, keyId, generation, createdAt, notAfter, id } = header;
  return { kind, keyId, generation, createdAt, notAfter, id };
}

/** Whether a media snapshot is past its deadline. Where the clock was set back since it was written, the deadline cannot be trusted. */
export const isExpired = ({ createdAt, notAfter }: SealedHeader, now: WallMillis): boolean =>
  now > notAfter || now < createdAt - CLOCK_SLACK_MS;

function checksum(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest().subarray(0, CHECKSUM_BYTES);
}

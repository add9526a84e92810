import { ByteReader } from '../../../util/bytes.ts';
import { RANDOM_BYTES } from './client-hello.ts';

const MAX_SESSION_ID_BYTES = 32;

export interface ServerHello {
  readonly version: number;
  readonly random: Uint8Array;
  readonly suite: number;
  readonly compression: number;
  /** Extension bodies by type. */
  readonly extensions: ReadonlyMap<number, Uint8Array>;
}

/** RFC 5246 §7.4.1.3. The session id is the server's affair: nothing of ours is resumed. */
export function decodeServerHello(body: Uint8Array): ServerHello | undefined {
  const reader = new ByteReader(body);
  const version = reader.u16();
  const random = reader.bytes(RANDOM_BYTES).slice();
  const sessionId = reader.vector(1);
  const suite = reader.u16();
  const compression = reader.u8();
  // Without extensions the block may be missing altogether.
  const extensions = decodeExtensions(reader.remaining > 0 ? reader.vector(2) : new Uint8Array(0));
  if (!reader.complete || sessionId.length > MAX_SESSION_ID_BYTES || extensions === undefined)
    return undefined;
  return { version, random, suite, compression, extensions };
}

function decodeExtensions(block: Uint8Array): Map<number, Uint8Array> | undefined {
  const reader = new ByteReader(block);
  const extensions = new Map<number, Uint8Array>();
  while (reader.remaining > 0) {
    const type = reader.u16();
    const body = reader.vector(2);
    // RFC 5246 §7.4.1.4: there MUST NOT be two of a type.
    if (reader.failed || extensions.has(type)) return undefined;
    extensions.set(type, body.slice());
  }
  return extensions;
}

/** The use_srtp answer (RFC 5764 §4.1.1): a server selects exactly one profile. */
export function decodeUseSrtp(
  body: Uint8Array,
): { readonly profiles: readonly number[]; readonly mki: Uint8Array } | undefined {
  const reader = new ByteReader(body);
  const list = new ByteReader(reader.vector(2));
  const mki = reader.vector(1);
  const profiles: number[] = [];
  while (list.remaining > 0) profiles.push(list.u16());
  return reader.complete && list.complete ? { profiles, mki } : undefined;
}

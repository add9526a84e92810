import { ByteReader, ByteWriter } from '../../src/util/bytes.ts';

/** The server's half of the handshake codecs, written for tests: what the client only encodes is decoded here, and the reverse. */

export interface DecodedClientHello {
  readonly version: number;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly cookie: Uint8Array;
  readonly suites: readonly number[];
  readonly compressions: readonly number[];
  readonly extensions: ReadonlyMap<number, Uint8Array>;
}

export function decodeClientHello(body: Uint8Array): DecodedClientHello | undefined {
  const reader = new ByteReader(body);
  const version = reader.u16();
  const random = reader.bytes(32).slice();
  const sessionId = reader.vector(1);
  const cookie = reader.vector(1).slice();
  const suites = numbers(reader.vector(2));
  const compressions = [...reader.vector(1)];
  const block = new ByteReader(reader.vector(2));
  const extensions = new Map<number, Uint8Array>();
  while (block.remaining > 0) extensions.set(block.u16(), block.vector(2).slice());
  if (!reader.complete || !block.complete) return undefined;
  return { version, random, sessionId, cookie, suites, compressions, extensions };
}

/** Numbers of 16 bits, to the end. */
export function numbers(list: Uint8Array): number[] {
  const reader = new ByteReader(list);
  const values: number[] = [];
  while (reader.remaining > 0) values.push(reader.u16());
  return values;
}

export function offeredProfiles(useSrtp: Uint8Array): number[] {
  return numbers(new ByteReader(useSrtp).vector(2));
}

export interface EncodableServerHello {
  readonly version: number;
  readonly random: Uint8Array;
  readonly sessionId?: Uint8Array;
  readonly suite: number;
  readonly compression: number;
  readonly extensions: readonly (readonly [type: number, body: Uint8Array])[];
}

export function encodeServerHello(hello: EncodableServerHello): Uint8Array {
  const writer = new ByteWriter()
    .u16(hello.version)
    .bytes(hello.random)
    .vector(1, hello.sessionId ?? new Uint8Array(0))
    .u16(hello.suite)
    .u8(hello.compression);
  return writer
    .nested(2, (block) => hello.extensions.forEach(([type, body]) => void block.u16(type).vector(2, body)))
    .finish();
}

export function encodeUseSrtp(profiles: readonly number[], mki: Uint8Array = new Uint8Array(0)): Uint8Array {
  return new ByteWriter()
    .nested(2, (list) => profiles.forEach((id) => void list.u16(id)))
    .vector(1, mki)
    .finish();
}

export function encodeHelloVerifyRequest(cookie: Uint8Array): Uint8Array {
  return new ByteWriter().u16(0xfeff).vector(1, cookie).finish();
}

export function encodeEcdhParams(group: number, publicKey: Uint8Array): Uint8Array {
  return new ByteWriter().u8(3).u16(group).vector(1, publicKey).finish();
}

export function encodeServerKeyExchange(
  params: Uint8Array,
  scheme: number,
  signature: Uint8Array,
): Uint8Array {
  return new ByteWriter().bytes(params).u16(scheme).vector(2, signature).finish();
}

export function encodeCertificateRequest(
  certificateTypes: readonly number[],
  schemes: readonly number[],
  authorities: Uint8Array = new Uint8Array(0),
): Uint8Array {
  return new ByteWriter()
    .vector(1, Uint8Array.from(certificateTypes))
    .nested(2, (list) => schemes.forEach((scheme) => void list.u16(scheme)))
    .vector(2, authorities)
    .finish();
}

export function decodeCertificateVerify(
  body: Uint8Array,
): { readonly scheme: number; readonly signature: Uint8Array } | undefined {
  const reader = new ByteReader(body);
  const scheme = reader.u16();
  const signature = reader.vector(2);
  return reader.complete ? { scheme, signature } : undefined;
}

import { isIP } from 'node:net';
import type { MediaKind } from '../../room/media.ts';
import type { RoomSourceState, RoomState, RoomStreamState } from '../../room/state.ts';
import type { Address } from '../../transport/address.ts';
import { type ByteReader, ByteWriter, decodeUtf8, utf8 } from '../../util/bytes.ts';

/** The first byte of every record. `session2`: a session as format 2 had it. `peer3`: a peer in a record of its own, as up to format 3. */
export const RECORD = { server: 1, room: 2, session2: 3, peer3: 4, session: 5, peers: 6 } as const;

/** Bytes of a session id. */
export const SESSION_ID_BYTES = 8;

/** RFC 3711 §3.3.1: rollover counter and sequence number make a 48-bit index; a limit may be one past the last. */
export const MAX_INDEX = 2 ** 48;

const MAX_ROOM_STREAMS = 16;
const MAX_ADDRESS_CHARACTERS = 64;
const KINDS: readonly MediaKind[] = ['audio', 'video'];
const PRODUCER = /^([0-9a-f]{16}\/\d{1,10})?$/;

/**
 * A whole number of at most 53 bits and either sign. Throws `RangeError` for anything else: a limit that was
 * rounded or cut would let an index be used twice.
 */
function writeInteger(writer: ByteWriter, value: number): void {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a whole number`);
  writer.u8(value < 0 ? 1 : 0).u64(Math.abs(value));
}

function readInteger(reader: ByteReader): number {
  const sign = reader.u8();
  const size = reader.u64();
  if (sign > 1 || (sign === 1 && size === 0)) reader.fail();
  return sign === 1 ? -size : size;
}

/** A whole number below 2^53 that is not negative. */
export function writeCount(writer: ByteWriter, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is not a count`);
  writer.u64(value);
}

/** Wall-clock time; fractions of a millisecond are dropped. */
export function writeTime(writer: ByteWriter, value: number): void {
  if (!(value >= 0 && value < 2 ** 48)) throw new RangeError(`${value} is not a time`);
  writer.u48(Math.floor(value));
}

export function writeUint32(writer: ByteWriter, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff)
    throw new RangeError(`${value} is not 32 bits`);
  writer.u32(value);
}

/** Text of the form that it is read with. Throws `RangeError` for other text. */
export function writeText(writer: ByteWriter, text: string, form: RegExp): void {
  if (!form.test(text)) throw new RangeError(`text does not have the form ${form}`);
  writer.vector(2, utf8(text));
}

/** Fails the reader where the text has not the expected form. */
export function readText(reader: ByteReader, form: RegExp): string {
  const text = decodeUtf8(reader.vector(2));
  if (text !== undefined && form.test(text)) return text;
  reader.fail();
  return '';
}

/** A byte that says whether something follows. */
export function readPresence(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) reader.fail();
  return value === 1;
}

export function writeAddress(writer: ByteWriter, address: Address): void {
  let encoded = addresses.get(address);
  if (encoded === undefined) {
    if (!isAddress(address)) throw new RangeError('not a transport address');
    encoded = new ByteWriter(MAX_ADDRESS_CHARACTERS).vector(1, utf8(address.ip)).u16(address.port).finish();
    addresses.set(address, encoded);
  }
  writer.bytes(encoded);
}

/** An address is written five times a second for as long as somebody is there, and never changes. */
const addresses = new WeakMap<Address, Uint8Array>();

export function readAddress(reader: ByteReader): Address {
  const ip = decodeUtf8(reader.vector(1)) ?? '';
  const port = reader.u16();
  if (!isAddress({ ip, port })) reader.fail();
  return { ip, port };
}

const isAddress = ({ ip, port }: Address): boolean =>
  ip.length <= MAX_ADDRESS_CHARACTERS && isIP(ip) !== 0 && port > 0 && port <= 0xffff;

export function writeRoom(writer: ByteWriter, room: RoomState): void {
  if (room.streams.length > MAX_ROOM_STREAMS)
    throw new RangeError(`a room has at most ${MAX_ROOM_STREAMS} streams`);
  writeText(writer, room.producer, PRODUCER);
  writer.u8(room.streams.length);
  for (const stream of room.streams) writeStream(writer, stream);
}

export function readRoom(reader: ByteReader): RoomState {
  const producer = readText(reader, PRODUCER);
  const count = reader.u8();
  if (count > MAX_ROOM_STREAMS) reader.fail();
  const streams: RoomStreamState[] = [];
  for (let i = 0; i < count && !reader.failed; i++) streams.push(readStream(reader));
  return { producer, streams };
}

function writeStream(writer: ByteWriter, stream: RoomStreamState): void {
  writer.u8(KINDS.indexOf(stream.kind));
  writeUint32(writer, stream.ssrc);
  writeUint32(writer, stream.rtxSsrc);
  writeCount(writer, stream.limit);
  writeUint32(writer, stream.timestamp);
  writeTime(writer, stream.timestampAt);
  writer.u8(stream.source === undefined ? 0 : 1);
  if (stream.source === undefined) return;
  writeUint32(writer, stream.source.ssrc);
  writeInteger(writer, stream.source.highest);
  writeInteger(writer, stream.source.indexOffset);
  writeInteger(writer, stream.source.timestampOffset);
}

function readStream(reader: ByteReader): RoomStreamState {
  const kind = KINDS[reader.u8()];
  const [ssrc, rtxSsrc, limit] = [reader.u32(), reader.u32(), reader.u64()];
  // The next limit is above this one: beyond the last index there is none that could be written.
  if (kind === undefined || limit > MAX_INDEX) reader.fail();
  return {
    kind: kind ?? 'audio',
    ssrc,
    rtxSsrc,
    limit,
    timestamp: reader.u32(),
    timestampAt: reader.u48(),
    source: readPresence(reader) ? readSource(reader) : undefined,
  };
}

function readSource(reader: ByteReader): RoomSourceState {
  return {
    ssrc: reader.u32(),
    highest: readInteger(reader),
    indexOffset: readInteger(reader),
    timestampOffset: readInteger(reader),
  };
}

import type { ByteReader, ByteWriter } from '../util/bytes.ts';
import { nearestToZero } from '../util/modular.ts';

/**
 * Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1): when each
 * packet of a connection arrived, by its transport-wide sequence number.
 */
export interface TransportCongestion {
  readonly type: 'transportCongestion';
  readonly sender: number;
  readonly media: number;
  readonly baseSequence: number;
  /** Signed 24 bits, in multiples of 64 ms. */
  readonly referenceTime: number;
  /** Counts the feedback packets, modulo 256. */
  readonly feedbackCount: number;
  /**
   * For each sequence number from the base on: ticks of 250 µs since the arrival before (the first: since the reference
   * time), or `undefined` where the packet has not arrived.
   */
  readonly deltas: readonly (number | undefined)[];
}

export const REFERENCE_TIME_MS = 64;
export const DELTA_TICK_MS = 0.25;
export const MIN_DELTA_TICKS = -(2 ** 15);
export const MAX_DELTA_TICKS = 2 ** 15 - 1;
/** Keeps a feedback packet below an MTU at two bytes a delta. */
export const MAX_FEEDBACK_PACKETS = 450;
/** No more statuses are read from one packet: a run costs two bytes, whatever its length. */
const MAX_STATUSES = 2048;

/** §3.1.1; the value is also the number of bytes of the delta. */
const SYMBOL = { notReceived: 0, smallDelta: 1, largeDelta: 2, reserved: 3 } as const;
const MAX_RUN = 2 ** 13 - 1;
const ONE_BIT_SYMBOLS = 14;
const TWO_BIT_SYMBOLS = 7;

export function parseTransportCongestion(
  sender: number,
  media: number,
  reader: ByteReader,
): TransportCongestion | undefined {
  const baseSequence = reader.u16();
  const statusCount = reader.u16();
  const reference = reader.u24();
  const feedbackCount = reader.u8();
  const symbols = parseChunks(statusCount, reader);
  if (symbols === undefined) return undefined;
  const deltas: (number | undefined)[] = [];
  for (const symbol of symbols) {
    if (symbol === SYMBOL.notReceived) deltas.push(undefined);
    else if (symbol === SYMBOL.smallDelta) deltas.push(reader.u8());
    else if (symbol === SYMBOL.largeDelta) deltas.push(nearestToZero(reader.u16(), 2 ** 16));
    else return undefined;
  }
  // §3.1: zero padding to the next 32-bit boundary, where the RTCP padding bit did not take it away.
  if (reader.failed || reader.remaining > 3) return undefined;
  return {
    type: 'transportCongestion',
    sender,
    media,
    baseSequence,
    referenceTime: nearestToZero(reference, 2 ** 24),
    feedbackCount,
    deltas,
  };
}

export function writeTransportCongestion(writer: ByteWriter, packet: TransportCongestion): void {
  const symbols = packet.deltas.map(symbolOf);
  writer.u16(packet.baseSequence).u16(symbols.length);
  writer.u24(packet.referenceTime & 0xffffff).u8(packet.feedbackCount);
  for (let at = 0; at < symbols.length; ) at += writeChunk(writer, symbols, at);
  for (const delta of packet.deltas) {
    if (delta === undefined) continue;
    if (symbolOf(delta) === SYMBOL.smallDelta) writer.u8(delta);
    else writer.u16(delta & 0xffff);
  }
}

function parseChunks(statusCount: number, reader: ByteReader): readonly number[] | undefined {
  if (statusCount === 0 || statusCount > MAX_STATUSES) return undefined;
  const symbols: number[] = [];
  while (symbols.length < statusCount) {
    const chunk = reader.u16();
    if (reader.failed) return undefined;
    const left = statusCount - symbols.length;
    if (chunk >> 15 === 0) {
      const run = Math.min(chunk & MAX_RUN, left);
      if (run === 0) return undefined;
      for (let i = 0; i < run; i++) symbols.push(chunk >> 13);
    } else if ((chunk & 0x4000) === 0) {
      for (let i = 0; i < Math.min(ONE_BIT_SYMBOLS, left); i++) symbols.push((chunk >> (13 - i)) & 1);
    } else {
      for (let i = 0; i < Math.min(TWO_BIT_SYMBOLS, left); i++) symbols.push((chunk >> (12 - 2 * i)) & 3);
    }
  }
  return symbols;
}

/** Writes the chunk that says most from `at` on (§3.1.3, §3.1.4) and returns how many symbols it holds. */
function writeChunk(writer: ByteWriter, symbols: readonly number[], at: number): number {
  const symbol = symbols[at]!;
  let run = 1;
  while (run < MAX_RUN && symbols[at + run] === symbol) run++;
  const oneBit = symbols.slice(at, at + ONE_BIT_SYMBOLS);
  const fitsOneBit = !oneBit.includes(SYMBOL.largeDelta);
  if (run >= (fitsOneBit ? ONE_BIT_SYMBOLS : TWO_BIT_SYMBOLS) || at + run === symbols.length) {
    writer.u16((symbol << 13) | run);
    return run;
  }
  if (fitsOneBit) {
    writer.u16(oneBit.reduce((chunk, value, i) => chunk | (value << (13 - i)), 0x8000));
    return oneBit.length;
  }
  const twoBit = symbols.slice(at, at + TWO_BIT_SYMBOLS);
  writer.u16(twoBit.reduce((chunk, value, i) => chunk | (value << (12 - 2 * i)), 0xc000));
  return twoBit.length;
}

function symbolOf(delta: number | undefined): number {
  if (delta === undefined) return SYMBOL.notReceived;
  if (delta < MIN_DELTA_TICKS || delta > MAX_DELTA_TICKS) throw new RangeError('arrival delta out of range');
  return delta >= 0 && delta <= 0xff ? SYMBOL.smallDelta : SYMBOL.largeDelta;
}

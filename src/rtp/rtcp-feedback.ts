import { ByteReader, ByteWriter } from '../util/bytes.ts';
import {
  parseTransportCongestion,
  type TransportCongestion,
  writeTransportCongestion,
} from './transport-congestion.ts';

/** RFC 4585 §6.1: transport-layer and payload-specific feedback. */
export type FeedbackPacket = Nack | PictureLossIndication | FullIntraRequest | Remb | TransportCongestion;

/** RFC 4585 §6.2.1: asks for packets again. */
interface Nack {
  readonly type: 'nack';
  readonly sender: number;
  readonly media: number;
  /** 16-bit sequence numbers; encoded best when they ascend. */
  readonly sequences: readonly number[];
}

/** RFC 4585 §6.3.1: asks for a keyframe. */
interface PictureLossIndication {
  readonly type: 'pli';
  readonly sender: number;
  readonly media: number;
}

/** RFC 5104 §4.3.1: commands a keyframe; the same `sequence` again is the same command. */
interface FullIntraRequest {
  readonly type: 'fir';
  readonly sender: number;
  readonly entries: readonly { readonly ssrc: number; readonly sequence: number }[];
}

/** draft-alvestrand-rmcat-remb-03 §2.2: what a receiver thinks it can take. */
interface Remb {
  readonly type: 'remb';
  readonly sender: number;
  /** In bits per second, to 18 significant bits. */
  readonly bitrate: number;
  readonly ssrcs: readonly number[];
}

/** No more sequence numbers are read from, or written to, one NACK. */
export const MAX_NACK_SEQUENCES = 2048;

const FORMAT = { nack: 1, transportCongestion: 15, pli: 1, fir: 4, applicationLayer: 15 } as const;
const REMB_IDENTIFIER = 0x52454d42;
const REMB_MANTISSA_BITS = 18;

export function parseTransportLayerFeedback(format: number, body: Uint8Array): FeedbackPacket | undefined {
  const reader = new ByteReader(body);
  const sender = reader.u32();
  const media = reader.u32();
  if (reader.failed) return undefined;
  if (format === FORMAT.nack) return parseNack(sender, media, reader);
  if (format === FORMAT.transportCongestion) return parseTransportCongestion(sender, media, reader);
  return undefined;
}

export function parsePayloadFeedback(format: number, body: Uint8Array): FeedbackPacket | undefined {
  const reader = new ByteReader(body);
  const sender = reader.u32();
  const media = reader.u32();
  if (reader.failed) return undefined;
  if (format === FORMAT.pli) return reader.complete ? { type: 'pli', sender, media } : undefined;
  if (format === FORMAT.fir) return parseFullIntraRequest(sender, reader);
  if (format === FORMAT.applicationLayer) return parseRemb(sender, reader);
  return undefined;
}

export function writeFeedback(packet: FeedbackPacket): { count: number; body: Uint8Array } {
  const writer = new ByteWriter(64).u32(packet.sender);
  switch (packet.type) {
    case 'nack':
      writeNack(writer.u32(packet.media), packet.sequences);
      return { count: FORMAT.nack, body: writer.finish() };
    case 'transportCongestion':
      writeTransportCongestion(writer.u32(packet.media), packet);
      return { count: FORMAT.transportCongestion, body: writer.finish() };
    case 'pli':
      return { count: FORMAT.pli, body: writer.u32(packet.media).finish() };
    case 'fir':
      // RFC 5104 §4.3.1.2: the media source is in the entries, the common field is zero.
      writer.u32(0);
      for (const { ssrc, sequence } of packet.entries) writer.u32(ssrc).u8(sequence).u24(0);
      return { count: FORMAT.fir, body: writer.finish() };
    case 'remb':
      writeRemb(writer.u32(0), packet);
      return { count: FORMAT.applicationLayer, body: writer.finish() };
  }
}

function parseNack(sender: number, media: number, reader: ByteReader): Nack | undefined {
  const sequences: number[] = [];
  while (reader.remaining > 0) {
    const first = reader.u16();
    const following = reader.u16();
    if (reader.failed) return undefined;
    if (sequences.length + 17 > MAX_NACK_SEQUENCES) break;
    sequences.push(first);
    for (let bit = 0; bit < 16; bit++) {
      if ((following & (1 << bit)) !== 0) sequences.push((first + bit + 1) & 0xffff);
    }
  }
  return sequences.length === 0 ? undefined : { type: 'nack', sender, media, sequences };
}

function writeNack(writer: ByteWriter, sequences: readonly number[]): void {
  for (let i = 0; i < sequences.length; ) {
    const first = sequences[i++]!;
    let following = 0;
    for (; i < sequences.length; i++) {
      const distance = (sequences[i]! - first) & 0xffff;
      if (distance < 1 || distance > 16) break;
      following |= 1 << (distance - 1);
    }
    writer.u16(first).u16(following);
  }
}

function parseFullIntraRequest(sender: number, reader: ByteReader): FullIntraRequest | undefined {
  const entries: { ssrc: number; sequence: number }[] = [];
  while (reader.remaining > 0) {
    const ssrc = reader.u32();
    const sequence = reader.u8();
    reader.u24();
    if (reader.failed) return undefined;
    entries.push({ ssrc, sequence });
  }
  return entries.length === 0 ? undefined : { type: 'fir', sender, entries };
}

function parseRemb(sender: number, reader: ByteReader): Remb | undefined {
  if (reader.u32() !== REMB_IDENTIFIER) return undefined;
  const count = reader.u8();
  const packed = reader.u24();
  const ssrcs: number[] = [];
  for (let i = 0; i < count; i++) ssrcs.push(reader.u32());
  const bitrate = (packed % 2 ** REMB_MANTISSA_BITS) * 2 ** (packed >> REMB_MANTISSA_BITS);
  return reader.complete ? { type: 'remb', sender, bitrate, ssrcs } : undefined;
}

function writeRemb(writer: ByteWriter, packet: Remb): void {
  let exponent = 0;
  while (packet.bitrate / 2 ** exponent >= 2 ** REMB_MANTISSA_BITS) exponent++;
  const mantissa = Math.floor(packet.bitrate / 2 ** exponent);
  writer.u32(REMB_IDENTIFIER).u8(packet.ssrcs.length);
  writer.u24(exponent * 2 ** REMB_MANTISSA_BITS + mantissa);
  for (const ssrc of packet.ssrcs) writer.u32(ssrc);
}

import { isDeepStrictEqual } from 'node:util';
import { parseRtcp, type RtcpPacket, writeRtcp } from '../../../src/rtp/rtcp.ts';
import { MAX_NACK_SEQUENCES } from '../../../src/rtp/rtcp-feedback.ts';
import { ByteReader, concat, fromHex } from '../../../src/util/bytes.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { bigEndian, mutateBytes, mutateList } from '../mutate.ts';
import type { Random } from '../random.ts';

const REPORT = {
  ssrc: 0x1111,
  fractionLost: 3,
  lost: -2,
  highestSequence: 70_000,
  jitter: 17,
  lastReport: 0x12345678,
  delaySinceLastReport: 65_536,
};
/** What is read of one transport-wide feedback packet. */
const MAX_STATUSES = 2_048;

export const SAMPLE_RTCP: readonly RtcpPacket[] = [
  {
    type: 'senderReport',
    ssrc: 0x1111,
    ntp: { seconds: 0xe0000000, fraction: 0x80000000 },
    rtpTimestamp: 90_000,
    packets: 100,
    octets: 100_000,
    reports: [REPORT],
  },
  { type: 'receiverReport', ssrc: 7, reports: [REPORT, { ...REPORT, ssrc: 0x2222 }] },
  {
    type: 'sourceDescription',
    chunks: [
      { ssrc: 7, cname: 'someone' },
      { ssrc: 8, cname: undefined },
    ],
  },
  { type: 'bye', ssrcs: [7, 8] },
  { type: 'nack', sender: 7, media: 0x1111, sequences: [5, 6, 9, 65_530] },
  { type: 'pli', sender: 7, media: 0x1111 },
  { type: 'fir', sender: 7, entries: [{ ssrc: 0x1111, sequence: 3 }] },
  { type: 'remb', sender: 7, bitrate: 1_000_000, ssrcs: [0x1111] },
  {
    type: 'transportCongestion',
    sender: 7,
    media: 0x1111,
    baseSequence: 65_530,
    referenceTime: -5,
    feedbackCount: 9,
    deltas: [0, 255, 256, undefined, -1, 20, ...new Array(40).fill(undefined), 1],
  },
  { type: 'unknown', packetType: 207, count: 3, body: fromHex('0102030405060708') },
];

export const rtcp: FuzzTarget = {
  id: 'fuzz-rtcp',
  claim:
    'a compound that parses says the same when it is written and parsed again, and no packet in it grows beyond its bytes',
  inputs: 24_000,
  reaches: ['malformed', ...SAMPLE_RTCP.map(({ type }) => type)],
  seeds: () => [...SAMPLE_RTCP.map((packet) => writeRtcp([packet])), writeRtcp(SAMPLE_RTCP)],
  mutate: mutateRtcp,
  run: (input) => {
    const packets = parseRtcp(input);
    if (packets === undefined) return 'malformed';
    for (const packet of packets) checkBounds(packet, input.length);
    const again = parseRtcp(writeRtcp(packets));
    if (!isDeepStrictEqual(again?.map(comparable), packets.map(comparable)))
      throw new Error(
        `${JSON.stringify(packets)} is another compound when it is written: ${JSON.stringify(again)}`,
      );
    const types = new Set(packets.map(({ type }) => type));
    return types.size === 1 ? packets[0]!.type : `${packets[0]!.type} and others`;
  },
};

/** Changes packets of a compound, and mostly makes their lengths right. */
export function mutateRtcp(input: Uint8Array, random: Random): Uint8Array {
  const packets = mutateList<Uint8Array>(
    split(input),
    random,
    (packet) => mutateBytes(packet, random, packet),
    () => writeRtcp([random.pick(SAMPLE_RTCP)]),
  );
  return concat(...packets.map((packet) => (random.chance(0.9) ? framed(packet) : packet)));
}

function split(input: Uint8Array): readonly Uint8Array[] {
  const reader = new ByteReader(input);
  const packets: Uint8Array[] = [];
  while (reader.remaining >= 4) {
    const start = reader.offset;
    reader.u16();
    reader.bytes(Math.min(reader.u16() * 4, reader.remaining));
    packets.push(input.subarray(start, reader.offset));
  }
  return packets;
}

/** Of whole words, with version 2 and the length that it has. */
function framed(packet: Uint8Array): Uint8Array {
  const whole = concat(packet, new Uint8Array(4)).subarray(
    0,
    Math.max(4, packet.length - (packet.length % 4)),
  );
  return concat(
    Uint8Array.of((whole[0]! & 0x3f) | 0x80, whole[1]!),
    bigEndian(whole.length / 4 - 1, 2),
    whole.subarray(4),
  );
}

function checkBounds(packet: RtcpPacket, bytes: number): void {
  if (packet.type === 'nack' && packet.sequences.length > Math.min(MAX_NACK_SEQUENCES, bytes * 5))
    throw new Error('a NACK grows beyond its limit');
  if (packet.type === 'nack' && packet.sequences.some((number) => number > 0xffff))
    throw new Error('a sequence number of more than 16 bits');
  if (packet.type === 'transportCongestion' && packet.deltas.length > MAX_STATUSES)
    throw new Error('feedback grows beyond its limit');
}

/** A NACK is a set, and reading one ends near its limit; all else is what it is. */
function comparable(packet: RtcpPacket): unknown {
  if (packet.type !== 'nack') return packet;
  const numbers = [...new Set(packet.sequences)].sort((a, b) => a - b);
  return { ...packet, sequences: numbers.length > MAX_NACK_SEQUENCES / 2 ? 'many' : numbers };
}

import { classifyDatagram } from '../../../src/transport/demux.ts';
import type { FuzzTarget } from '../fuzz.ts';

export const demux: FuzzTarget = {
  id: 'fuzz-demux',
  claim: 'a datagram is of one kind by its first two bytes, as RFC 7983 and RFC 5761 have them, or dropped',
  inputs: 8_000,
  reaches: ['stun', 'dtls', 'srtp', 'srtcp', 'dropped'],
  seeds: () =>
    [0x00, 0x01, 0x03, 0x04, 0x14, 0x16, 0x3f, 0x40, 0x80, 0xbf, 0xc0, 0xff].map((first) =>
      Uint8Array.of(first, first === 0x80 ? 200 : 96, 0, 0),
    ),
  run: (input) => {
    const kind = classifyDatagram(input);
    if (kind !== expected(input[0], input[1])) throw new Error(`taken for ${kind}`);
    return kind ?? 'dropped';
  },
};

/** RFC 7983 §7 with RFC 5761 §4, written a second time. */
function expected(first: number | undefined, second: number | undefined): string | undefined {
  if (first === undefined || second === undefined) return undefined;
  const isRtcp = (second & 0x7f) >= 64 && (second & 0x7f) < 96 && second >= 128;
  const ranges: readonly (readonly [low: number, high: number, kind: string])[] = [
    [0, 3, 'stun'],
    [20, 63, 'dtls'],
    [128, 191, isRtcp ? 'srtcp' : 'srtp'],
  ];
  return ranges.find(([low, high]) => first >= low && first <= high)?.[2];
}

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RtcpHeader, TransportWideCC } from 'werift';
import { parseRtcp, writeRtcp } from '../../../src/rtp/rtcp.ts';
import type { TransportCongestion } from '../../../src/rtp/transport-congestion.ts';
import { bufferOf, fromHex, toHex } from '../../../src/util/bytes.ts';

const feedback = (deltas: readonly (number | undefined)[]): TransportCongestion => ({
  type: 'transportCongestion',
  sender: 1,
  media: 0xdd586eb6,
  baseSequence: 1,
  referenceTime: 0x5e9110,
  feedbackCount: 0,
  deltas,
});

const chunksOf = (deltas: readonly (number | undefined)[], chunks: number): string =>
  toHex(writeRtcp([feedback(deltas)]).subarray(20, 20 + 2 * chunks));

const times = (count: number, delta: number | undefined): (number | undefined)[] =>
  new Array<number | undefined>(count).fill(delta);

/** As libwebrtc wrote it: nine packets, run length, RTCP padding (a capture of the webrtc-analysis project). */
const CAPTURED = 'afcd000700000001dd586eb6000100095e911000200' + '91c0c2c38000400081801';

describe('transport-wide congestion feedback', () => {
  it('reads a packet that libwebrtc wrote, and writes the same bytes', () => {
    const packet = feedback([0x1c, 0x0c, 0x2c, 0x38, 0, 4, 0, 8, 0x18]);
    expect(parseRtcp(fromHex(CAPTURED))).toEqual([packet]);
    expect(toHex(writeRtcp([packet]))).toBe(CAPTURED);
  });

  it('says long runs in one chunk (§3.1.3: 221 lost are 00dd)', () => {
    expect(chunksOf([...times(221, undefined), 0], 1)).toBe('00dd');
  });

  it('says a mix of lost and small in 14 one-bit symbols (§3.1.4)', () => {
    const deltas = [undefined, 1, 1, 1, 1, 1, undefined, undefined, undefined, 1, 1, 1, undefined, undefined];
    expect(chunksOf([...deltas, 1], 1)).toBe('9f1c');
  });

  it('says a mix with large deltas in 7 two-bit symbols (§3.1.4)', () => {
    const deltas = [undefined, 256, 1, 1, 1, undefined, undefined];
    // 11 00 10 01 01 01 00 00
    expect(chunksOf([...deltas, 1, 1], 1)).toBe('c950');
  });

  it('writes negative and long deltas in two bytes', () => {
    const bytes = writeRtcp([feedback([-1, 256])]);
    expect(toHex(bytes.subarray(20))).toBe('4002' + 'ffff' + '0100' + '0002');
  });

  it('means the same to an independent reader', () => {
    const delta = fc.option(fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }), { nil: undefined });
    fc.assert(
      fc.property(fc.array(delta, { minLength: 1, maxLength: 80 }), (deltas) => {
        const bytes = writeRtcp([feedback(deltas)]);
        const header = RtcpHeader.deSerialize(bufferOf(bytes.subarray(0, 4)));
        const read = TransportWideCC.deSerialize(bufferOf(bytes.subarray(4)), header);
        const received = deltas.filter((value) => value !== undefined);
        expect(read.recvDeltas.map((one) => one.delta / 250)).toEqual(received);
        expect(read.baseSequenceNumber).toBe(1);
        expect(read.referenceTime).toBe(0x5e9110);
        expect(read.packetStatusCount).toBe(deltas.length);
      }),
    );
  });

  it.each([
    ['no status', '8fcd0004' + '00000001' + '00000002' + '00010000' + '00000000'],
    ['a chunk missing', '8fcd0004' + '00000001' + '00000002' + '00010009' + '00000000'],
    ['a delta missing', '8fcd0005' + '00000001' + '00000002' + '00010009' + '00000000' + '20090000'],
    ['a reserved symbol', '8fcd0005' + '00000001' + '00000002' + '00010001' + '00000000' + '60010000'],
    ['an empty run', '8fcd0005' + '00000001' + '00000002' + '00010001' + '00000000' + '20000000'],
    ['a run as long as a bomb', '8fcd0005' + '00000001' + '00000002' + '0001ffff' + '00000000' + '1fff1fff'],
  ])('does not take a packet with %s', (_what, hex) => {
    expect(parseRtcp(fromHex(hex))).toMatchObject([{ type: 'unknown', packetType: 205 }]);
  });

  it('does not write a delta that 16 bits do not hold', () => {
    expect(() => writeRtcp([feedback([2 ** 15])])).toThrow(RangeError);
  });
});

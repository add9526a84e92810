import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRtcp, type RtcpPacket, writeRtcp } from '../../../src/rtp/rtcp.ts';
import { MAX_NACK_SEQUENCES } from '../../../src/rtp/rtcp-feedback.ts';
import { compactNtp, ntpFromWall, wallFromNtp } from '../../../src/rtp/rtcp-reports.ts';
import { fromHex, toHex } from '../../../src/util/bytes.ts';

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const uint16 = fc.integer({ min: 0, max: 2 ** 16 - 1 });
const uint8 = fc.integer({ min: 0, max: 255 });

const reportBlock = fc.record({
  ssrc: uint32,
  fractionLost: uint8,
  lost: fc.integer({ min: -(2 ** 23), max: 2 ** 23 - 1 }),
  highestSequence: uint32,
  jitter: uint32,
  lastReport: uint32,
  delaySinceLastReport: uint32,
});
const reports = fc.array(reportBlock, { maxLength: 31 });

const packet: fc.Arbitrary<RtcpPacket> = fc.oneof(
  fc.record({
    type: fc.constant('senderReport' as const),
    ssrc: uint32,
    ntp: fc.record({ seconds: uint32, fraction: uint32 }),
    rtpTimestamp: uint32,
    packets: uint32,
    octets: uint32,
    reports,
  }),
  fc.record({ type: fc.constant('receiverReport' as const), ssrc: uint32, reports }),
  fc.record({
    type: fc.constant('sourceDescription' as const),
    chunks: fc.array(
      fc.record({ ssrc: uint32, cname: fc.option(fc.string({ maxLength: 40 }), { nil: undefined }) }),
      { maxLength: 31 },
    ),
  }),
  fc.record({ type: fc.constant('bye' as const), ssrcs: fc.array(uint32, { maxLength: 31 }) }),
  fc.record({
    type: fc.constant('nack' as const),
    sender: uint32,
    media: uint32,
    sequences: fc
      .uniqueArray(uint16, { minLength: 1, maxLength: 60 })
      .map((sequences) => sequences.sort((a, b) => a - b)),
  }),
  fc.record({ type: fc.constant('pli' as const), sender: uint32, media: uint32 }),
  fc.record({
    type: fc.constant('fir' as const),
    sender: uint32,
    entries: fc.array(fc.record({ ssrc: uint32, sequence: uint8 }), { minLength: 1, maxLength: 8 }),
  }),
  fc.record({
    type: fc.constant('remb' as const),
    sender: uint32,
    bitrate: fc.integer({ min: 0, max: 2 ** 18 - 1 }).map((mantissa) => mantissa * 2 ** 10),
    ssrcs: fc.array(uint32, { maxLength: 8 }),
  }),
  fc.record({
    type: fc.constant('transportCongestion' as const),
    sender: uint32,
    media: uint32,
    baseSequence: uint16,
    referenceTime: fc.integer({ min: -(2 ** 23), max: 2 ** 23 - 1 }),
    feedbackCount: uint8,
    deltas: fc.array(fc.option(fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }), { nil: undefined }), {
      minLength: 1,
      maxLength: 120,
    }),
  }),
);

describe('an RTCP compound', () => {
  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(fc.array(packet, { minLength: 1, maxLength: 5 }), (packets) => {
        expect(parseRtcp(writeRtcp(packets))).toEqual(packets);
      }),
    );
  });

  it('has its padding on the last packet only (RFC 3550 §6.4.1)', () => {
    const congestion = {
      type: 'transportCongestion' as const,
      sender: 1,
      media: 2,
      baseSequence: 3,
      referenceTime: 4,
      feedbackCount: 5,
      deltas: [1],
    };
    const [alone, twice] = [writeRtcp([congestion]), writeRtcp([congestion, congestion])];
    expect([alone[0]! & 0x20, alone.at(-1)]).toEqual([0x20, 1]);
    expect([twice[0]! & 0x20, twice[alone.length - 1]]).toEqual([0, 0]);
    expect(twice.subarray(alone.length)).toEqual(alone);
    const odd = { type: 'unknown' as const, packetType: 210, count: 0, body: new Uint8Array(3) };
    expect(() => writeRtcp([odd, congestion])).toThrow(RangeError);
    expect(parseRtcp(writeRtcp([congestion, odd]))).toEqual([congestion, odd]);
  });

  it('never throws on arbitrary bytes, and never on a damaged compound', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        parseRtcp(bytes);
      }),
    );
    fc.assert(
      fc.property(packet, fc.nat(), uint8, (one, at, value) => {
        const bytes = writeRtcp([one]);
        bytes[at % bytes.length] = value;
        parseRtcp(bytes);
      }),
    );
  });

  it('passes a packet of an unknown type on and reads its neighbours', () => {
    const pli: RtcpPacket = { type: 'pli', sender: 1, media: 2 };
    const extended: RtcpPacket = {
      type: 'unknown',
      packetType: 207,
      count: 3,
      body: fromHex('0102030405060708'),
    };
    expect(parseRtcp(writeRtcp([extended, pli]))).toEqual([extended, pli]);
  });

  it('takes a known type with a broken body for unknown and still reads its neighbours', () => {
    const broken = fromHex('81c90001' + '00000001'); // one report block announced, none there
    const pli = writeRtcp([{ type: 'pli', sender: 1, media: 2 }]);
    expect(parseRtcp(new Uint8Array([...broken, ...pli]))).toMatchObject([
      { type: 'unknown', packetType: 201 },
      { type: 'pli', media: 2 },
    ]);
  });

  it.each([
    ['nothing', ''],
    ['a header cut short', '80c900'],
    ['a length beyond the end', '80c9000200000001'],
    ['another version', '40c9000100000001'],
    ['padding inside of a compound', 'a0c900010000000480c9000100000001'],
    ['padding longer than the packet', 'a0c9000100000009'],
    ['padding of no length', 'a0c9000100000000'],
  ])('refuses %s', (_what, hex) => {
    expect(parseRtcp(fromHex(hex))).toBeUndefined();
  });

  it('takes padding off the last packet', () => {
    expect(parseRtcp(fromHex('a0c9000200000001' + '00000004'))).toEqual([
      { type: 'receiverReport', ssrc: 1, reports: [] },
    ]);
  });
});

describe('the bytes on the wire', () => {
  it('are those of RFC 3550 §6.4.2 for a receiver report', () => {
    const bytes = writeRtcp([
      {
        type: 'receiverReport',
        ssrc: 0x01020304,
        reports: [
          {
            ssrc: 0x0a0b0c0d,
            fractionLost: 0x40,
            lost: -2,
            highestSequence: 0x00010005,
            jitter: 7,
            lastReport: 0xb44db705,
            delaySinceLastReport: 0x00054000,
          },
        ],
      },
    ]);
    expect(toHex(bytes)).toBe(
      '81c90007' + '01020304' + '0a0b0c0d' + '40fffffe' + '00010005' + '00000007' + 'b44db705' + '00054000',
    );
  });

  it('are those of RFC 3550 §6.5 for a CNAME, with at least one null behind it', () => {
    const bytes = writeRtcp([{ type: 'sourceDescription', chunks: [{ ssrc: 1, cname: 'ab' }] }]);
    expect(toHex(bytes)).toBe('81ca0003' + '00000001' + '01026162' + '00000000');
  });

  it('are those of RFC 4585 §6.2.1 for a NACK: a number and the bits of the sixteen behind it', () => {
    const bytes = writeRtcp([
      { type: 'nack', sender: 1, media: 2, sequences: [0xfffe, 0xffff, 0x000e, 0x000f] },
    ]);
    expect(toHex(bytes)).toBe('81cd0004' + '00000001' + '00000002' + 'fffe8001' + '000f0000');
  });

  it('are those of RFC 4585 §6.3.1 for a PLI and RFC 5104 §4.3.1 for a FIR', () => {
    expect(toHex(writeRtcp([{ type: 'pli', sender: 1, media: 2 }]))).toBe('81ce00020000000100000002');
    expect(toHex(writeRtcp([{ type: 'fir', sender: 1, entries: [{ ssrc: 2, sequence: 9 }] }]))).toBe(
      '84ce0004' + '00000001' + '00000000' + '00000002' + '09000000',
    );
  });

  it('are those of draft-alvestrand-rmcat-remb-03 §2.2 for a REMB', () => {
    // 1 000 000 bit/s: 250 000 fits 18 bits, times 2^2.
    const bytes = writeRtcp([{ type: 'remb', sender: 1, bitrate: 1_000_000, ssrcs: [2] }]);
    expect(toHex(bytes)).toBe('8fce0005' + '00000001' + '00000000' + '52454d42' + '010bd090' + '00000002');
  });
});

describe('a NACK', () => {
  it('is read up to a bounded number of packets', () => {
    const entries = new Uint8Array(4 * 1000).fill(0xff);
    const header = fromHex('81cd03ea' + '00000001' + '00000002');
    const [nack] = parseRtcp(new Uint8Array([...header, ...entries])) ?? [];
    expect(nack?.type === 'nack' && nack.sequences.length).toBeLessThanOrEqual(MAX_NACK_SEQUENCES);
    expect(nack?.type === 'nack' && nack.sequences.length).toBeGreaterThan(MAX_NACK_SEQUENCES - 17);
  });

  it('with half an entry means nothing', () => {
    expect(parseRtcp(fromHex('a1cd0003' + '00000001' + '00000002' + '00010002'))).toMatchObject([
      { type: 'unknown' },
    ]);
  });
});

describe('a REMB', () => {
  it('with another identifier, or with SSRCs left over, means nothing', () => {
    expect(parseRtcp(fromHex('8fce000400000001000000005845454d00000001'))).toMatchObject([
      { type: 'unknown' },
    ]);
    expect(
      parseRtcp(fromHex('8fce00050000000100000000' + '52454d42' + '000bd090' + '00000002')),
    ).toMatchObject([{ type: 'unknown' }]);
  });
});

describe('NTP time', () => {
  it('has its middle 32 bits in a report block, as in the example of RFC 3550 §6.4.1', () => {
    expect(compactNtp({ seconds: 0xb44db705, fraction: 0x20000000 })).toBe(0xb7052000);
  });

  it('counts from 1900', () => {
    expect(ntpFromWall(0)).toEqual({ seconds: 2_208_988_800, fraction: 0 });
    expect(ntpFromWall(1500)).toEqual({ seconds: 2_208_988_801, fraction: 2 ** 31 });
  });

  it('comes back as the wall-clock time that it was made of', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2_085_978_495_000 }), (wall) => {
        expect(Math.abs(wallFromNtp(ntpFromWall(wall)) - wall)).toBeLessThan(0.001);
      }),
    );
  });
});

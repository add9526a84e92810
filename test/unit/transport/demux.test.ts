import { describe, expect, it } from 'vitest';
import { classifyDatagram, type DatagramKind } from '../../../src/transport/demux.ts';

const ranges = (first: number): DatagramKind | undefined => {
  if (first <= 3) return 'stun';
  if (first >= 20 && first <= 63) return 'dtls';
  if (first >= 128 && first <= 191) return 'srtp';
  return undefined;
};

describe('classifyDatagram', () => {
  it('goes by the first byte (RFC 7983 §7)', () => {
    for (let first = 0; first < 256; first++)
      expect([first, classifyDatagram(Uint8Array.of(first, 0))]).toEqual([first, ranges(first)]);
  });

  it('takes payload types 64 to 95 with the marker bit for RTCP (RFC 5761 §4), and no others', () => {
    for (const first of [128, 191]) {
      for (let second = 0; second < 256; second++) {
        const kind = second >= 192 && second <= 223 ? 'srtcp' : 'srtp';
        expect([second, classifyDatagram(Uint8Array.of(first, second))]).toEqual([second, kind]);
      }
    }
  });

  it('knows nothing of a second byte where the first says STUN or DTLS', () => {
    for (const second of [0, 64, 200, 255]) {
      expect(classifyDatagram(Uint8Array.of(0, second))).toBe('stun');
      expect(classifyDatagram(Uint8Array.of(22, second))).toBe('dtls');
    }
  });

  it('drops what has fewer than two bytes', () => {
    expect(classifyDatagram(new Uint8Array(0))).toBeUndefined();
    for (const first of [0, 22, 128]) expect(classifyDatagram(Uint8Array.of(first))).toBeUndefined();
  });
});

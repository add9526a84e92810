import { describe, expect, it } from 'vitest';
import { CODECS, kindOf, originalOf, PAYLOAD_TYPE, rtxOf } from '../../../src/room/media.ts';

describe('the codecs of a room', () => {
  it('know the medium of each payload type, and of its retransmissions', () => {
    expect(kindOf(PAYLOAD_TYPE.opus)).toBe('audio');
    for (const { payloadType, rtx } of [CODECS.VP8, CODECS.H264])
      expect([kindOf(payloadType), kindOf(rtx)]).toEqual(['video', 'video']);
  });

  it('lead from a payload type to its retransmissions and back', () => {
    for (const { payloadType, rtx } of [CODECS.VP8, CODECS.H264]) {
      expect(rtxOf(payloadType)).toBe(rtx);
      expect(originalOf(rtx)).toBe(payloadType);
    }
  });

  it('know nothing of a payload type that was not offered, and of no retransmission of audio or of a retransmission', () => {
    expect([kindOf(0), rtxOf(0), originalOf(0)]).toEqual([undefined, undefined, undefined]);
    expect([rtxOf(PAYLOAD_TYPE.opus), originalOf(PAYLOAD_TYPE.opus)]).toEqual([undefined, undefined]);
    expect([rtxOf(PAYLOAD_TYPE.vp8Rtx), originalOf(PAYLOAD_TYPE.vp8)]).toEqual([undefined, undefined]);
  });
});

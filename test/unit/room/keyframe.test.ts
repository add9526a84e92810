import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  isKeyframeStart,
  KEYFRAME_REPEAT_MS,
  KEYFRAME_REQUEST_INTERVAL_MS,
  KeyframeRequests,
} from '../../../src/room/keyframe.ts';
import { PAYLOAD_TYPE } from '../../../src/room/media.ts';
import { fromHex } from '../../../src/util/bytes.ts';

describe('the start of a keyframe', () => {
  it.each([
    ['VP8, bare descriptor', 'vp8', '10' + '10'],
    ['VP8, 7-bit picture id', 'vp8', '90' + '80' + '11' + '10'],
    ['VP8, 15-bit picture id', 'vp8', '90' + '80' + '9234' + '10'],
    ['VP8, all extensions', 'vp8', '90' + 'f0' + '9234' + '05' + '20' + '10'],
    ['VP8, droppable', 'vp8', '30' + '10'],
    ['H.264, IDR slice', 'h264', '6588'],
    ['H.264, SPS', 'h264', '6742e01f'],
    ['H.264, aggregate of SPS and PPS', 'h264', '78' + '0003' + '6742e0' + '0002' + '68ce'],
    ['H.264, aggregate with the IDR slice last', 'h264', '78' + '0002' + '0910' + '0002' + '6588'],
    ['H.264, first fragment of an IDR slice', 'h264', '7c85' + '88'],
  ] as const)('is seen: %s', (_what, codec, hex) => {
    expect(isKeyframeStart(PAYLOAD_TYPE[codec], fromHex(hex))).toBe(true);
  });

  it.each([
    ['VP8, interframe', 'vp8', '10' + '11'],
    ['VP8, continued partition', 'vp8', '00' + '10'],
    ['VP8, second partition', 'vp8', '11' + '10'],
    ['VP8, interframe behind all extensions', 'vp8', '90' + 'f0' + '9234' + '05' + '20' + '11'],
    ['VP8, cut in the descriptor', 'vp8', '9080'],
    ['VP8, nothing', 'vp8', ''],
    ['H.264, non-IDR slice', 'h264', '419a'],
    ['H.264, aggregate without', 'h264', '78' + '0002' + '0910' + '0002' + '419a'],
    ['H.264, aggregate cut short', 'h264', '7800'],
    ['H.264, later fragment of an IDR slice', 'h264', '7c05' + '88'],
    ['H.264, first fragment of another slice', 'h264', '7c81' + '88'],
    ['H.264, nothing', 'h264', ''],
    ['audio', 'opus', '10' + '10'],
  ] as const)('is not seen: %s', (_what, codec, hex) => {
    expect(isKeyframeStart(PAYLOAD_TYPE[codec], fromHex(hex))).toBe(false);
  });

  it('is looked for in any bytes without an error', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(PAYLOAD_TYPE.vp8, PAYLOAD_TYPE.h264),
        fc.uint8Array({ maxLength: 40 }),
        (type, bytes) => {
          expect(typeof isKeyframeStart(type, bytes)).toBe('boolean');
        },
      ),
    );
  });
});

describe('keyframe requests', () => {
  it('leave at once, and of a burst only the last leaves again, when the interval has passed', () => {
    const requests = new KeyframeRequests();
    const left: number[] = [];
    for (let now = 0; now <= 200; now += 10) {
      requests.request(now);
      if (requests.take(now)) left.push(now);
    }
    expect(left).toEqual([0]);
    expect(requests.nextTimeout()).toBe(KEYFRAME_REQUEST_INTERVAL_MS);
    expect(requests.take(KEYFRAME_REQUEST_INTERVAL_MS - 1)).toBe(false);
    expect(requests.take(KEYFRAME_REQUEST_INTERVAL_MS)).toBe(true);
  });

  it('are repeated until a keyframe comes', () => {
    const requests = new KeyframeRequests();
    requests.request(0);
    expect(requests.take(0)).toBe(true);
    expect(requests.take(KEYFRAME_REPEAT_MS)).toBe(true);
    requests.satisfied();
    expect(requests.nextTimeout()).toBeUndefined();
    expect(requests.take(10_000)).toBe(false);
  });

  it('are not repeated for ever', () => {
    const requests = new KeyframeRequests();
    requests.request(0);
    let count = 0;
    for (let now = 0; now < 60_000; now += 100) if (requests.take(now)) count++;
    expect(count).toBe(10);
  });

  it('are throttled across keyframes too', () => {
    const requests = new KeyframeRequests();
    requests.request(0);
    requests.take(0);
    requests.satisfied();
    requests.request(100);
    expect(requests.take(100)).toBe(false);
    expect(requests.nextTimeout()).toBe(KEYFRAME_REQUEST_INTERVAL_MS);
  });
});

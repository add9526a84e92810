import { describe, expect, it } from 'vitest';
import { Succession } from '../../../src/server/succession.ts';
import { audioPacket, videoPacket } from '../../support/room-media.ts';

describe('a broadcaster on a new connection', () => {
  it('takes over with its first whole frame, and with the sound that came before', () => {
    const succession = new Succession();
    const packets = [
      audioPacket({ sequence: 1, marker: true }),
      videoPacket({ sequence: 1, keyframe: true }),
      videoPacket({ sequence: 2 }),
      videoPacket({ sequence: 3, marker: true }),
    ];
    for (const packet of packets.slice(0, -1)) expect(succession.add('a/2', packet)).toBeUndefined();
    expect(succession.add('a/2', packets.at(-1)!)).toEqual(packets);
  });

  it('does not take over what another connection has sent', () => {
    const succession = new Succession();
    succession.add('a/2', videoPacket({ sequence: 1, keyframe: true }));
    const whole = videoPacket({ sequence: 9, keyframe: true, marker: true });
    expect(succession.add('a/3', whole)).toEqual([whole]);
  });

  it('is not held back for ever by frames without an end', () => {
    const succession = new Succession();
    let released: number | undefined;
    for (let sequence = 1; released === undefined && sequence < 1_000; sequence++) {
      if (succession.add('a/2', videoPacket({ sequence })) !== undefined) released = sequence;
    }
    expect(released).toBe(500);
  });
});

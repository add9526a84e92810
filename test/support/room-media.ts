import { PAYLOAD_TYPE } from '../../src/room/media.ts';
import type { Room, RoomOutput } from '../../src/room/room.ts';
import { writeRtp } from '../../src/rtp/packet.ts';

/** VP8: S set on partition 0 (RFC 7741 §4.2), then a payload header with the inverse keyframe flag. */
export const vp8Payload = (keyframe: boolean, filler: number): Uint8Array =>
  Uint8Array.of(0x10, keyframe ? 0x00 : 0x01, filler & 0xff, (filler >> 8) & 0xff);

export interface TestPacket {
  readonly sequence: number;
  readonly timestamp?: number;
  readonly ssrc?: number;
  readonly keyframe?: boolean;
  readonly payload?: Uint8Array;
  readonly payloadType?: number;
  readonly marker?: boolean;
}

export const VIDEO_SOURCE = 0x1111;
export const AUDIO_SOURCE = 0x2222;

export function videoPacket(packet: TestPacket): Uint8Array {
  return writeRtp({
    marker: packet.marker ?? false,
    payloadType: packet.payloadType ?? PAYLOAD_TYPE.vp8,
    sequenceNumber: packet.sequence & 0xffff,
    timestamp: packet.timestamp ?? 0,
    ssrc: packet.ssrc ?? VIDEO_SOURCE,
    payload: packet.payload ?? vp8Payload(packet.keyframe ?? false, packet.sequence),
  });
}

export function audioPacket(packet: TestPacket): Uint8Array {
  return videoPacket({
    ssrc: AUDIO_SOURCE,
    payloadType: PAYLOAD_TYPE.opus,
    payload: Uint8Array.of(1, packet.sequence & 0xff),
    ...packet,
  });
}

/** RFC 4588 §4: a retransmission carries the original number before the payload. */
export function retransmissionOf(packet: TestPacket, sequence: number, ssrc: number): Uint8Array {
  const payload = packet.payload ?? vp8Payload(packet.keyframe ?? false, packet.sequence);
  return videoPacket({
    ...packet,
    sequence,
    ssrc,
    payloadType: PAYLOAD_TYPE.vp8Rtx,
    payload: Uint8Array.of((packet.sequence >> 8) & 0xff, packet.sequence & 0xff, ...payload),
  });
}

/** Drains a room; answers each `reserve` with `reserve`, which writes and grants. */
export function drain(room: Room, reserve?: () => void): RoomOutput[] {
  const outputs: RoomOutput[] = [];
  for (let output = room.pollOutput(); output !== undefined; output = room.pollOutput()) {
    if (output.kind === 'reserve' && reserve !== undefined) reserve();
    else outputs.push(output);
  }
  return outputs;
}

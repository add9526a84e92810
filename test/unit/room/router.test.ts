import { beforeEach, describe, expect, it } from 'vitest';
import { type MediaKind, PAYLOAD_TYPE } from '../../../src/room/media.ts';
import { Room } from '../../../src/room/room.ts';
import { parseRtp, type RtpPacket } from '../../../src/rtp/packet.ts';
import { audioPacket, drain, retransmissionOf, videoPacket } from '../../support/room-media.ts';
import { seededRandom } from '../../support/seeded-rng.ts';

const WALL = 1_800_000_000_000;

interface Seen {
  readonly index: number;
  readonly packet: RtpPacket;
}

describe('a stream of the room', () => {
  let room: Room;
  let now: number;

  beforeEach(() => {
    now = 1000;
    room = new Room({ rng: seededRandom(1), now, wall: WALL });
    room.setProducer('a');
  });

  /** What the viewers get of a packet that the producer sends at `now`. */
  const send = (packet: Uint8Array, producer = 'a'): Seen[] => {
    room.handleProducerRtp(producer, packet, now);
    return drain(room).flatMap((output) =>
      output.kind === 'broadcast'
        ? [{ index: output.media.index, packet: parseRtp(output.media.bytes)! }]
        : [],
    );
  };

  const stream = (kind: MediaKind) => room.capture().streams.find((one) => one.kind === kind)!;

  it('has its own SSRC and begins one cycle up, in the lower half of it', () => {
    const [first] = send(videoPacket({ sequence: 60_000, keyframe: true }));
    expect(first?.packet.ssrc).toBe(stream('video').ssrc);
    expect(first?.index).toBeGreaterThanOrEqual(2 ** 16);
    expect(first?.index).toBeLessThan(2 ** 16 + 2 ** 15);
    expect(first!.index % 2 ** 16).toBe(first?.packet.sequenceNumber);
  });

  it('keeps payload, marker and payload type, and strips header extension and padding', () => {
    // RFC 8285 one-byte extension, id 1 of two bytes; three bytes of padding.
    const plain = videoPacket({ sequence: 5, keyframe: true, marker: true });
    const extension = Uint8Array.of(0xbe, 0xde, 0, 1, 0x11, 0, 7, 0);
    const dressed = Uint8Array.of(...plain.subarray(0, 12), ...extension, ...plain.subarray(12), 0, 0, 3);
    dressed[0] = 0xb0;
    const [seen] = send(dressed);
    expect(seen?.packet.payload).toEqual(plain.subarray(12));
    expect(seen?.packet.marker).toBe(true);
    expect(seen?.packet.payloadType).toBe(PAYLOAD_TYPE.vp8);
    expect(seen?.packet.bytes.length).toBe(plain.length);
  });

  it('goes on across the wrap of the source and of its own sequence numbers', () => {
    let expected: number | undefined;
    for (let sequence = 65_000; sequence < 65_000 + 70_000; sequence += 1) {
      const [seen] = send(videoPacket({ sequence, keyframe: sequence === 65_000 }));
      expected ??= seen?.index;
      if (seen?.index !== expected) expect(seen?.index).toBe(expected);
      expected!++;
    }
    expect(expected).toBeGreaterThan(2 ** 17);
  });

  it('never proposes a lower limit than before, however much calmer it has become', () => {
    for (let sequence = 1; sequence <= 400; sequence++, now++)
      send(videoPacket({ sequence, keyframe: sequence === 1 }));
    const { limit } = stream('video');
    for (let sequence = 401; sequence <= 420; sequence++, now += 500) {
      send(videoPacket({ sequence }));
      expect(stream('video').limit).toBeGreaterThanOrEqual(limit);
    }
  });

  it('sends a reordered packet under its own index, and the same packet once only', () => {
    const [first] = send(videoPacket({ sequence: 10, keyframe: true }));
    const [third] = send(videoPacket({ sequence: 12 }));
    const [second] = send(videoPacket({ sequence: 11 }));
    expect([second?.index, third?.index]).toEqual([first!.index + 1, first!.index + 2]);
    expect(send(videoPacket({ sequence: 11 }))).toEqual([]);
    expect(room.stats.drops.duplicate).toBe(1);
  });

  it('refuses what is from before its source', () => {
    send(videoPacket({ sequence: 10, keyframe: true }));
    expect(send(videoPacket({ sequence: 9 }))).toEqual([]);
    expect(room.stats.drops.beforeSource).toBe(1);
  });

  it('passes packets without payload on, so that numbers stay dense', () => {
    const [first] = send(videoPacket({ sequence: 10, keyframe: true }));
    const [empty] = send(videoPacket({ sequence: 11, payload: new Uint8Array(0) }));
    expect(empty?.index).toBe(first!.index + 1);
    expect(empty?.packet.payload.length).toBe(0);
  });

  it('ignores packets of anybody but the producer, of unknown types and that are none', () => {
    expect(send(videoPacket({ sequence: 10, keyframe: true }), 'b')).toEqual([]);
    expect(send(videoPacket({ sequence: 10, keyframe: true, payloadType: 98 }))).toEqual([]);
    expect(send(Uint8Array.of(0x80, 0x60, 0))).toEqual([]);
    expect(room.stats.drops).toMatchObject({ notTheProducer: 1, unknownPayloadType: 1, malformedRtp: 1 });
  });

  it('waits for the keyframe of its first source, and audio for nothing', () => {
    expect(send(videoPacket({ sequence: 10 }))).toEqual([]);
    expect(send(audioPacket({ sequence: 10 }))).toHaveLength(1);
    expect(send(videoPacket({ sequence: 11, keyframe: true }))).toHaveLength(1);
  });

  it('goes on at +1 and by the time that has passed when the broadcaster changes', () => {
    const [before] = send(videoPacket({ sequence: 10, timestamp: 4_000_000_000, keyframe: true }));
    room.setProducer(undefined);
    now += 2000;
    room.setProducer('b');
    expect(send(videoPacket({ sequence: 30_000, timestamp: 5, ssrc: 7 }), 'b')).toEqual([]);
    now += 1000;
    const [after] = send(videoPacket({ sequence: 30_001, timestamp: 7, ssrc: 7, keyframe: true }), 'b');
    expect(after?.index).toBe(before!.index + 1);
    expect(after?.packet.ssrc).toBe(before?.packet.ssrc);
    expect((after!.packet.timestamp - before!.packet.timestamp) >>> 0).toBe(3 * 90_000);
  });

  it('gives the same numbers on when the same broadcaster comes back as the producer', () => {
    const [before] = send(videoPacket({ sequence: 10, keyframe: true }));
    room.setProducer(undefined);
    room.setProducer('a');
    const [after] = send(videoPacket({ sequence: 400, keyframe: true }));
    expect(after?.index).toBe(before!.index + 1);
  });

  it('keeps the old source until the new one has a keyframe, then never goes back', () => {
    const [first] = send(videoPacket({ sequence: 10, keyframe: true }));
    expect(send(videoPacket({ sequence: 500, ssrc: 7 }))).toEqual([]);
    const [second] = send(videoPacket({ sequence: 11 }));
    const [third] = send(videoPacket({ sequence: 501, ssrc: 7, keyframe: true }));
    expect([second?.index, third?.index]).toEqual([first!.index + 1, first!.index + 2]);
    expect(send(videoPacket({ sequence: 12, keyframe: true }))).toEqual([]);
    expect(room.stats.drops).toMatchObject({ awaitingKeyframe: 1, retiredSource: 1 });
    expect(send(videoPacket({ sequence: 500, ssrc: 7 }))).toEqual([]);
  });

  it('takes up again what a packet of the past had replaced, as soon as nothing follows that packet', () => {
    const [first] = send(videoPacket({ sequence: 10, keyframe: true }));
    // Held back on the way since before an earlier process ended, it passes for the first of a new source.
    const [second] = send(videoPacket({ sequence: 500, ssrc: 7, keyframe: true }));
    expect(send(videoPacket({ sequence: 11, keyframe: true }))).toEqual([]);
    now += 1001;
    const [third] = send(videoPacket({ sequence: 12, keyframe: true }));
    const [fourth] = send(videoPacket({ sequence: 13 }));
    expect([second, third, fourth].map((packet) => packet!.index - first!.index)).toEqual([1, 2, 3]);
    expect(send(videoPacket({ sequence: 501, ssrc: 7, keyframe: true }))).toEqual([]);
    expect(room.stats.drops.retiredSource).toBe(2);
  });

  it('changes to the new source of audio with its first packet', () => {
    const [first] = send(audioPacket({ sequence: 10 }));
    now += 20;
    const [second] = send(audioPacket({ sequence: 900, ssrc: 8, timestamp: 77 }));
    expect(second?.index).toBe(first!.index + 1);
    expect((second!.packet.timestamp - first!.packet.timestamp) >>> 0).toBe(960);
    expect(send(audioPacket({ sequence: 11 }))).toEqual([]);
    expect(second?.packet.ssrc).toBe(stream('audio').ssrc);
  });

  it('considers one new source at a time, until that one falls silent', () => {
    send(videoPacket({ sequence: 10, keyframe: true }));
    expect(send(videoPacket({ sequence: 1, ssrc: 7 }))).toEqual([]);
    expect(send(videoPacket({ sequence: 1, ssrc: 8, keyframe: true }))).toEqual([]);
    expect(room.stats.drops.surplusSource).toBe(1);
    now += 1001;
    expect(send(videoPacket({ sequence: 2, ssrc: 8, keyframe: true }))).toHaveLength(1);
  });

  it('puts a retransmission where its original belongs', () => {
    const [first] = send(videoPacket({ sequence: 10, keyframe: true }));
    send(videoPacket({ sequence: 12 }));
    const lost = { sequence: 11, timestamp: 3, marker: true };
    const [recovered] = send(retransmissionOf(lost, 40_000, 0x3333));
    expect(recovered?.index).toBe(first!.index + 1);
    expect(recovered?.packet.payload).toEqual(videoPacket(lost).subarray(12));
    expect(recovered?.packet.payloadType).toBe(PAYLOAD_TYPE.vp8);
    expect(recovered?.packet.marker).toBe(true);
    expect(room.stats.recovered).toBe(1);
  });

  it('ignores retransmissions nobody asked for: probes, repeats and those of another source', () => {
    send(videoPacket({ sequence: 10, keyframe: true }));
    send(videoPacket({ sequence: 13 }));
    expect(send(retransmissionOf({ sequence: 10 }, 1, 0x3333))).toEqual([]);
    expect(send(retransmissionOf({ sequence: 11 }, 2, 0x3333))).toHaveLength(1);
    expect(send(retransmissionOf({ sequence: 11 }, 3, 0x3333))).toEqual([]);
    expect(send(retransmissionOf({ sequence: 12 }, 4, 0x4444))).toEqual([]);
    expect(
      send(videoPacket({ sequence: 9, payloadType: PAYLOAD_TYPE.vp8Rtx, payload: new Uint8Array(1) })),
    ).toEqual([]);
    expect(room.stats.drops.unexpectedRetransmission).toBe(4);
  });

  it('does not ask for lost audio again', () => {
    room.handleProducerRtp('a', audioPacket({ sequence: 10 }), now);
    room.handleProducerRtp('a', audioPacket({ sequence: 15 }), now);
    expect(drain(room).map((output) => output.kind)).toEqual(['broadcast', 'broadcast']);
  });
});

import { beforeEach, describe, expect, it } from 'vitest';
import { EXTENSION_ID, PAYLOAD_TYPE } from '../../../src/room/media.ts';
import { DEFAULT_RESERVE_MS, Room, type RoomOutput } from '../../../src/room/room.ts';
import { MIN_RESERVE_PACKETS } from '../../../src/room/router.ts';
import type { RoomState } from '../../../src/room/state.ts';
import { parseRtp } from '../../../src/rtp/packet.ts';
import { parseRtcp, type RtcpPacket, writeRtcp } from '../../../src/rtp/rtcp.ts';
import { compactNtp, ntpFromWall } from '../../../src/rtp/rtcp-reports.ts';
import { readUint16 } from '../../../src/util/bytes.ts';
import { countOf } from '../../../src/util/histogram.ts';
import { randomBytes } from '../../../src/util/rng.ts';
import {
  AUDIO_SOURCE,
  audioPacket,
  drain,
  retransmissionOf,
  type TestPacket,
  VIDEO_SOURCE,
  videoPacket,
} from '../../support/room-media.ts';
import { seededRandom } from '../../support/seeded-rng.ts';

const WALL = 1_800_000_000_000;
const START = 1000;

let room: Room;
let now: number;

beforeEach(() => {
  now = START;
  room = new Room({ rng: seededRandom(1), now, wall: WALL });
  room.setProducer('a');
});

const video = (of = room) => of.capture().streams.find(({ kind }) => kind === 'video')!;
const audio = (of = room) => of.capture().streams.find(({ kind }) => kind === 'audio')!;

const sendVideo = (packet: TestPacket): RoomOutput[] => {
  room.handleProducerRtp('a', videoPacket(packet), now);
  return drain(room);
};

/** What goes to the producer, without the report and the CNAME that every compound begins with. */
const feedbackOf = (outputs: readonly RoomOutput[]): RtcpPacket[] =>
  outputs.flatMap((output) =>
    output.kind === 'producerRtcp' ? (parseRtcp(output.packet) ?? []).slice(2) : [],
  );
const plis = (outputs: readonly RoomOutput[]) => feedbackOf(outputs).filter(({ type }) => type === 'pli');
const nacked = (outputs: readonly RoomOutput[]): number[] =>
  feedbackOf(outputs).flatMap((packet) => (packet.type === 'nack' ? packet.sequences : []));
const broadcasts = (outputs: readonly RoomOutput[]): number[] =>
  outputs.flatMap((output) => (output.kind === 'broadcast' ? [output.media.index] : []));
const sends = (outputs: readonly RoomOutput[]) =>
  outputs.flatMap((output) => (output.kind === 'send' ? [{ to: output.consumer, ...output.media }] : []));

const runTo = (time: number): RoomOutput[] => {
  const outputs: RoomOutput[] = [];
  for (let at = room.nextTimeout(); at !== undefined && at <= time; at = room.nextTimeout()) {
    now = Math.max(now, at);
    room.handleTimeout(now);
    outputs.push(...drain(room));
  }
  now = time;
  return outputs;
};

const consumerRtcp = (id: string, ...packets: RtcpPacket[]): RoomOutput[] => {
  room.handleConsumerRtcp(id, writeRtcp([{ type: 'receiverReport', ssrc: 9, reports: [] }, ...packets]), now);
  return drain(room);
};
const nack = (...sequences: number[]): RtcpPacket => ({
  type: 'nack',
  sender: 9,
  media: video().ssrc,
  sequences: sequences.map((sequence) => sequence & 0xffff),
});
const pli = (media = video().ssrc): RtcpPacket => ({ type: 'pli', sender: 9, media });

describe('a viewer that misses packets', () => {
  it('gets them as retransmissions with their original number (RFC 4588 §4), under indices of its own', () => {
    room.addConsumer('v', now);
    const [first] = broadcasts(sendVideo({ sequence: 10, keyframe: true, marker: true, timestamp: 5 }));
    sendVideo({ sequence: 11 });
    const [one, two] = sends(consumerRtcp('v', nack(first!, first! + 1)));
    expect(one).toMatchObject({ to: 'v', ssrc: video().rtxSsrc });
    expect(two?.index).toBe(one!.index + 1);
    expect(one!.index).toBeLessThan(2 ** 15);
    const packet = parseRtp(one!.bytes)!;
    expect(packet).toMatchObject({ payloadType: PAYLOAD_TYPE.vp8Rtx, marker: true, ssrc: video().rtxSsrc });
    expect(packet.sequenceNumber).toBe(one!.index % 2 ** 16);
    expect(readUint16(packet.payload, 0)).toBe(first! % 2 ** 16);
    expect(packet.payload.subarray(2)).toEqual(videoPacket({ sequence: 10, keyframe: true }).subarray(12));
    expect(room.stats.retransmitted).toBe(2);
  });

  it('gets none that were never there, of another stream, or as an unknown viewer', () => {
    room.addConsumer('v', now);
    const [first] = broadcasts(sendVideo({ sequence: 10, keyframe: true }));
    expect(sends(consumerRtcp('v', nack(first! + 1, first! - 1)))).toEqual([]);
    expect(
      sends(consumerRtcp('v', { type: 'nack', sender: 9, media: 12345, sequences: [first! & 0xffff] })),
    ).toEqual([]);
    expect(sends(consumerRtcp('w', nack(first!)))).toEqual([]);
    room.handleConsumerRtcp('v', Uint8Array.of(1, 2, 3), now);
    expect(room.stats.drops).toMatchObject({ notInHistory: 2, unknownConsumer: 1, malformedRtcp: 1 });
  });

  it('is not made an amplifier: the same packet not at once again, and no more than its budget', () => {
    room.addConsumer('v', now);
    const indices: number[] = [];
    for (let sequence = 0; sequence < 1000; sequence++)
      indices.push(...broadcasts(sendVideo({ sequence, keyframe: sequence === 0 })));
    expect(sends(consumerRtcp('v', nack(indices[5]!), nack(indices[5]!)))).toHaveLength(1);
    now += 20;
    expect(sends(consumerRtcp('v', nack(indices[5]!)))).toHaveLength(1);
    let sent = 0;
    for (const end = now + 2000; now < end; now += 10)
      sent += sends(consumerRtcp('v', nack(...indices))).length;
    expect(sent).toBeGreaterThan(900);
    expect(sent).toBeLessThanOrEqual(1300);
  });

  it('reads its round trip from reports and repeats no sooner than half of it', () => {
    room.addConsumer('v', now);
    const [first] = broadcasts(sendVideo({ sequence: 10, keyframe: true }));
    const block = {
      ssrc: video().ssrc,
      fractionLost: 0,
      lost: 0,
      highestSequence: 0,
      jitter: 0,
      lastReport: compactNtp(ntpFromWall(WALL - 200)),
      delaySinceLastReport: 0,
    };
    consumerRtcp('v', { type: 'receiverReport', ssrc: 9, reports: [block] });
    expect(sends(consumerRtcp('v', nack(first!)))).toHaveLength(1);
    now += 90;
    expect(sends(consumerRtcp('v', nack(first!)))).toHaveLength(0);
    now += 20;
    expect(sends(consumerRtcp('v', nack(first!)))).toHaveLength(1);
  });
});

describe('what viewers report', () => {
  const report = (fractionLost: number, ssrc = video().ssrc) =>
    consumerRtcp('v', {
      type: 'receiverReport',
      ssrc: 9,
      reports: [
        {
          ssrc,
          fractionLost,
          lost: 0,
          highestSequence: 0,
          jitter: 0,
          lastReport: compactNtp(ntpFromWall(WALL + now - START - 200)),
          delaySinceLastReport: 0,
        },
      ],
    });
  const counted = () => countOf(room.viewerReports.lossRatio);

  it('is counted: loss as a share, and the round trip', () => {
    room.addConsumer('v', now);
    report(64);
    const { lossRatio, roundTripMs } = room.viewerReports;
    expect(lossRatio.sum).toBe(0.25);
    expect(countOf(roundTripMs)).toBe(1);
    expect(roundTripMs.sum).toBeCloseTo(200, -1);
  });

  it('does not count on streams of others, nor from strangers, nor more often than browsers report', () => {
    report(64);
    room.addConsumer('v', now);
    report(64, 12_345);
    expect(counted()).toBe(0);
    for (let i = 0; i < 100; i++) report(255);
    expect(counted()).toBe(1);
    now += 1_000;
    report(0);
    expect(counted()).toBe(2);
    expect(room.viewerReports.lossRatio.counts[0]).toBe(1);
  });
});

describe('keyframe requests', () => {
  it('go to the source when a viewer comes, asks or commands, throttled with one behind', () => {
    sendVideo({ sequence: 10, keyframe: true });
    room.addConsumer('v', now);
    const outputs = drain(room);
    expect(plis(outputs)).toEqual([{ type: 'pli', sender: video().ssrc, media: VIDEO_SOURCE }]);
    expect(plis(consumerRtcp('v', pli()))).toEqual([]);
    expect(plis(consumerRtcp('v', pli()))).toEqual([]);
    expect(plis(runTo(START + 299))).toEqual([]);
    expect(plis(runTo(START + 300))).toHaveLength(1);
  });

  it('stop when the keyframe begins to arrive, and are repeated while none does', () => {
    sendVideo({ sequence: 10, keyframe: true });
    room.requestKeyframe(now);
    drain(room);
    expect(plis(runTo(START + 500))).toHaveLength(1);
    sendVideo({ sequence: 11, keyframe: true });
    expect(plis(runTo(START + 5000))).toEqual([]);
    expect(room.stats.keyframeRequests).toBe(2);
  });

  it('are not made by a PLI or FIR for another stream, nor by the same FIR again (RFC 5104 §4.3.1.2)', () => {
    const fir = (sequence: number, ssrc = video().ssrc): RtcpPacket => ({
      type: 'fir',
      sender: 9,
      entries: [{ ssrc, sequence }],
    });
    sendVideo({ sequence: 10, keyframe: true });
    room.addConsumer('v', now);
    sendVideo({ sequence: 11, keyframe: true });
    now += 1000;
    drain(room);
    expect(plis(consumerRtcp('v', pli(77), fir(1, 77)))).toEqual([]);
    expect(plis(consumerRtcp('v', fir(1)))).toHaveLength(1);
    sendVideo({ sequence: 12, keyframe: true });
    now += 1000;
    expect(plis(consumerRtcp('v', fir(1)))).toEqual([]);
    expect(plis(consumerRtcp('v', fir(2)))).toHaveLength(1);
  });

  it('go to a new source as soon as it shows, and to nobody while there is none', () => {
    room.requestKeyframe(now);
    expect(feedbackOf(drain(room))).toEqual([]);
    expect(room.nextTimeout()).toBeUndefined();
    expect(plis(sendVideo({ sequence: 10 }))).toMatchObject([{ media: VIDEO_SOURCE }]);
  });
});

describe('packets that the broadcaster lost', () => {
  it('are asked for at once, and again until they come', () => {
    sendVideo({ sequence: 10, keyframe: true });
    expect(nacked(sendVideo({ sequence: 13 }))).toEqual([11, 12]);
    expect(nacked(runTo(START + 150))).toEqual([11, 12]);
    room.handleProducerRtp('a', retransmissionOf({ sequence: 11 }, 1, 0x3333), now);
    expect(nacked(runTo(START + 290))).toEqual([12]);
  });

  it('lead to a keyframe request when nothing repairs them, and not before', () => {
    sendVideo({ sequence: 10, keyframe: true });
    sendVideo({ sequence: 12 });
    expect(plis(runTo(START + 299))).toEqual([]);
    expect(plis(runTo(START + 320))).toHaveLength(1);
  });

  it('lead to none when a keyframe has come behind them', () => {
    sendVideo({ sequence: 10, keyframe: true });
    sendVideo({ sequence: 12 });
    sendVideo({ sequence: 13, keyframe: true });
    expect(plis(runTo(START + 900))).toEqual([]);
  });

  it('are waited for more briefly behind a re-key of the broadcaster', () => {
    sendVideo({ sequence: 10, keyframe: true });
    room.producerRekeyed(now);
    sendVideo({ sequence: 40, timestamp: 50_000 });
    expect(plis(runTo(START + 199))).toEqual([]);
    expect(plis(runTo(START + 201))).toHaveLength(1);
  });

  it('are not asked for where there are too many to be held: a keyframe at once', () => {
    sendVideo({ sequence: 10, keyframe: true });
    const outputs = sendVideo({ sequence: 312 });
    expect(nacked(outputs)).toEqual([]);
    expect(plis(outputs)).toHaveLength(1);
  });

  it('are not asked for where they are too old: a keyframe at once', () => {
    sendVideo({ sequence: 10, keyframe: true });
    const outputs = sendVideo({ sequence: 20, timestamp: 91_000 });
    expect(nacked(outputs)).toEqual([]);
    expect(plis(outputs)).toHaveLength(1);
  });
});

describe('what the broadcaster may have sent without keys', () => {
  const rtx = (sequence: number): RoomOutput[] => {
    room.handleProducerRtp('a', retransmissionOf({ sequence }, sequence, 0x3333), now);
    return drain(room);
  };
  const rekeyed = (): RoomOutput[] => {
    room.producerRekeyed(now);
    return drain(room);
  };
  let first: number;

  beforeEach(() => {
    [first = 0] = broadcasts(sendVideo({ sequence: 65_500, keyframe: true }));
  });

  it('is asked for once, as soon as there are keys', () => {
    const asked = nacked(rekeyed());
    expect(asked.slice(0, 2)).toEqual([65_501, 65_502]);
    expect(asked.slice(34, 37)).toEqual([65_535, 0, 1]);
    expect(nacked(runTo(START + 900))).toEqual([]);
    expect(plis(runTo(START + 900))).toEqual([]);
  });

  it('goes to the viewers as it comes, before any new packet, under the numbers that follow', () => {
    rekeyed();
    now += 100;
    expect([...broadcasts(rtx(65_501)), ...broadcasts(rtx(65_502))]).toEqual([first + 1, first + 2]);
    const next = sendVideo({ sequence: 65_503 });
    expect(broadcasts(next)).toEqual([first + 3]);
    expect(nacked(next)).toEqual([]);
    expect(room.stats).toMatchObject({ recovered: 2, lost: 2, unrepaired: 0 });
  });

  it('is asked for again, where it does not come, no sooner than what was asked for by itself', () => {
    rekeyed();
    now += 100;
    expect(nacked(rtx(65_504))).toEqual([]);
    expect(nacked(sendVideo({ sequence: 65_506 }))).toEqual([]);
    expect(nacked(runTo(START + 119))).toEqual([]);
    expect(nacked(runTo(START + 125))).toEqual([65_501, 65_502, 65_503, 65_505]);
  });

  it('is asked for at once where that was too long ago', () => {
    rekeyed();
    now += 700;
    expect(nacked(sendVideo({ sequence: 65_503 }))).toEqual([65_501, 65_502]);
    expect(plis(runTo(now + 199))).toEqual([]);
  });

  it('is nothing any more once the broadcaster goes on', () => {
    rekeyed();
    now += 100;
    sendVideo({ sequence: 65_501 });
    expect(broadcasts(rtx(65_502))).toEqual([]);
    expect(room.stats.drops).toMatchObject({ unexpectedRetransmission: 1 });
    expect(room.stats.lost).toBe(0);
  });

  it('is taken once, and only where it can have been asked for', () => {
    rekeyed();
    now += 100;
    expect(broadcasts(rtx(65_501))).toEqual([first + 1]);
    expect(broadcasts(rtx(65_501))).toEqual([]);
    expect(broadcasts(rtx((65_500 + 129) % 65_536))).toEqual([]);
    expect(room.stats.drops).toMatchObject({ duplicate: 1, unexpectedRetransmission: 1 });
  });

  it('is not asked for where nothing came lately, or nothing at all', () => {
    now += 1_100;
    expect(nacked(rekeyed())).toEqual([]);
    room.setProducer('b');
    expect(nacked(rekeyed())).toEqual([]);
  });

  it('is not asked for of what an earlier process has seen: the next packet shows what this one has to have', () => {
    const successor = new Room({ rng: seededRandom(2), now, wall: WALL + now, state: room.capture() });
    successor.producerRekeyed(now);
    expect(nacked(drain(successor))).toEqual([]);
  });
});

describe('a re-key of a viewer', () => {
  const stream = (from: number, to: number) => {
    const indices: number[] = [];
    for (let sequence = from; sequence <= to; sequence++)
      indices.push(...broadcasts(sendVideo({ sequence, keyframe: sequence === 10 })));
    return indices;
  };

  it('sends again what went out since the offer, oldest first, as the same bytes, then live goes on', () => {
    room.addConsumer('v', now);
    stream(10, 14);
    now += 201;
    room.consumerRekeyStarted('v', true, now);
    const sent = new Map<number, Uint8Array>();
    for (let sequence = 15; sequence <= 20; sequence++) {
      for (const output of sendVideo({ sequence }))
        if (output.kind === 'broadcast') sent.set(output.media.index, output.media.bytes);
    }
    room.consumerKeyed('v', now);
    const resent = sends(drain(room));
    expect(resent.map(({ index, bytes }) => [index, bytes])).toEqual([...sent]);
    expect(resent.every(({ to, ssrc }) => to === 'v' && ssrc === video().ssrc)).toBe(true);
    expect(broadcasts(sendVideo({ sequence: 21 }))).toEqual([Math.max(...sent.keys()) + 1]);
    room.consumerKeyed('v', now);
    expect(sends(drain(room)).length).toBe(12);
  });

  it('sends again what went out shortly before the offer, too: it may come behind that, to a browser that has the keys no more', () => {
    room.addConsumer('v', now);
    stream(10, 11);
    now += 1;
    const late = stream(12, 13);
    now += 200;
    room.consumerRekeyStarted('v', true, now);
    room.consumerKeyed('v', now);
    expect(sends(drain(room)).map(({ index }) => index)).toEqual(late);
  });

  it('sends both streams in the order in which they went out', () => {
    room.addConsumer('v', now);
    room.consumerRekeyStarted('v', true, now);
    for (let i = 0; i < 5; i++) {
      now += 10;
      room.handleProducerRtp('a', videoPacket({ sequence: i, keyframe: i === 0 }), now);
      now += 10;
      room.handleProducerRtp('a', audioPacket({ sequence: i }), now);
    }
    drain(room);
    room.consumerKeyed('v', now);
    const ssrcs = sends(drain(room)).map(({ ssrc }) => ssrc);
    expect(ssrcs).toEqual([0, 1, 2, 3, 4].flatMap(() => [video().ssrc, audio().ssrc]));
  });

  it('does not send twice what is still waiting to go out', () => {
    room.addConsumer('v', now);
    room.consumerRekeyStarted('v', true, now);
    room.handleProducerRtp('a', videoPacket({ sequence: 10, keyframe: true }), now);
    room.consumerKeyed('v', now);
    const outputs = drain(room);
    expect(broadcasts(outputs)).toHaveLength(1);
    expect(sends(outputs)).toEqual([]);
  });

  it('is bounded, and asks for a keyframe where it leaves something out', () => {
    room.addConsumer('v', now);
    stream(10, 10 + 599);
    now += 1000;
    room.consumerKeyed('v', now);
    const outputs = drain(room);
    expect(sends(outputs)).toHaveLength(512);
    expect(plis(outputs)).toHaveLength(1);
  });

  it('and the first keys of a new one come by the same call', () => {
    stream(10, 14);
    room.consumerKeyed('v', now);
    // It joins: a keyframe is made for it, and nothing is sent again.
    const joined = drain(room);
    expect([sends(joined), plis(joined)]).toMatchObject([[], [{}]]);
    now += 201;
    room.consumerRekeyStarted('v', true, now);
    const [index] = stream(15, 15);
    room.consumerKeyed('v', now);
    expect(sends(drain(room)).map((sent) => sent.index)).toEqual([index]);
  });

  it('moves the retransmission stream to a new cycle', () => {
    room.addConsumer('v', now);
    const [first] = stream(10, 12);
    const [before] = sends(consumerRtcp('v', nack(first!)));
    room.consumerKeyed('v', now);
    drain(room);
    const [after] = sends(consumerRtcp('v', nack(first!)));
    expect(Math.floor(after!.index / 2 ** 16)).toBe(Math.floor(before!.index / 2 ** 16) + 1);
  });
});

describe('a room in the next process', () => {
  const revive = (state: RoomState, seed = 2): void => {
    room = new Room({ rng: seededRandom(seed), now, wall: WALL + now - START, state });
  };

  it('captures and revives to the same state', () => {
    sendVideo({ sequence: 10, keyframe: true, timestamp: 12_345 });
    room.handleProducerRtp('a', audioPacket({ sequence: 10 }), now);
    const state = room.capture();
    const { limit } = video();
    revive(state);
    expect(room.producer).toBe('a');
    expect(room.capture()).toEqual({
      producer: 'a',
      streams: state.streams.map((stream) => ({ ...stream, limit: stream.limit + MIN_RESERVE_PACKETS })),
    });
    expect(video().limit).toBe(limit + MIN_RESERVE_PACKETS);
  });

  it('reserves indices for the rate of the stream, and for no less than a handful', () => {
    sendVideo({ sequence: 0, keyframe: true });
    const first = video().limit - MIN_RESERVE_PACKETS;
    for (let sequence = 1; sequence < 1000; sequence++) {
      now += 1;
      sendVideo({ sequence });
    }
    expect(video().limit).toBe(first + 999 + DEFAULT_RESERVE_MS);
    expect(room.capture(1000).streams.find(({ kind }) => kind === 'video')?.limit).toBe(first + 999 + 1000);
  });

  it('goes on with the same numbers, and sends nothing below the limit on resumed contexts', () => {
    const [first] = broadcasts(sendVideo({ sequence: 10, keyframe: true, timestamp: 0 }));
    const state = room.capture();
    const { limit } = video();
    now += 300;
    revive(state);
    room.addConsumer('stale', now, { resumed: true });
    room.addConsumer('fresh', now);
    drain(room);
    const below = sendVideo({ sequence: 10 + MIN_RESERVE_PACKETS, timestamp: 27_000 });
    expect(broadcasts(below)).toEqual([]);
    expect(sends(below)).toMatchObject([{ to: 'fresh', index: first! + MIN_RESERVE_PACKETS }]);
    const above = sendVideo({ sequence: 10 + limit - first!, timestamp: 28_000 });
    expect(broadcasts(above)).toEqual([limit]);
    expect(sends(consumerRtcp('stale', nack(limit)))).toEqual([]);
    expect(room.stats.drops).toMatchObject({ notFresh: 1 });
    expect(sends(consumerRtcp('fresh', nack(limit)))).toHaveLength(1);
  });

  /** What a viewer gets behind its re-key of packets 11 to 100 after the first, the last of which came behind the offer. */
  const resentBehindRestart = (served: boolean): { readonly first: number; readonly resent: number[] } => {
    const [first = 0] = broadcasts(sendVideo({ sequence: 10, keyframe: true }));
    revive(room.capture());
    room.addConsumer('stale', now, { resumed: true });
    for (let sequence = 11; sequence < 100; sequence++) sendVideo({ sequence });
    now += 201;
    room.consumerRekeyStarted('stale', served, now);
    sendVideo({ sequence: 100 });
    room.consumerKeyed('stale', now);
    const resent = sends(drain(room)).map(({ index }) => index);
    expect(sends(consumerRtcp('stale', nack(first + 40)))).toHaveLength(1);
    return { first, resent };
  };

  it('sends a re-keyed viewer what it could not be sent before: below the limit, and since the offer', () => {
    const { first, resent } = resentBehindRestart(true);
    const below = Array.from({ length: MIN_RESERVE_PACKETS }, (_, i) => first + 1 + i);
    expect(resent).toEqual([...below, first + 90]);
  });

  it('sends one whose browser had not the keys of before everything since the restart', () => {
    const { first, resent } = resentBehindRestart(false);
    expect(resent).toEqual(Array.from({ length: 90 }, (_, i) => first + 1 + i));
  });

  it('does not take again what the process before had seen', () => {
    sendVideo({ sequence: 10, keyframe: true });
    revive(room.capture());
    room.addConsumer('fresh', now);
    drain(room);
    const outputs = sendVideo({ sequence: 10, keyframe: true });
    expect([...broadcasts(outputs), ...sends(outputs)]).toEqual([]);
  });

  it('repairs a small gap by retransmission, and asks for a keyframe only when that fails', () => {
    sendVideo({ sequence: 10, keyframe: true, timestamp: 0 });
    revive(room.capture());
    const outputs = sendVideo({ sequence: 90, timestamp: 27_000 });
    expect(nacked(outputs)).toHaveLength(79);
    expect(plis(outputs)).toEqual([]);
    expect(plis(runTo(START + 199))).toEqual([]);
    expect(plis(runTo(START + 210))).toHaveLength(1);
  });

  it.each([
    ['too many packets', { sequence: 112, timestamp: 27_000 }],
    ['too long a time', { sequence: 30, timestamp: 46_000 }],
  ])('asks for a keyframe at once behind a gap of %s', (_what, packet) => {
    sendVideo({ sequence: 10, keyframe: true, timestamp: 0 });
    revive(room.capture());
    const outputs = sendVideo(packet);
    expect(nacked(outputs)).toEqual([]);
    expect(plis(outputs)).toMatchObject([{ media: VIDEO_SOURCE }]);
  });

  it('begins a new source at the limit, later by the time the restart took', () => {
    const [first] = broadcasts(sendVideo({ sequence: 10, keyframe: true, timestamp: 0 }));
    const state = room.capture();
    const { limit, timestamp } = video();
    now += 5000;
    revive(state);
    const [output] = sendVideo({ sequence: 999, ssrc: 7, keyframe: true, timestamp: 1 });
    expect(first).toBeLessThan(limit);
    expect(output).toMatchObject({ kind: 'broadcast', media: { index: limit } });
    const packet = output?.kind === 'broadcast' ? parseRtp(output.media.bytes)! : undefined;
    expect((packet!.timestamp - timestamp) >>> 0).toBe(450_000);
  });
});

describe('the reserve of indices', () => {
  const stream = (from: number, to: number) => {
    for (let sequence = from; sequence < to; sequence++)
      room.handleProducerRtp('a', videoPacket({ sequence, keyframe: sequence === 0 }), now);
  };

  it('does not apply before anything has been granted', () => {
    stream(0, 500);
    expect(broadcasts(drain(room))).toHaveLength(500);
  });

  it('holds media back at the limit, asks once, and goes on when more is granted', () => {
    stream(0, 1);
    drain(room);
    room.granted(room.capture());
    stream(1, 100);
    const before = drain(room);
    expect(broadcasts(before)).toHaveLength(MIN_RESERVE_PACKETS);
    expect(before.at(-1)).toEqual({ kind: 'reserve' });
    expect(drain(room)).toEqual([]);
    room.granted(room.capture());
    expect(broadcasts(drain(room))).toHaveLength(99 - MIN_RESERVE_PACKETS);
  });

  it('is asked for before the first packet of another source, whatever the limit', () => {
    stream(0, 1);
    drain(room);
    const state = room.capture();
    room.granted(state);
    room.handleProducerRtp('a', videoPacket({ sequence: 5, ssrc: 7, keyframe: true }), now);
    expect(drain(room).map(({ kind }) => kind)).toContain('reserve');
    room.granted(state);
    expect(drain(room)).toEqual([{ kind: 'reserve' }]);
    room.granted(room.capture());
    expect(broadcasts(drain(room))).toHaveLength(1);
  });

  it('holds a packet of that source back also when the source is gone again', () => {
    stream(0, 1);
    drain(room);
    const state = room.capture();
    room.granted(state);
    room.handleProducerRtp('a', videoPacket({ sequence: 5, ssrc: 7, keyframe: true }), now);
    room.setProducer(undefined);
    room.granted(state);
    expect(broadcasts(drain(room))).toEqual([]);
    room.granted(room.capture());
    expect(broadcasts(drain(room))).toHaveLength(1);
  });

  it('lets RTCP and retransmissions pass', () => {
    room.addConsumer('v', now);
    stream(0, 1);
    const [first] = broadcasts(drain(room));
    room.granted(room.capture());
    stream(1, 200);
    drain(room);
    expect(sends(consumerRtcp('v', nack(first!)))).toHaveLength(1);
    expect(runTo(START + 600).map(({ kind }) => kind)).toContain('producerRtcp');
  });

  it('is bounded while nothing is granted', () => {
    stream(0, 1);
    drain(room);
    room.granted(room.capture());
    stream(1, 4000);
    expect(room.stats.drops.outboxFull).toBe(3999 - 2048);
  });
});

describe('reports', () => {
  it('tell the broadcaster about both sources, half a second in and then each second', () => {
    sendVideo({ sequence: 10, keyframe: true });
    room.handleProducerRtp('a', audioPacket({ sequence: 7 }), now);
    sendVideo({ sequence: 12 });
    const reportsAt: number[] = [];
    for (let time = START; time <= START + 3000; time += 50) {
      for (const output of runTo(time)) {
        const [report] = output.kind === 'producerRtcp' ? (parseRtcp(output.packet) ?? []) : [];
        if (report?.type !== 'receiverReport' || report.reports.length === 0) continue;
        reportsAt.push(time - START);
        if (reportsAt.length > 1) continue;
        expect(report.ssrc).toBe(video().ssrc);
        expect(report.reports).toMatchObject([
          { ssrc: AUDIO_SOURCE, lost: 0, highestSequence: 7 },
          { ssrc: VIDEO_SOURCE, lost: 1, fractionLost: 85, highestSequence: 12 },
        ]);
      }
    }
    expect(reportsAt).toEqual([500, 1500, 2500]);
  });

  it('begin each compound to the broadcaster with a report and the CNAME (RFC 3550 §6.1)', () => {
    sendVideo({ sequence: 10, keyframe: true });
    const outputs = sendVideo({ sequence: 12 });
    const compound = outputs.find((output) => output.kind === 'producerRtcp');
    expect(compound?.kind === 'producerRtcp' && parseRtcp(compound.packet)).toMatchObject([
      { type: 'receiverReport', ssrc: video().ssrc, reports: [] },
      { type: 'sourceDescription', chunks: [{ ssrc: video().ssrc, cname: room.cname }] },
      { type: 'nack' },
    ]);
  });

  it('end when nothing has arrived for a while', () => {
    sendVideo({ sequence: 10, keyframe: true });
    expect(runTo(START + 60_000).length).toBeGreaterThan(3);
    expect(room.nextTimeout()).toBeUndefined();
  });

  const senderReport = (ssrc: number, wall: number, rtpTimestamp: number): RtcpPacket => ({
    type: 'senderReport',
    ssrc,
    ntp: ntpFromWall(wall),
    rtpTimestamp,
    packets: 0,
    octets: 0,
    reports: [],
  });
  const reportsToViewers = (outputs: readonly RoomOutput[]) =>
    outputs.flatMap((output) =>
      output.kind === 'consumerRtcp'
        ? [{ to: output.consumer, packets: parseRtcp(output.packet) ?? [] }]
        : [],
    );

  it('give viewers one clock for sound and picture, the broadcaster having given its own', () => {
    room.addConsumer('v', now);
    drain(room);
    const offsets = { video: 0, audio: 0 };
    for (const output of sendVideo({ sequence: 10, keyframe: true, timestamp: 90_000 }))
      if (output.kind === 'broadcast') offsets.video = parseRtp(output.media.bytes)!.timestamp - 90_000;
    room.handleProducerRtp('a', audioPacket({ sequence: 10, timestamp: 48_000 }), now);
    for (const output of drain(room))
      if (output.kind === 'broadcast') offsets.audio = parseRtp(output.media.bytes)!.timestamp - 48_000;
    expect(reportsToViewers(runTo(now + 1))).toEqual([]);
    // On the broadcaster's clock both timestamps are the same moment.
    const compound = writeRtcp([
      senderReport(VIDEO_SOURCE, 5000, 90_000),
      senderReport(AUDIO_SOURCE, 5000, 48_000),
    ]);
    room.handleProducerRtcp('a', compound, now);
    now += 1000;
    const [report] = reportsToViewers(runTo(now + 1));
    expect(report?.to).toBeUndefined();
    const [sound, picture, names] = report?.packets ?? [];
    if (sound?.type !== 'senderReport' || picture?.type !== 'senderReport')
      throw new Error('no sender reports');
    expect(sound.ntp).toEqual(picture.ntp);
    expect(sound.ssrc).toBe(audio().ssrc);
    expect(picture).toMatchObject({ ssrc: video().ssrc, packets: 1, octets: 4 });
    const seconds = (timestamp: number, offset: number, rate: number) =>
      ((((timestamp - offset) % 2 ** 32) + 2 ** 32) % 2 ** 32) / rate;
    expect(seconds(picture.rtpTimestamp, offsets.video, 90_000)).toBeCloseTo(
      seconds(sound.rtpTimestamp, offsets.audio, 48_000),
      3,
    );
    expect(names).toMatchObject({ chunks: [{ cname: room.cname }, { cname: room.cname }] });
  });

  it('go to viewers without it where the broadcaster never gives its clock', () => {
    const [index] = broadcasts(sendVideo({ sequence: 10, keyframe: true }));
    expect(index).toBeDefined();
    const seen: number[] = [];
    for (let sequence = 11; now < START + 8000; sequence++) {
      sendVideo({ sequence });
      seen.push(...reportsToViewers(runTo(now + 100)).map(() => now - START));
    }
    expect(seen.length).toBeGreaterThanOrEqual(1);
    expect(seen[0]).toBeGreaterThanOrEqual(6000);
  });

  it('of somebody else, or that are none, change nothing', () => {
    room.handleProducerRtcp('b', writeRtcp([senderReport(VIDEO_SOURCE, 5000, 0)]), now);
    room.handleProducerRtcp('a', Uint8Array.of(0, 1), now);
    expect(room.stats.drops).toMatchObject({ notTheProducer: 1, malformedRtcp: 1 });
  });

  it('of arrivals go to the broadcaster from the transport-wide numbers', () => {
    const plain = videoPacket({ sequence: 5, keyframe: true });
    const extension = Uint8Array.of(
      0xbe,
      0xde,
      0,
      1,
      (EXTENSION_ID.transportSequence << 4) | 1,
      0x12,
      0x34,
      0,
    );
    const packet = Uint8Array.of(...plain.subarray(0, 12), ...extension, ...plain.subarray(12));
    packet[0] = 0x90;
    room.handleProducerRtp('a', packet, now);
    drain(room);
    expect(feedbackOf(runTo(START + 50))).toMatchObject([
      {
        type: 'transportCongestion',
        sender: video().ssrc,
        media: VIDEO_SOURCE,
        baseSequence: 0x1234,
        feedbackCount: 0,
      },
    ]);
  });
});

describe('hostile bytes', () => {
  it('never throw, from whomever', () => {
    const rng = seededRandom(99);
    room.addConsumer('v', now);
    sendVideo({ sequence: 10, keyframe: true });
    for (let i = 0; i < 3000; i++) {
      const bytes = randomBytes(rng, 4 + (i % 90));
      bytes[0] = 0x80 | (i % 4 === 0 ? bytes[0]! & 0x3f : 0);
      if (i % 3 === 0) {
        bytes[1] = 200 + (bytes[1]! % 8);
        bytes[2] = 0;
        bytes[3] = Math.floor(bytes.length / 4) - 1;
      } else bytes[1] = [96, 97, 102, 103, 111][i % 5]!;
      now += 1;
      room.handleProducerRtp('a', bytes, now);
      room.handleProducerRtcp('a', bytes, now);
      room.handleConsumerRtcp('v', bytes, now);
      room.handleTimeout(now);
      drain(room);
    }
    expect(room.stats.packetsIn).toBeGreaterThan(1000);
    expect(room.stats.historyBytes).toBeLessThan(1_000_000);
  });
});

import { expect, it } from 'vitest';
import { Room, type RoomOutput } from '../../../../src/room/room.ts';
import { roomMessage } from '../../../../src/server/room-news.ts';
import { Relay } from '../../../../src/server/workers/relay.ts';
import { classifyDatagram } from '../../../../src/transport/demux.ts';
import { secureRandom } from '../../../../src/util/rng.ts';
import { drain, videoPacket } from '../../../support/room-media.ts';

const NEWS = roomMessage({ viewers: 3, onAirSince: undefined }, 0);

function open(place: 'leads' | 'follows' | undefined) {
  const room = new Room({ rng: secureRandom, now: 0, wall: 0 });
  const relay = new Relay(place, room, 0);
  const pass = (): RoomOutput[] => {
    const outputs = drain(room);
    for (const output of outputs) relay.pass(output);
    return outputs;
  };
  return { room, relay, pass };
}

const sequenceNumbers = (outputs: readonly RoomOutput[]) =>
  outputs.flatMap((output) => (output.kind === 'broadcast' ? output.media.index % 65_536 : []));

it('of the engine that leads gives what its room has rewritten, once, and its reports, to rooms that take them for a broadcaster', () => {
  const [lead, follower] = [open('leads'), open('follows')];
  lead.room.setProducer('b');
  for (let sequence = 1; sequence <= 80; sequence++) {
    const packet = videoPacket({ sequence, keyframe: sequence === 1, marker: true });
    lead.room.handleProducerRtp('b', packet, sequence * 100);
    lead.room.handleTimeout(sequence * 100);
    lead.pass();
  }
  expect(lead.relay.hasPackets).toBe(true);
  const packets = lead.relay.takePackets();
  expect([lead.relay.hasPackets, lead.relay.takePackets()]).toEqual([false, []]);
  expect(packets.filter((packet) => classifyDatagram(packet) === 'srtcp')).not.toEqual([]);
  for (const packet of packets) follower.relay.receive(packet, 8_000);
  expect(sequenceNumbers(follower.pass())).toHaveLength(80);
  expect(follower.room.stats.drops).toEqual({});
  expect(follower.relay.hasPackets).toBe(false);
});

it('of the engine that leads gives no reports on what is for one viewer of its own', () => {
  const { relay } = open('leads');
  relay.pass({ kind: 'consumerRtcp', consumer: 'v', packet: new Uint8Array(8) });
  expect(relay.hasPackets).toBe(false);
  relay.pass({ kind: 'consumerRtcp', consumer: undefined, packet: new Uint8Array(8) });
  expect(relay.hasPackets).toBe(true);
});

it('of one that follows asks for keyframes, and for nothing else that a broadcaster is asked for', () => {
  const { room, relay, pass } = open('follows');
  relay.receive(videoPacket({ sequence: 1 }), 0);
  relay.receive(videoPacket({ sequence: 9 }), 1);
  pass();
  while (relay.pollOutput() !== undefined);
  room.handleTimeout(10_000);
  expect(pass().filter(({ kind }) => kind === 'producerRtcp')).not.toEqual([]);
  while (relay.pollOutput() !== undefined);
  room.requestKeyframe(20_000);
  pass();
  expect(relay.pollOutput()).toEqual({ kind: 'keyframe-wanted' });
  expect(relay.pollOutput()).toBeUndefined();
});

it('tells of the room downwards, and of viewers upwards', () => {
  const [lead, follower, alone] = [open('leads'), open('follows'), open(undefined)].map(({ relay }) => relay);
  for (const relay of [lead!, follower!, alone!]) relay.tell(NEWS);
  expect([lead!, follower!, alone!].map((relay) => relay.pollOutput())).toEqual([
    { kind: 'room', message: NEWS },
    { kind: 'viewers', viewers: 3 },
    undefined,
  ]);
  expect([lead!, follower!, alone!].map(({ follows }) => follows)).toEqual([false, true, false]);
  lead!.watch(1, 4);
  lead!.watch(2, 5);
  lead!.watch(1, 6);
  expect(lead!.viewers).toBe(11);
});

it('of an engine that is alone passes nothing on', () => {
  const { room, relay, pass } = open(undefined);
  room.setProducer('b');
  room.handleProducerRtp('b', videoPacket({ sequence: 1, keyframe: true, marker: true }), 0);
  room.handleTimeout(2_000);
  expect(sequenceNumbers(pass())).toHaveLength(1);
  expect([relay.hasPackets, relay.pollOutput()]).toEqual([false, undefined]);
});

import { Room, type RoomOutput } from '../../../src/room/room.ts';
import { parseRtcp, writeRtcp } from '../../../src/rtp/rtcp.ts';
import { decodeRoom } from '../../../src/snapshot/codec/media.ts';
import { ByteReader, concat, toHex } from '../../../src/util/bytes.ts';
import type { Millis } from '../../../src/util/clock.ts';
import { audioPacket, retransmissionOf, videoPacket } from '../../support/room-media.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { encodeMedia, SAMPLE_TIME } from '../../support/snapshots.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateBytes } from '../mutate.ts';
import { decodeScript, encodeScript, mutateScript, type Step } from '../script.ts';
import { mutateRtcp, SAMPLE_RTCP } from './rtcp.ts';

const PRODUCER = '00112233445566ff/1';
const CONSUMERS = ['0000000000000001/1', '0000000000000002/1'];
/** A burst of retransmissions, or all that a re-key sends again, and what goes with it. */
const MAX_OUTPUTS_AT_ONCE = 1_100;
const MAX_HISTORY_BYTES = (256 + 1_024) * 2_100;

const OP = {
  producerRtp: 0,
  producerRtcp: 1,
  consumerRtcp: 2,
  time: 3,
  write: 4,
  keyed: 5,
  producer: 6,
  rekey: 7,
} as const;
const OPS = 8;
const step = (op: number, data: Uint8Array = new Uint8Array(0)): Step => ({ op, data });
const video = (sequence: number): Step =>
  step(OP.producerRtp, videoPacket({ sequence, keyframe: sequence % 10 === 1, timestamp: sequence * 3_000 }));
const fromConsumer = (bytes: Uint8Array): Step => step(OP.consumerRtcp, concat(Uint8Array.of(0), bytes));

export const room: FuzzTarget = {
  id: 'fuzz-room',
  claim:
    'whatever broadcaster and viewers say under good keys, the room forwards each number once, floods nobody and can be written',
  inputs: 3_600,
  reaches: ['forwarded', 'forwarded and asked', 'retransmitted', 'dropped'],
  seeds: () =>
    [
      [1, 2, 3, 7].map(video),
      [
        ...[1, 2, 3].map(video),
        fromConsumer(nack([1, 2, 3])),
        step(OP.time, Uint8Array.of(0, 50)),
        fromConsumer(nack([2])),
      ],
      [
        video(1),
        video(5),
        step(OP.time, Uint8Array.of(0, 30)),
        step(OP.producerRtp, retransmissionOf({ sequence: 3 }, 1, 0x99)),
      ],
      [video(1), step(OP.write), video(2), video(65_000), video(3), step(OP.write), video(4)],
      [
        step(OP.producerRtp, audioPacket({ sequence: 9 })),
        ...SAMPLE_RTCP.map((one) => step(OP.producerRtcp, writeRtcp([one]))),
      ],
      SAMPLE_RTCP.map((one) => fromConsumer(writeRtcp([one]))),
      [
        video(1),
        step(OP.rekey),
        video(2),
        video(3),
        step(OP.keyed),
        step(OP.producer, Uint8Array.of(1)),
        video(4),
      ],
      [
        step(OP.producerRtp, videoPacket({ sequence: 40, ssrc: 5 })),
        video(1),
        step(OP.producerRtp, videoPacket({ sequence: 41, ssrc: 5, keyframe: true })),
      ],
    ].map(encodeScript),
  mutate: (input, random) =>
    mutateScript(input, random, OPS, (data) =>
      parseRtcp(data.subarray(1)) === undefined
        ? mutateBytes(data, random, data)
        : concat(data.subarray(0, 1), mutateRtcp(data.subarray(1), random)),
    ),
  run: (input) => {
    const watched = new WatchedRoom();
    for (const one of decodeScript(input)) watched.take(one);
    return watched.finish();
  },
};

/** NACKs name the room's SSRC, which the seed of its generator makes the same each time. */
function nack(numbers: readonly number[]): Uint8Array {
  const [, stream] = newRoom().capture().streams;
  const first = (stream?.limit ?? 8) - 8;
  return writeRtcp([
    {
      type: 'nack',
      sender: 7,
      media: stream?.ssrc ?? 0,
      sequences: numbers.map((one) => (first + one - 1) % 65_536),
    },
  ]);
}

const newRoom = (): Room => new Room({ rng: seededRandom(3), now: 0, wall: SAMPLE_TIME });

class WatchedRoom {
  readonly #room = newRoom();
  readonly #used = new Map<string, string>();
  #now: Millis = 0;
  #media = 0;
  #asked = 0;

  constructor() {
    this.#room.setProducer(PRODUCER);
    for (const id of CONSUMERS) this.#room.addConsumer(id, 0);
    this.#drain();
  }

  take({ op, data }: Step): void {
    const reader = new ByteReader(data);
    switch (op % OPS) {
      case OP.producerRtp:
        this.#room.handleProducerRtp(PRODUCER, data, this.#now);
        break;
      case OP.producerRtcp:
        this.#room.handleProducerRtcp(PRODUCER, data, this.#now);
        break;
      case OP.consumerRtcp:
        this.#room.handleConsumerRtcp(CONSUMERS[reader.u8()] ?? 'nobody', reader.rest(), this.#now);
        break;
      case OP.time:
        this.#now += reader.u16();
        this.#room.handleTimeout(this.#now);
        break;
      case OP.write:
        this.#write();
        break;
      case OP.keyed:
        this.#room.consumerKeyed(CONSUMERS[0]!, this.#now);
        break;
      case OP.producer:
        this.#room.setProducer(reader.u8() === 0 ? undefined : PRODUCER);
        break;
      case OP.rekey:
        this.#room.consumerRekeyStarted(CONSUMERS[0]!, reader.u8() % 2 === 0, this.#now);
        this.#room.producerRekeyed(this.#now);
        break;
    }
    this.#drain();
  }

  finish(): string {
    this.#write();
    const { historyBytes, retransmitted, packetsOut, drops } = this.#room.stats;
    if (historyBytes > MAX_HISTORY_BYTES) throw new Error(`${historyBytes} bytes of history`);
    if (retransmitted > 0) return 'retransmitted';
    if (packetsOut > 0) return this.#asked > 1 ? 'forwarded and asked' : 'forwarded';
    if (Object.keys(drops).length > 0) return 'dropped';
    return this.#asked > 0 ? 'asked' : 'nothing';
  }

  /** The state can always be written, and is read as it was. */
  #write(): void {
    const state = this.#room.capture();
    for (const record of encodeMedia({ writtenAt: 0, notAfter: 0, room: state, peers: [] })) {
      if (decodeRoom(record) === undefined) throw new Error('the state of the room is not read again');
    }
    this.#room.granted(state);
  }

  #drain(): void {
    let outputs = 0;
    for (let output = this.#room.pollOutput(); output !== undefined; output = this.#room.pollOutput()) {
      if (++outputs > MAX_OUTPUTS_AT_ONCE) throw new Error('a flood of outputs');
      this.#check(output);
    }
  }

  #check(output: RoomOutput): void {
    if (output.kind === 'reserve') {
      this.#write();
      return;
    }
    if (output.kind === 'producerRtcp' || output.kind === 'consumerRtcp') {
      this.#asked++;
      if (parseRtcp(output.packet) === undefined) throw new Error('the room sends RTCP that does not parse');
      return;
    }
    this.#media++;
    const { ssrc, index, bytes } = output.media;
    const key = `${output.kind === 'send' && bytes[1]! % 128 === 97 ? output.consumer : ''} ${ssrc}/${index}`;
    const text = toHex(bytes);
    if ((this.#used.get(key) ?? text) !== text) throw new Error(`two packets have the number ${key}`);
    this.#used.set(key, text);
  }
}

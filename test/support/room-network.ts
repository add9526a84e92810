import { PAYLOAD_TYPE } from '../../src/room/media.ts';
import { Room, type RoomOutput } from '../../src/room/room.ts';
import type { RoomState } from '../../src/room/state.ts';
import { parseRtp } from '../../src/rtp/packet.ts';
import { parseRtcp, writeRtcp } from '../../src/rtp/rtcp.ts';
import { nearestExtended } from '../../src/rtp/sequence.ts';
import { readUint16 } from '../../src/util/bytes.ts';
import { audioPacket, retransmissionOf, type TestPacket, VIDEO_SOURCE, videoPacket } from './room-media.ts';
import { seededNumbers, seededRandom } from './seeded-rng.ts';

const WALL = 1_800_000_000_000;
const RTX_SOURCE = 0x3333;
const FRAME_MS = 33;
const PACKETS_A_FRAME = 3;

export interface Path {
  readonly loss: number;
  readonly delay: number;
  /** Up to this much more, which reorders. */
  readonly jitter: number;
}

/** One broadcaster and its viewers around a room, on virtual time and a seeded network. */
export class RoomNetwork {
  now = 0;
  up: Path;
  down: Path;
  readonly viewers: ViewerModel[] = [];
  readonly broadcaster = new BroadcasterModel();
  readonly #chance: () => number;
  readonly #events: { at: number; order: number; run: () => void }[] = [];
  #order = 0;
  #room: Room | undefined;
  #written: RoomState;
  #crashes = 0;

  constructor(seed: number, path: Path) {
    this.#chance = seededNumbers(seed);
    this.up = path;
    this.down = path;
    this.#room = new Room({ rng: seededRandom(seed), now: 0, wall: WALL });
    this.#room.setProducer('a');
    this.#written = this.#room.capture();
    this.#room.granted(this.#written);
    this.#every(FRAME_MS, () => {
      for (const packet of this.broadcaster.frame(this.now)) this.#upstream(packet);
    });
    this.#every(20, () => this.#upstream(this.broadcaster.audio(this.now)));
    this.#every(200, () => this.#write());
    this.#every(20, () => this.#viewerFeedback());
  }

  get room(): Room {
    if (this.#room === undefined) throw new Error('the server is down');
    return this.#room;
  }

  at(time: number, run: () => void): void {
    this.#events.push({ at: time, order: this.#order++, run });
  }

  run(until: number): void {
    for (;;) {
      const event = this.#events.reduce((a, b) =>
        b.at < a.at || (b.at === a.at && b.order < a.order) ? b : a,
      );
      const timeout = this.#room?.nextTimeout() ?? Number.POSITIVE_INFINITY;
      if (Math.min(event.at, timeout) > until) break;
      if (timeout < event.at) {
        this.now = Math.max(this.now, timeout);
        this.#room?.handleTimeout(this.now);
      } else {
        this.#events.splice(this.#events.indexOf(event), 1);
        this.now = Math.max(this.now, event.at);
        event.run();
      }
      this.#drain();
    }
    this.now = until;
  }

  join(): ViewerModel {
    const viewer = new ViewerModel(`viewer-${this.viewers.length}`);
    this.viewers.push(viewer);
    this.room.addConsumer(viewer.id, this.now);
    return viewer;
  }

  /** In place: the offer leaves, half a round trip later the viewer drops its keys, another half and the server has the new ones. */
  rekeyViewer(viewer: ViewerModel, half: number): void {
    this.room.consumerRekeyStarted(viewer.id, true, this.now);
    this.at(this.now + half, () => {
      viewer.epoch++;
    });
    this.at(this.now + 2 * half, () => {
      viewer.sendEpoch++;
      this.room.consumerKeyed(viewer.id, this.now);
    });
  }

  /** Nothing passes between broadcaster and server for a while; then it has fresh keys. */
  rekeyBroadcaster(span: number): void {
    const before = this.up;
    this.up = { ...before, loss: 1 };
    this.at(this.now + span, () => {
      this.up = before;
      this.room.producerRekeyed(this.now);
    });
  }

  /** The process is gone, and another one is there `downtime` later with what was written last. */
  crash(downtime: number, revived: () => void): void {
    this.#room = undefined;
    this.#crashes++;
    this.at(this.now + downtime, () => {
      const rng = seededRandom(1000 + this.#crashes);
      this.#room = new Room({ rng, now: this.now, wall: WALL + this.now, state: this.#written });
      for (const { id } of this.viewers) this.#room.addConsumer(id, this.now, { resumed: true });
      this.#write();
      revived();
    });
  }

  #every(span: number, run: () => void): void {
    const again = () => {
      run();
      this.at(this.now + span, again);
    };
    this.at(this.now + span, again);
  }

  #write(): void {
    if (this.#room === undefined) return;
    this.#written = this.#room.capture();
    this.#room.granted(this.#written);
  }

  #transfer(path: Path, arrive: () => void): void {
    if (this.#chance() < path.loss) return;
    this.at(this.now + path.delay + this.#chance() * path.jitter, arrive);
  }

  #upstream(packet: Uint8Array): void {
    this.#transfer(this.up, () => this.#room?.handleProducerRtp('a', packet, this.now));
  }

  #viewerFeedback(): void {
    for (const viewer of this.viewers) {
      const compound = viewer.feedback(this.now);
      if (compound === undefined) continue;
      this.#transfer(this.down, () => this.#room?.handleConsumerRtcp(viewer.id, compound, this.now));
    }
  }

  #drain(): void {
    for (let output = this.#room?.pollOutput(); output !== undefined; output = this.#room?.pollOutput())
      this.#handle(output);
  }

  #handle(output: RoomOutput): void {
    switch (output.kind) {
      case 'reserve':
        this.#write();
        return;
      case 'producerRtcp':
        this.#transfer(this.up, () => {
          for (const packet of this.broadcaster.feedback(output.packet, this.now)) this.#upstream(packet);
        });
        return;
      case 'broadcast':
      case 'send':
        for (const viewer of this.viewers) {
          if (output.kind === 'send' && output.consumer !== viewer.id) continue;
          const epoch = viewer.sendEpoch;
          this.#transfer(this.down, () => viewer.receive(output.media.bytes, epoch, this.now));
        }
    }
  }
}

/** A browser that sends: frames of several packets, a second of history, keyframes when asked. */
class BroadcasterModel {
  readonly #history = new Map<number, { packet: TestPacket; at: number }>();
  #sequence = 65_000;
  #audioSequence = 100;
  #rtxSequence = 0;
  #keyframeWanted = true;
  paused = false;
  keyframes = 0;
  keyframeRequests = 0;
  /** Payloads of all video packets sent, by their text. */
  readonly sent: string[] = [];

  frame(now: number): Uint8Array[] {
    if (this.paused) return [];
    return Array.from({ length: PACKETS_A_FRAME }, (_, i) => {
      const keyframe = i === 0 && this.#keyframeWanted;
      if (keyframe) {
        this.#keyframeWanted = false;
        this.keyframes++;
      }
      const sequence = this.#sequence++;
      const number = [sequence >> 16, sequence >> 8, sequence].map((value) => value & 0xff);
      const payload = Uint8Array.of(i === 0 ? 0x10 : 0x00, keyframe ? 0 : 1, ...number);
      const packet = { sequence, payload, timestamp: now * 90, marker: i === PACKETS_A_FRAME - 1 };
      this.#history.set(sequence, { packet, at: now });
      this.sent.push(String(payload));
      return videoPacket(packet);
    });
  }

  audio(now: number): Uint8Array {
    return audioPacket({ sequence: this.#audioSequence++, timestamp: now * 48 });
  }

  feedback(compound: Uint8Array, now: number): Uint8Array[] {
    const answers: Uint8Array[] = [];
    for (const packet of parseRtcp(compound) ?? []) {
      if (packet.type === 'pli' && packet.media === VIDEO_SOURCE) {
        this.#keyframeWanted = true;
        this.keyframeRequests++;
      }
      if (packet.type !== 'nack' || packet.media !== VIDEO_SOURCE) continue;
      for (const sequence of packet.sequences) {
        const kept = this.#history.get(nearestExtended(sequence, this.#sequence));
        if (kept === undefined || now - kept.at > 1000) continue;
        answers.push(retransmissionOf(kept.packet, this.#rtxSequence++ & 0xffff, RTX_SOURCE));
      }
    }
    return answers;
  }
}

/** A browser that watches: unwraps retransmissions, asks for what is missing. */
export class ViewerModel {
  readonly id: string;
  /** Keys the viewer reads with, and keys the server sends with. */
  epoch = 0;
  sendEpoch = 0;
  duplicates = 0;
  readonly #video = new Map<number, string>();
  readonly #missing = new Map<number, { since: number; askedAt: number }>();
  #ssrc = 0;
  #first: number | undefined;
  #highest: number | undefined;

  constructor(id: string) {
    this.id = id;
  }

  /** Payloads of the video received from its first packet on, in the order of their numbers; a hole is `undefined`. */
  get received(): readonly (string | undefined)[] {
    const numbers = [...this.#video.keys()];
    const first = Math.min(...numbers);
    return Array.from({ length: Math.max(...numbers) - first + 1 }, (_, i) => this.#video.get(first + i));
  }

  receive(bytes: Uint8Array, epoch: number, now: number): void {
    const packet = parseRtp(bytes)!;
    if (epoch !== this.epoch) return;
    if (packet.payloadType === PAYLOAD_TYPE.vp8) {
      this.#ssrc = packet.ssrc;
      this.#take(packet.sequenceNumber, packet.payload, now);
    } else if (packet.payloadType === PAYLOAD_TYPE.vp8Rtx) {
      this.#take(readUint16(packet.payload, 0), packet.payload.subarray(2), now);
    }
  }

  feedback(now: number): Uint8Array | undefined {
    const due: number[] = [];
    for (const [number, entry] of this.#missing) {
      if (now - entry.since > 2500) this.#missing.delete(number);
      if (now - entry.askedAt < 100) continue;
      entry.askedAt = now;
      due.push(number & 0xffff);
    }
    return due.length === 0
      ? undefined
      : writeRtcp([{ type: 'nack', sender: 1, media: this.#ssrc, sequences: due }]);
  }

  #take(sequence: number, payload: Uint8Array, now: number): void {
    const number = nearestExtended(sequence, this.#highest ?? sequence);
    this.#first ??= number;
    // What was repaired for others, from before this viewer came.
    if (number < this.#first) return;
    for (let lost = (this.#highest ?? number) + 1; lost < number; lost++)
      this.#missing.set(lost, { since: now, askedAt: Number.NEGATIVE_INFINITY });
    this.#highest = Math.max(this.#highest ?? number, number);
    this.#missing.delete(number);
    const text = String(payload);
    const before = this.#video.get(number);
    if (before !== undefined && before !== text) throw new Error(`${number} carried two packets`);
    if (before !== undefined) this.duplicates++;
    this.#video.set(number, text);
  }
}

import type { Room, RoomOutput } from '../../room/room.ts';
import { parseRtcp } from '../../rtp/rtcp.ts';
import { connectionId } from '../../session/connection.ts';
import { classifyDatagram } from '../../transport/demux.ts';
import type { Millis } from '../../util/clock.ts';
import type { BroadcastOptions, CrewOutput } from '../broadcast-io.ts';
import type { RoomMessage } from '../room-news.ts';

/** In the room of an engine that follows, the one that leads is the broadcaster; in the room of that one, those that follow are one viewer. No session has this id. */
const RELAY = connectionId('0'.repeat(16), 0);

/**
 * What passes between the rooms of several engines. From the one that leads to those that follow: media that it has rewritten, and reports on it. The
 * other way: how many watch, and that a keyframe is needed. An engine that is alone has nothing to pass on.
 */
export class Relay {
  readonly #place: BroadcastOptions['place'];
  readonly #room: Room;
  #packets: Uint8Array[] = [];
  readonly #viewers = new Map<number, number>();
  readonly #outputs: CrewOutput[] = [];

  constructor(place: BroadcastOptions['place'], room: Room, now: Millis) {
    this.#place = place;
    this.#room = room;
    if (place === 'follows') room.setProducer(RELAY);
    // It has no keys of which an earlier process could have used any: every packet goes to it.
    if (place === 'leads') room.addConsumer(RELAY, now);
  }

  /** Whether visitors are let in, and told of the room, by another engine. */
  get follows(): boolean {
    return this.#place === 'follows';
  }

  /** Takes from what the room gives out what is for the others. */
  pass(output: RoomOutput): void {
    const leads = this.#place === 'leads';
    switch (output.kind) {
      case 'broadcast':
        if (leads) this.#packets.push(output.media.bytes);
        break;
      case 'send':
        if (output.consumer === RELAY) this.#packets.push(output.media.bytes);
        break;
      case 'consumerRtcp':
        if (leads && (output.consumer ?? RELAY) === RELAY) this.#packets.push(output.packet);
        break;
      case 'producerRtcp':
        // What is lost the engine that leads asks for by itself.
        if (output.producer === RELAY && parseRtcp(output.packet)?.some(({ type }) => type === 'pli'))
          this.#outputs.push({ kind: 'keyframe-wanted' });
    }
  }

  /** What the engine that leads has taken from its {@link takePackets}. */
  receive(packet: Uint8Array, now: Millis): void {
    if (classifyDatagram(packet) === 'srtcp') this.#room.handleProducerRtcp(RELAY, packet, now);
    else this.#room.handleProducerRtp(RELAY, packet, now);
  }

  get hasPackets(): boolean {
    return this.#packets.length > 0;
  }

  /** Rewritten media and reports on it, for the engines that follow. */
  takePackets(): readonly Uint8Array[] {
    const packets = this.#packets;
    this.#packets = [];
    return packets;
  }

  /** So many watch in one of the engines that follow. */
  watch(engine: number, viewers: number): void {
    this.#viewers.set(engine, viewers);
  }

  /** How many watch in all of them. */
  get viewers(): number {
    let sum = 0;
    for (const viewers of this.#viewers.values()) sum += viewers;
    return sum;
  }

  /** The room has changed: pages of those that follow are told by the engine that leads. */
  tell(message: RoomMessage): void {
    if (this.#place === 'leads') this.#outputs.push({ kind: 'room', message });
    if (this.#place === 'follows') this.#outputs.push({ kind: 'viewers', viewers: message.viewers });
  }

  /** A session in another engine gives up its place. */
  dismiss(session: string): void {
    this.#outputs.push({ kind: 'dismiss', session });
  }

  pollOutput(): CrewOutput | undefined {
    return this.#outputs.shift();
  }
}

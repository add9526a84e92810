import type { Room, RoomOutput } from '../room/room.ts';
import { type Connection, sessionOf } from '../session/connection.ts';
import type { Address } from '../transport/address.ts';
import { type MediaProtector, PlainProtector } from '../transport/srtp/protector.ts';
import type { Millis } from '../util/clock.ts';
import { MediaQueue } from './media-queue.ts';
import type { Route, Routes } from './routes.ts';
import { Succession } from './succession.ts';
import type { Relay } from './workers/relay.ts';

interface ForwardingOptions {
  readonly room: Room;
  readonly routes: Routes;
  readonly relay: Relay;
  /** Has index limits raised, before it returns. */
  readonly reserve: () => void;
  /** The peer of this connection has something to send. */
  readonly flush: (route: Route, now: Millis) => void;
  readonly queueFull: () => void;
  readonly protectFailed: (connection: Connection, error: unknown) => void;
}

/**
 * Between the room and its connections: what they have unprotected goes in, and what comes out goes to whom it is for.
 *
 *   broadcaster's peer ─▶ succession ─▶ room ─▶ relay        (other engines)
 *                                            ─▶ queue ─▶ protector ─▶ send     (media)
 *                                            ─▶ peer ─▶ flush                  (RTCP)
 *
 * Drain the room ({@link drain}) after each call that changes it. Media waits ({@link waits}) until it is asked for by {@link send}. The room hears one
 * connection of the broadcaster at a time, and never goes back to an older one while a newer one has keys.
 */
export class Forwarding {
  readonly #options: ForwardingOptions;
  readonly #succession = new Succession();
  readonly #queue = new MediaQueue();
  #protector: MediaProtector = new PlainProtector();
  #sent = 0;

  constructor(options: ForwardingOptions) {
    this.#options = options;
  }

  /** Datagrams of media so far, to all viewers. */
  get sent(): number {
    return this.#sent;
  }

  /**
   * What this connection has sent. Media of the broadcaster's replacement connection takes over with its first whole frame, which is a keyframe:
   * gives whether it has done so just now.
   */
  takeRtp(connection: Connection, packet: Uint8Array, now: Millis): boolean {
    if (connection.role !== 'broadcaster') return false;
    const { room } = this.#options;
    if (!this.#succeeds(connection)) {
      room.handleProducerRtp(connection.id, packet, now);
      return false;
    }
    const held = this.#succession.add(connection.id, packet);
    if (held === undefined) return false;
    room.setProducer(connection.id);
    for (const earlier of held) room.handleProducerRtp(connection.id, earlier, now);
    return true;
  }

  takeRtcp({ id, role }: Connection, packet: Uint8Array, now: Millis): void {
    const { room } = this.#options;
    if (role === 'viewer') room.handleConsumerRtcp(id, packet, now);
    else room.handleProducerRtcp(id, packet, now);
  }

  /** What goes out from here on, and has shortly before, is sent again under the new keys. `served`: as of `Room.consumerRekeyStarted`. */
  rekeyStarted({ id, role }: Connection, served: boolean, now: Millis): void {
    if (role === 'viewer') this.#options.room.consumerRekeyStarted(id, served, now);
  }

  keyed({ id, role }: Connection, now: Millis): void {
    const { room } = this.#options;
    if (role === 'viewer') {
      this.#queue.sendsAgain(id);
      room.consumerKeyed(id, now);
      return;
    }
    const { producer } = room;
    if (producer === id) room.producerRekeyed(now);
    else if (producer === undefined || sessionOf(producer) !== sessionOf(id)) room.setProducer(id);
  }

  /** @param rest what its session has now */
  closed({ id, role }: Connection, rest: readonly Connection[]): void {
    const { room } = this.#options;
    if (role === 'viewer') room.removeConsumer(id);
    else if (room.producer === id) {
      const successor = rest.find(
        (other) => other.role === 'broadcaster' && other.peer.keyEpoch !== undefined,
      );
      room.setProducer(successor?.id);
    }
  }

  /** Has all that the room gives go its way. */
  drain(now: Millis): void {
    const { room } = this.#options;
    for (let output = room.pollOutput(); output !== undefined; output = room.pollOutput())
      this.#forward(output, now);
  }

  /** A faster one, when there is time to load it. */
  useProtector(protector: MediaProtector): void {
    this.#protector = protector;
  }

  get waits(): boolean {
    return !this.#queue.isEmpty;
  }

  /** Protects the next of the media that waits, for some of the viewers. A datagram is a view: it is valid until the next call. `false` where there was none. */
  send(send: (datagram: Uint8Array, to: Address) => void): boolean {
    const jobs = this.#queue.take();
    if (jobs.length === 0) return false;
    this.#protector.protect(
      jobs,
      ({ to }, datagram) => {
        this.#sent++;
        send(datagram, to);
      },
      ({ connection }, error) => this.#options.protectFailed(connection, error),
    );
    return true;
  }

  /** Until the page closes the one before, both carry media: there is no way back to that one. */
  #succeeds(connection: Connection): boolean {
    const { room, routes } = this.#options;
    const { producer = '' } = room;
    if (producer === connection.id) return false;
    const before = routes.get(producer)?.connection;
    return (
      before === undefined ||
      sessionOf(producer) !== sessionOf(connection.id) ||
      connection.number > before.number
    );
  }

  #forward(output: RoomOutput, now: Millis): void {
    const { routes, relay, queueFull, reserve } = this.#options;
    relay.pass(output);
    switch (output.kind) {
      case 'broadcast':
        if (!this.#queue.add(output.media, routes.viewers())) queueFull();
        break;
      case 'send': {
        const route = routes.get(output.consumer);
        if (route !== undefined && !this.#queue.addFor(route, output.media)) queueFull();
        break;
      }
      case 'producerRtcp':
        this.#sendRtcp(routes.get(output.producer), output.packet, now);
        break;
      case 'consumerRtcp':
        if (output.consumer !== undefined) this.#sendRtcp(routes.get(output.consumer), output.packet, now);
        else for (const route of routes.viewers()) this.#sendRtcp(route, output.packet, now);
        break;
      case 'reserve':
        reserve();
        break;
    }
  }

  #sendRtcp(route: Route | undefined, packet: Uint8Array, now: Millis): void {
    if (route === undefined) return;
    route.connection.peer.sendRtcp(packet);
    this.#options.flush(route, now);
  }
}

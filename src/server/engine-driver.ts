import type { Address } from '../transport/address.ts';
import type { UdpSocket } from '../transport/socket.ts';
import { LONGEST_TIMER_MS, type Millis, monotonicNow } from '../util/clock.ts';
import type { Broadcast } from './broadcast.ts';

/** Batches of media in one turn of the loop: together about a millisecond, which is how long receiving waits for them. A turn costs as much as some packets. */
export const BATCHES = 4;

export interface EngineDriverOptions {
  readonly broadcast: Broadcast;
  readonly udp: UdpSocket;
  /** Does what the engine wants done, all of it. */
  readonly drain: () => void;
  /** Whether something beside the engine's own media is to leave at the end of this turn of the loop, and has it leave. */
  readonly relay?: { readonly waits: () => boolean; readonly send: () => void };
}

/** An engine on the clock and at a socket. */
export class EngineDriver {
  readonly #options: EngineDriverOptions;
  #timer: NodeJS.Timeout | undefined;
  #timerAt: Millis | undefined;
  #mediaTurn: NodeJS.Immediate | undefined;
  #stopped = false;

  constructor(options: EngineDriverOptions) {
    this.#options = options;
  }

  /** Answers what has waited at the socket, and does what is due. */
  start(): void {
    const { broadcast, udp } = this.#options;
    udp.receive((datagram, from) => this.run((now) => broadcast.handleDatagram(datagram, from, now)));
    this.run((now) => broadcast.handleTimeout(now));
  }

  /** One mutation, then everything that follows from it. */
  run(mutate: (now: Millis) => void): void {
    // The last snapshot is written: what changed now would be lost.
    if (this.#stopped) return;
    mutate(monotonicNow());
    this.#settle();
  }

  /** No more work of its own accord, nor by order. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#mediaTurn);
  }

  #settle(): void {
    this.#options.drain();
    this.#arm();
  }

  /** Media for all goes out behind what this turn of the loop has brought, some at a time: in between, what arrives is received. */
  #sendMedia(): void {
    const { broadcast, udp, relay } = this.#options;
    relay?.send();
    for (let batch = 0; batch < BATCHES && (batch === 0 || broadcast.mediaWaits); batch++) {
      broadcast.sendMedia(this.#sendDatagram);
      udp.flush();
    }
    this.#settle();
  }

  readonly #sendDatagram = (datagram: Uint8Array, to: Address): void =>
    this.#options.udp.sendMedia(datagram, to);

  #arm(): void {
    if (this.#stopped) return;
    const { broadcast, relay } = this.#options;
    if (broadcast.mediaWaits || relay?.waits())
      this.#mediaTurn ??= setImmediate(() => {
        this.#mediaTurn = undefined;
        this.#sendMedia();
      });
    const at = broadcast.nextTimeout();
    if (at === this.#timerAt && this.#timer !== undefined) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer =
      at === undefined
        ? undefined
        : setTimeout(
            () => {
              this.#timer = undefined;
              this.run((now) => broadcast.handleTimeout(now));
            },
            Math.max(0, Math.min(at - monotonicNow(), LONGEST_TIMER_MS)),
          );
  }
}

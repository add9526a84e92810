import type { MediaPacket } from './media.ts';
import type { StreamRouter } from './router.ts';
import type { RoomState } from './state.ts';

export type RoomOutput =
  /** To every consumer, each once. */
  | { readonly kind: 'broadcast'; readonly media: MediaPacket }
  /** To one consumer: sent again after a re-key, or a retransmission. */
  | { readonly kind: 'send'; readonly consumer: string; readonly media: MediaPacket }
  /** A compound that begins with a receiver report. */
  | { readonly kind: 'producerRtcp'; readonly producer: string; readonly packet: Uint8Array }
  /** A compound that begins with a sender report; `undefined`: to every consumer. */
  | { readonly kind: 'consumerRtcp'; readonly consumer: string | undefined; readonly packet: Uint8Array }
  /** What comes next needs indices that no written state covers: capture, write, `granted`, poll on. */
  | { readonly kind: 'reserve' };

type MediaOutput = Extract<RoomOutput, { kind: 'broadcast' | 'send' }>;

interface Held {
  readonly output: MediaOutput;
  readonly router: StreamRouter;
  readonly generation: number;
}

/** What is written about a stream: indices below `limit` may be used, by sources up to `generation`. */
interface Grant {
  readonly limit: number;
  readonly generation: number;
}

/** What waits for a write that does not come is dropped beyond this, oldest first. */
const MAX_HELD = 2048;

/**
 * Outputs in their order, media held back until a written state covers it: its index is below the limit, and its source is
 * no later than the one in the state. Without the second, the next process could give indices to the source before that
 * this process has given to the one after.
 */
export class Outbox {
  readonly #dropped: () => void;
  #immediate: RoomOutput[] = [];
  #media: Held[] = [];
  #grants: Map<StreamRouter, Grant> | undefined;
  #reserveAsked = false;

  constructor(dropped: () => void) {
    this.#dropped = dropped;
  }

  /** A packet of `router`, under its room index. */
  media(router: StreamRouter, output: MediaOutput): void {
    this.#media.push({ output, router, generation: router.generation });
    if (this.#media.length <= MAX_HELD) return;
    this.#media.shift();
    this.#dropped();
  }

  /** Whatever needs no room index. */
  immediate(output: RoomOutput): void {
    this.#immediate.push(output);
  }

  /** The routers' state has been written as `limits`. */
  granted(limits: RoomState, routers: readonly StreamRouter[]): void {
    this.#grants ??= new Map();
    this.#reserveAsked = false;
    for (const router of routers) {
      const written = limits.streams.find((stream) => stream.ssrc === router.ssrc);
      if (written === undefined) continue;
      const covers = router.source?.isMappedAs(written.source) ?? written.source === undefined;
      const before = this.#grants.get(router);
      const generation = covers ? router.generation : (before?.generation ?? -1);
      this.#grants.set(router, { limit: written.limit, generation });
    }
  }

  poll(): RoomOutput | undefined {
    const immediate = this.#immediate.shift();
    if (immediate !== undefined) return immediate;
    const next = this.#media[0];
    if (next === undefined) return undefined;
    if (this.#mayLeave(next)) return this.#media.shift()?.output;
    if (this.#reserveAsked) return undefined;
    this.#reserveAsked = true;
    return { kind: 'reserve' };
  }

  /** Whether this packet has still to go out to everybody. */
  holdsBroadcast(media: MediaPacket): boolean {
    return this.#media.some(({ output }) => output.kind === 'broadcast' && output.media === media);
  }

  /** Drops what was for one consumer: its keys, and so its contexts, are others now. */
  forget(consumer: string): void {
    const isFor = (output: RoomOutput) => 'consumer' in output && output.consumer === consumer;
    this.#media = this.#media.filter(({ output }) => !isFor(output));
    this.#immediate = this.#immediate.filter((output) => !isFor(output));
  }

  #mayLeave({ output, router, generation }: Held): boolean {
    if (this.#grants === undefined) return true;
    const grant = this.#grants.get(router);
    return grant !== undefined && output.media.index < grant.limit && generation <= grant.generation;
  }
}

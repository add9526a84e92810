import type { MediaPacket } from '../room/media.ts';
import type { Connection } from '../session/connection.ts';
import type { Address } from '../transport/address.ts';
import type { SrtpSendContext } from '../transport/srtp/send-context.ts';
import type { Route } from './routes.ts';

/** Datagrams that are made in one go: some tenths of a millisecond, which is how long receiving waits for them. */
const JOBS = 64;
/** Packets of one viewer that are protected together, and leave together. */
const PACKETS = 8;
/** The protection works on four receivers of a packet at once. */
const LANES = 4;
/** Some seconds of media. Whoever is that far behind does not catch up. */
const MAX_WAITING = 1_024;
/** New keys for as many as get them at a time, each with a second of media to be sent again; retransmissions, each a packet of its own, to some 70 MB. */
const MAX_SINGLE = 65_536;

/** A packet on its way to one viewer. */
export interface MediaJob {
  connection: Connection;
  context: SrtpSendContext;
  packet: MediaPacket;
  to: Address;
}

interface Waiting {
  readonly packet: MediaPacket;
  /** As they were when it came: the same list for packet after packet, as long as nobody joins or leaves. */
  readonly viewers: readonly Route[];
  /** Connections that have had it otherwise. */
  without: Set<string> | undefined;
}

/**
 * Media that waits to be protected: what a turn of the event loop brings for all viewers is taken viewer by viewer, since several packets
 * to one receiver are cheaper than the same number to several. What is for one viewer goes first: it is late already.
 */
export class MediaQueue {
  #waiting: Waiting[] = [];
  /** For one viewer each, and the next of them. */
  #single: { readonly route: Route; readonly packet: MediaPacket }[] = [];
  #nextSingle = 0;
  /** What is taken at present, for the same viewers. */
  #packets: readonly Waiting[] = [];
  #viewers: readonly Route[] = [];
  /** The next of them. */
  #next = 0;
  /** Used again and again: one for each packet and viewer would be most of the garbage there is. */
  readonly #pool: MediaJob[] = [];
  /** As many of them as there are jobs: its length changes as seldom as that number, since an array that was emptied has lost its memory. */
  readonly #jobs: MediaJob[] = [];
  #count = 0;

  get isEmpty(): boolean {
    return (
      this.#waiting.length === 0 &&
      this.#next >= this.#viewers.length &&
      this.#nextSingle >= this.#single.length
    );
  }

  /** `false` where too much waits already. */
  add(packet: MediaPacket, viewers: readonly Route[]): boolean {
    if (this.#waiting.length >= MAX_WAITING) return false;
    if (viewers.length > 0) this.#waiting.push({ packet, viewers, without: undefined });
    return true;
  }

  /** For one viewer: a retransmission, or what new keys have cost it. `false` where too much waits already. */
  addFor(route: Route, packet: MediaPacket): boolean {
    if (this.#single.length - this.#nextSingle >= MAX_SINGLE) return false;
    this.#single.push({ route, packet });
    return true;
  }

  /** This connection has new keys, and is sent again under them what was for it: what waits would be a second time. */
  sendsAgain(connection: string): void {
    this.#single = this.#single
      .slice(this.#nextSingle)
      .filter(({ route }) => route.connection.id !== connection);
    this.#nextSingle = 0;
    for (const list of [this.#packets, this.#waiting])
      for (const waiting of list) {
        waiting.without ??= new Set();
        waiting.without.add(connection);
      }
  }

  /** The next packets for the next viewers, under the keys that they have now. The list is valid until the next call. */
  take(): readonly MediaJob[] {
    this.#count = 0;
    while (this.#count === 0 && !this.isEmpty) this.#takeSome();
    if (this.#jobs.length > this.#count) this.#jobs.length = this.#count;
    return this.#jobs;
  }

  #takeSome(): void {
    if (this.#nextSingle < this.#single.length) this.#takeSingle();
    else this.#takeForAll();
  }

  #takeSingle(): void {
    const end = Math.min(this.#nextSingle + JOBS, this.#single.length);
    for (; this.#nextSingle < end; this.#nextSingle++) {
      const { route, packet } = this.#single[this.#nextSingle]!;
      const { sendContext, remoteAddress } = route.connection.peer;
      if (sendContext !== undefined && remoteAddress !== undefined)
        this.#put(route.connection, sendContext, packet, remoteAddress);
    }
    if (end < this.#single.length) return;
    this.#single = [];
    this.#nextSingle = 0;
  }

  #takeForAll(): void {
    if (this.#next >= this.#viewers.length) this.#begin();
    const viewers = Math.floor(JOBS / this.#packets.length / LANES) * LANES;
    const end = Math.min(this.#next + viewers, this.#viewers.length);
    for (; this.#next < end; this.#next++) this.#takeFor(this.#viewers[this.#next]!);
  }

  #takeFor({ connection }: Route): void {
    const { sendContext: context, remoteAddress: to } = connection.peer;
    if (context === undefined || to === undefined) return;
    for (const { packet, without } of this.#packets) {
      if (without?.has(connection.id) === true) continue;
      this.#put(connection, context, packet, to);
    }
  }

  #put(connection: Connection, context: SrtpSendContext, packet: MediaPacket, to: Address): void {
    const job = this.#pool[this.#count] ?? { connection, context, packet, to };
    this.#pool[this.#count] = job;
    job.connection = connection;
    job.context = context;
    job.packet = packet;
    job.to = to;
    this.#jobs[this.#count++] = job;
  }

  #begin(): void {
    const { viewers } = this.#waiting[0]!;
    let count = 1;
    while (count < PACKETS && this.#waiting[count]?.viewers === viewers) count++;
    this.#packets = this.#waiting.splice(0, count);
    this.#viewers = viewers;
    this.#next = 0;
  }
}

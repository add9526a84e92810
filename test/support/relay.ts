import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { LOOPBACK } from './ports.ts';
import { seededNumbers } from './seeded-rng.ts';

const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** `up`: browser to server. `down`: server to browser. */
export type Direction = 'up' | 'down';

export interface Datagram {
  readonly direction: Direction;
  /** When it reached the relay, `performance.now()`. */
  readonly at: number;
  /** The browser's address, `ip:port`. */
  readonly peer: string;
  readonly bytes: Uint8Array;
}

export interface UdpRelayOptions {
  readonly serverPort: number;
  /** Where browsers reach it; loopback unless told otherwise. */
  readonly address?: string;
  readonly delayMs?: number;
  /** Share of datagrams lost in each direction, 0..1, and the seed that chooses them. */
  readonly loss?: number;
  readonly seed?: number;
  /** Keep every datagram in {@link UdpRelay.capture}. */
  readonly record?: boolean;
}

/**
 * Stands between the browsers and the server's UDP port: delays, loses, records, and sends again on command.
 *
 * Each browser address has an upstream socket of its own that stays bound as long as the relay lives, so the server sees
 * the same address before and after a restart. Order is kept in each direction.
 */
export class UdpRelay {
  readonly port: number;
  readonly capture: Datagram[] = [];
  /** Called for each datagram as it reaches the relay; `false` drops it. */
  onDatagram: ((datagram: Datagram) => boolean | undefined) | undefined;
  recording: boolean;
  delayMs: number;
  readonly #serverPort: number;
  readonly #loss: number;
  readonly #chance: Record<Direction, () => number>;
  readonly #front: Socket;
  readonly #upstreams = new Map<string, Socket>();
  readonly #lines: Record<Direction, DelayLine> = { up: new DelayLine(), down: new DelayLine() };

  private constructor(front: Socket, options: UdpRelayOptions) {
    this.#front = front;
    this.port = front.address().port;
    this.#serverPort = options.serverPort;
    this.delayMs = options.delayMs ?? 0;
    this.#loss = options.loss ?? 0;
    const seed = options.seed ?? 1;
    this.#chance = { up: seededNumbers(seed), down: seededNumbers(seed + 1) };
    this.recording = options.record ?? false;
    front.on('message', (bytes, from) => this.#fromBrowser(bytes, `${from.address}:${from.port}`));
  }

  static async start(options: UdpRelayOptions): Promise<UdpRelay> {
    const front = makeSocket();
    front.bind(0, options.address ?? LOOPBACK);
    await once(front, 'listening');
    return new UdpRelay(front, options);
  }

  /** The browser addresses seen so far, oldest first. */
  get peers(): readonly string[] {
    return [...this.#upstreams.keys()];
  }

  /** Sends bytes to the server from the address under which it knows this browser: what an attacker on path can do. */
  sendAs(peer: string, bytes: Uint8Array): void {
    this.#upstreams.get(peer)?.send(bytes, this.#serverPort, LOOPBACK);
  }

  /** Sends bytes to this browser from the address that it takes for the server's. */
  sendTo(peer: string, bytes: Uint8Array): void {
    const colon = peer.lastIndexOf(':');
    this.#front.send(bytes, Number(peer.slice(colon + 1)), peer.slice(0, colon));
  }

  /** The server sees another address of this browser from now on, and what it sends to the one before is lost: a NAT has forgotten it. */
  rebind(peer: string): void {
    this.#upstreams.get(peer)?.close();
    this.#upstreams.set(peer, this.#openUpstream(peer));
  }

  close(): void {
    for (const line of Object.values(this.#lines)) line.close();
    for (const socket of this.#upstreams.values()) socket.close();
    this.#front.close();
  }

  #fromBrowser(bytes: Uint8Array, peer: string): void {
    if (!this.#upstreams.has(peer)) this.#upstreams.set(peer, this.#openUpstream(peer));
    this.#pass({ direction: 'up', at: performance.now(), peer, bytes });
  }

  #openUpstream(peer: string): Socket {
    const socket = makeSocket();
    socket.bind(0, LOOPBACK);
    socket.on('message', (bytes) => this.#pass({ direction: 'down', at: performance.now(), peer, bytes }));
    return socket;
  }

  #pass(datagram: Datagram): void {
    if (this.recording) this.capture.push({ ...datagram, bytes: new Uint8Array(datagram.bytes) });
    if (this.onDatagram?.(datagram) === false) return;
    if (this.#loss > 0 && this.#chance[datagram.direction]() < this.#loss) return;
    this.#lines[datagram.direction].push(this.delayMs, () => this.#deliver(datagram));
  }

  #deliver({ direction, peer, bytes }: Datagram): void {
    if (direction === 'up') this.sendAs(peer, bytes);
    else this.sendTo(peer, bytes);
  }
}

/** Runs actions after a delay, in the order in which they were pushed. */
export class DelayLine {
  readonly #queue: { due: number; action: () => void }[] = [];
  #timer: NodeJS.Timeout | undefined;

  push(delayMs: number, action: () => void): void {
    if (delayMs <= 0 && this.#queue.length === 0) {
      action();
      return;
    }
    this.#queue.push({ due: performance.now() + delayMs, action });
    if (this.#timer === undefined) this.#arm();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
  }

  #arm(): void {
    const next = this.#queue[0];
    if (next === undefined) {
      this.#timer = undefined;
      return;
    }
    this.#timer = setTimeout(() => this.#run(), Math.max(0, next.due - performance.now()));
  }

  #run(): void {
    while (this.#queue[0] !== undefined && this.#queue[0].due <= performance.now()) {
      this.#queue.shift()?.action();
    }
    this.#arm();
  }
}

function makeSocket(): Socket {
  const socket = createSocket({
    type: 'udp4',
    recvBufferSize: SOCKET_BUFFER_BYTES,
    sendBufferSize: SOCKET_BUFFER_BYTES,
  });
  // A server that is down answers with ICMP; the relay goes on.
  socket.on('error', () => undefined);
  return socket;
}

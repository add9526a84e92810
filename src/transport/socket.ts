import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { bindFailed } from '../util/bind-error.ts';
import { Counters } from '../util/counters.ts';
import type { Address } from './address.ts';
import { BatchSender, COPY_BYTES } from './batch-sender.ts';
import type { SystemCall } from './system-call.ts';

/** Kernel buffers, in bytes: a keyframe to a few hundred viewers leaves in one turn. */
const BUFFER_BYTES = 4 * 1024 * 1024;
/** Bytes that wait for the kernel to take them; media beyond is dropped, as the network would drop it. */
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
/** Datagrams that wait for the server to be there. Anybody can send some. */
const MAX_EARLY = 1_024;

/** How media leaves: several datagrams in one message, one message each in one call, or one call each. */
export type SendPath = 'gso' | 'sendmmsg' | 'dgram';

/** What a faster way takes. */
export interface FastWay {
  readonly path: Exclude<SendPath, 'dgram'>;
  readonly call: SystemCall;
  /** Of this very socket. */
  readonly descriptor: number;
  /** Where most datagrams of media lie. */
  readonly memory: Uint8Array | undefined;
  /** It has turned out not to work here: this is the one from now on. */
  readonly fellBack: (to: SendPath, errno: number | undefined) => void;
}

export type DatagramHandler = (datagram: Uint8Array, from: Address) => void;

/** What has passed the socket: datagrams, and bytes of payload. */
export interface UdpTraffic {
  datagramsIn: number;
  bytesIn: number;
  datagramsOut: number;
  bytesOut: number;
}

/** The one UDP socket. Binding it is the lock that keeps a second process from resuming the same sessions. */
export class UdpSocket {
  readonly drops = new Counters<'send failed' | 'send queue full' | 'too early'>();
  readonly #traffic: UdpTraffic = { datagramsIn: 0, bytesIn: 0, datagramsOut: 0, bytesOut: 0 };
  readonly #socket: Socket;
  readonly #mapped: boolean;
  /** Datagrams that came before anybody asked for them. */
  #early: { readonly datagram: Uint8Array; readonly from: Address }[] | undefined = [];
  #handler: DatagramHandler = (datagram, from) => this.#wait(datagram, from);
  /** Of the media; `undefined`: one call for each. */
  #batch: BatchSender | undefined;
  /** The kernel took no more: until it has taken what waits, nothing may overtake that. */
  #queueing = false;
  /** More waits than may. */
  #full = false;
  #closed = false;
  /** Of a datagram that is sent by itself. */
  #copy: Uint8Array | undefined;
  readonly #sent = (error: Error | null): void => {
    if (error !== null) this.drops.add('send failed');
  };

  private constructor(socket: Socket, mapped: boolean) {
    this.#socket = socket;
    this.#mapped = mapped;
    socket.on('message', (datagram, { address, port }) => {
      // A plain view: Buffer's slice() is not a copy, which engines would trip over.
      const view = new Uint8Array(datagram.buffer, datagram.byteOffset, datagram.length);
      this.#traffic.datagramsIn++;
      this.#traffic.bytesIn += view.length;
      this.#handler(view, { ip: mapped ? unmap(address) : address, port });
    });
    // An ICMP error for one peer is not an error of the socket.
    socket.on('error', () => this.drops.add('send failed'));
  }

  /** Throws `PORT_IN_USE` where another process has the port, `ADDRESS_UNAVAILABLE` where it cannot be had here. */
  static async bind(host: string, port: number): Promise<UdpSocket> {
    const mapped = isIPv6(host);
    const socket = createSocketOf(mapped);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (cause: NodeJS.ErrnoException) => {
        socket.close();
        reject(bindFailed(cause, host, port, 'udp'));
      });
      socket.bind(port, host, resolve);
    });
    socket.removeAllListeners('error');
    socket.setRecvBufferSize(BUFFER_BYTES);
    socket.setSendBufferSize(BUFFER_BYTES);
    return new UdpSocket(socket, mapped);
  }

  /** Takes over a bound socket of this process's, and what waits in it. Closing it closes no more than our hold on it. */
  static async adopt(fd: number, family: 'IPv4' | 'IPv6'): Promise<UdpSocket> {
    const mapped = family === 'IPv6';
    const socket = createSocketOf(mapped);
    await new Promise<void>((resolve) => {
      socket.bind({ fd }, resolve);
    });
    // Who may go beyond the system's limit (ReceiveBuffer= of a unit) has given it more than we could; ours would make it less.
    if (socket.getRecvBufferSize() < BUFFER_BYTES) socket.setRecvBufferSize(BUFFER_BYTES);
    if (socket.getSendBufferSize() < BUFFER_BYTES) socket.setSendBufferSize(BUFFER_BYTES);
    return new UdpSocket(socket, mapped);
  }

  get traffic(): Readonly<UdpTraffic> {
    return this.#traffic;
  }

  /** The address it is bound to. */
  get host(): string {
    return this.#socket.address().address;
  }

  get port(): number {
    return this.#socket.address().port;
  }

  get family(): 'IPv4' | 'IPv6' {
    return this.#mapped ? 'IPv6' : 'IPv4';
  }

  /** From now on datagrams go to `handler`, those that waited first. */
  receive(handler: DatagramHandler): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    this.#handler = handler;
    for (const { datagram, from } of early) handler(datagram, from);
  }

  send(datagram: Uint8Array, to: Address): void {
    // A source port of zero says that there is nowhere to answer to (RFC 768); dgram would throw, as it does once it is closed.
    if (to.port === 0 || this.#closed) {
      this.drops.add('send failed');
      return;
    }
    this.#count(datagram);
    this.#hand(datagram, to);
  }

  /** A datagram of media: it leaves by the next {@link flush}, and has to stay as it is until then. */
  sendMedia(datagram: Uint8Array, to: Address): void {
    if (to.port === 0 || this.#closed) this.drops.add('send failed');
    else if (this.#full) this.drops.add('send queue full');
    else if (!this.#queueing && this.#batch?.add(datagram, to) === true) this.#count(datagram);
    else {
      // In the order in which they came.
      this.#batch?.flush();
      this.#count(datagram);
      this.#sendCopy(datagram, to);
    }
  }

  flush(): void {
    if (this.#closed) return;
    this.#batch?.flush();
    this.#queueing &&= this.#socket.getSendQueueCount() > 0;
    this.#full = this.#socket.getSendQueueSize() > MAX_QUEUED_BYTES;
  }

  /** Sends media a faster way from now on. */
  hasten({ path, call, descriptor, memory, fellBack }: FastWay): void {
    this.#batch?.flush();
    const hopeless = (): void => {
      if (this.#batch === undefined) return;
      this.#batch = undefined;
      fellBack('dgram', undefined);
    };
    this.#batch = new BatchSender({
      call,
      descriptor,
      family: this.family,
      segments: path === 'gso',
      memory,
      events: {
        rest: (datagram, to, why) => {
          if (why === 'hopeless') hopeless();
          else this.#queueing = true;
          // It is counted.
          this.#sendCopy(datagram, to);
        },
        failed: () => this.drops.add('send failed'),
        unsegmented: (to, errno) => {
          if (to === undefined) fellBack('sendmmsg', errno);
        },
      },
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Its descriptor may be another file's from here on.
    this.#batch = undefined;
    this.#socket.close();
  }

  /** The datagram is the caller's again when this returns. */
  #sendCopy(datagram: Uint8Array, to: Address): void {
    if (datagram.length > COPY_BYTES) {
      this.#hand(datagram.slice(), to);
      return;
    }
    this.#copy ??= new Uint8Array(COPY_BYTES);
    this.#copy.set(datagram);
    this.#hand(this.#copy.subarray(0, datagram.length), to);
    // What waits stays where it is. Mostly nothing does: one copy serves all, and is not the collector's work some ten thousand times a second.
    if (this.#socket.getSendQueueCount() > 0) this.#copy = undefined;
  }

  #hand(datagram: Uint8Array, to: Address): void {
    this.#socket.send(datagram, to.port, this.#mapped ? map(to.ip) : to.ip, this.#sent);
  }

  #count({ length }: Uint8Array): void {
    this.#traffic.datagramsOut++;
    this.#traffic.bytesOut += length;
  }

  #wait(datagram: Uint8Array, from: Address): void {
    if (this.#early === undefined || this.#early.length >= MAX_EARLY) this.drops.add('too early');
    else this.#early.push({ datagram, from });
  }
}

const createSocketOf = (mapped: boolean): Socket =>
  createSocket({
    type: mapped ? 'udp6' : 'udp4',
    // Addresses are literal: a lookup would only cost a turn of the loop for every datagram.
    lookup: (address, _options, done) => done(null, address, mapped ? 6 : 4),
  });

/** A dual-stack socket shows IPv4 peers as mapped addresses (RFC 4291 §2.5.5.2). */
const unmap = (address: string): string => (address.startsWith('::ffff:') ? address.slice(7) : address);
const map = (address: string): string => (address.includes(':') ? address : `::ffff:${address}`);

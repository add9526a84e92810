/**
 * Datagrams to many receivers in one system call (sendmmsg(2)), and several of the same size to one receiver as one message that the kernel
 * cuts (UDP_SEGMENT, udp(7)).
 *
 *   control memory:  messages (mmsghdr) │ vectors (iovec) │ addresses │ segment sizes (cmsg) │ copies of what lies elsewhere
 */
import { constants } from 'node:os';
import type { Address } from './address.ts';
import { socketAddress } from './socket-address.ts';
import type { SystemCall } from './system-call.ts';

/** Datagrams in one call. */
const BATCH = 64;
/** Datagrams that are cut from one message. */
const MAX_SEGMENTS = 8;
/** Longer datagrams are none of media. */
export const COPY_BYTES = 2_048;

const MESSAGE_BYTES = 64;
const VECTOR_BYTES = 16;
const ADDRESS_BYTES = 32;
const SEGMENT_BYTES = 24;
/** CMSG_LEN of 16 bits. */
const SEGMENT_LENGTH = 18;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;

const VECTORS = BATCH * MESSAGE_BYTES;
const ADDRESSES = VECTORS + BATCH * VECTOR_BYTES;
const SEGMENTS = ADDRESSES + BATCH * ADDRESS_BYTES;
const COPIES = SEGMENTS + BATCH * SEGMENT_BYTES;

const { EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENOSYS, ENOTSOCK, EBADF, EFAULT } = constants.errno;
/** Nothing can be sent this way, whoever it is for. */
const HOPELESS: ReadonlySet<number> = new Set([ENOSYS, ENOTSOCK, EBADF, EFAULT]);

/** What the kernel says of a message that it cannot cut, or that the way to its receiver does not take. */
const UNCUT: ReadonlySet<number> = new Set([EIO, EINVAL, EMSGSIZE]);

/** What becomes of what does not leave by a call. */
export interface BatchSenderEvents {
  /** The kernel takes no more at present, or takes nothing this way: to be sent otherwise, in this order. The datagram is valid during the call only. */
  readonly rest: (datagram: Uint8Array, to: Address, why: 'full' | 'hopeless') => void;
  /** The kernel refuses a datagram to this address. */
  readonly failed: (errno: number) => void;
  /** No message is cut from here on: to this receiver, or, where the device cannot do it, to anybody. */
  readonly unsegmented: (to: Address | undefined, errno: number) => void;
}

export class BatchSender {
  readonly #call: SystemCall;
  readonly #descriptor: number;
  readonly #family: 'IPv4' | 'IPv6';
  readonly #events: BatchSenderEvents;
  readonly #control = new Uint8Array(COPIES + BATCH * COPY_BYTES);
  readonly #view = new DataView(this.#control.buffer);
  readonly #at: number;
  /** Memory that datagrams may stay in until they are sent, and where it lies. */
  readonly #memory: ArrayBufferLike | undefined;
  readonly #memoryAt: number;
  readonly #addresses = new WeakMap<Address, Uint8Array>();
  /** Receivers to whom the way takes no cut messages. */
  readonly #whole = new WeakSet<Address>();
  #segments: boolean;
  readonly #datagrams: Uint8Array[] = [];
  readonly #to: Address[] = [];
  #count = 0;
  /** By message, the first of its datagrams. */
  readonly #firsts: number[] = [];
  #messages = 0;
  /** To whom the last datagram goes, and where that is: several to one receiver follow each other. */
  #last: Address | undefined;
  #lastAddress: Uint8Array | undefined;
  /** Size of the segments of the last message; zero where it takes no more. */
  #segmentBytes = 0;

  /** @param memory where most datagrams lie: they are sent from there, and have to stay until {@link flush}. It never grows. */
  constructor(options: {
    readonly call: SystemCall;
    readonly descriptor: number;
    readonly family: 'IPv4' | 'IPv6';
    readonly segments: boolean;
    readonly memory: Uint8Array | undefined;
    readonly events: BatchSenderEvents;
  }) {
    const { call, descriptor, family, segments, memory, events } = options;
    this.#call = call;
    this.#descriptor = descriptor;
    this.#family = family;
    this.#segments = segments;
    this.#events = events;
    this.#at = call.addressOf(this.#control);
    this.#memory = memory?.buffer;
    this.#memoryAt = memory === undefined ? 0 : call.addressOf(memory) - memory.byteOffset;
  }

  /** Takes a datagram for the next {@link flush}; `false` where it cannot be sent this way. */
  add(datagram: Uint8Array, to: Address): boolean {
    const address = this.#addressOf(to);
    if (address === undefined || datagram.length > COPY_BYTES) return false;
    if (this.#count === BATCH) this.flush();
    const number = this.#count++;
    const stays = datagram.buffer === this.#memory;
    const lasting = stays ? datagram : this.#copy(datagram, number);
    if (this.#joins(lasting, to, number)) {
      if (lasting.length < this.#segmentBytes) this.#segmentBytes = 0;
    } else this.#begin(lasting, address, number);
    this.#datagrams[number] = lasting;
    this.#to[number] = to;
    const vector = VECTORS + number * VECTOR_BYTES;
    this.#pointer(vector, (stays ? this.#memoryAt : this.#at) + lasting.byteOffset);
    this.#view.setUint32(vector + 8, lasting.length, true);
    return true;
  }

  /** Sends what was taken. */
  flush(): void {
    while (this.#messages > 0) this.#send();
  }

  /** One go over all messages: ends with nothing left, or with the rest arranged anew. */
  #send(): void {
    const length = this.#messages;
    for (let message = 0; message < length; message++) this.#finish(message);
    let done = 0;
    while (done < length) {
      const sent = this.#call.sendmmsg(this.#descriptor, this.#at + done * MESSAGE_BYTES, length - done);
      if (sent > 0) {
        done += sent;
        continue;
      }
      const errno = -sent;
      if (errno === EINTR) continue;
      const first = this.#firsts[done]!;
      if (errno === EAGAIN || HOPELESS.has(errno)) {
        this.#handOn(first, errno === EAGAIN ? 'full' : 'hopeless');
        return;
      }
      if (this.#countOf(done) > 1 && UNCUT.has(errno)) {
        this.#arrangeAnew(first, errno);
        return;
      }
      for (let i = this.#countOf(done); i > 0; i--) this.#events.failed(errno);
      done++;
    }
    this.#clear();
  }

  #arrangeAnew(from: number, errno: number): void {
    if (errno === EIO) {
      // udp(7) and net/ipv4/udp.c: the device computes no checksums.
      this.#segments = false;
      this.#events.unsegmented(undefined, errno);
    } else {
      this.#whole.add(this.#to[from]!);
      this.#events.unsegmented(this.#to[from]!, errno);
    }
    const [datagrams, to] = this.#takeFrom(from);
    // A copy moves to a place before its own, or stays.
    for (const [i, datagram] of datagrams.entries()) this.add(datagram, to[i]!);
  }

  #handOn(from: number, why: 'full' | 'hopeless'): void {
    const [datagrams, to] = this.#takeFrom(from);
    for (const [i, datagram] of datagrams.entries()) this.#events.rest(datagram, to[i]!, why);
  }

  #takeFrom(first: number): [readonly Uint8Array[], readonly Address[]] {
    const taken: [Uint8Array[], Address[]] = [
      this.#datagrams.slice(first, this.#count),
      this.#to.slice(first, this.#count),
    ];
    this.#clear();
    return taken;
  }

  /** The lists stay as long as they were: emptied, they would lose their memory. */
  #clear(): void {
    this.#count = 0;
    this.#messages = 0;
    this.#segmentBytes = 0;
  }

  #countOf(message: number): number {
    const next = message + 1 < this.#messages ? this.#firsts[message + 1]! : this.#count;
    return next - this.#firsts[message]!;
  }

  /** All segments are of one size, but for the last, which may be shorter. */
  #joins({ length }: Uint8Array, to: Address, number: number): boolean {
    if (!this.#segments || number === 0 || length > this.#segmentBytes || length === 0) return false;
    const message = this.#messages - 1;
    return (
      this.#to[number - 1] === to && number - this.#firsts[message]! < MAX_SEGMENTS && !this.#whole.has(to)
    );
  }

  #begin({ length }: Uint8Array, address: Uint8Array, number: number): void {
    const message = this.#messages++;
    this.#firsts[message] = number;
    this.#segmentBytes = length;
    const name = ADDRESSES + message * ADDRESS_BYTES;
    this.#control.set(address, name);
    const at = message * MESSAGE_BYTES;
    this.#pointer(at, this.#at + name);
    this.#view.setUint32(at + 8, address.length, true);
    this.#pointer(at + 16, this.#at + VECTORS + number * VECTOR_BYTES);
    const segment = SEGMENTS + message * SEGMENT_BYTES;
    this.#view.setUint32(segment, SEGMENT_LENGTH, true);
    this.#view.setInt32(segment + 8, SOL_UDP, true);
    this.#view.setInt32(segment + 12, UDP_SEGMENT, true);
    this.#view.setUint16(segment + 16, length, true);
  }

  #finish(message: number): void {
    const at = message * MESSAGE_BYTES;
    const count = this.#countOf(message);
    this.#view.setUint32(at + 24, count, true);
    this.#pointer(at + 32, count > 1 ? this.#at + SEGMENTS + message * SEGMENT_BYTES : 0);
    this.#view.setUint32(at + 40, count > 1 ? SEGMENT_BYTES : 0, true);
  }

  #copy(datagram: Uint8Array, number: number): Uint8Array {
    const at = COPIES + number * COPY_BYTES;
    this.#control.set(datagram, at);
    return this.#control.subarray(at, at + datagram.length);
  }

  #addressOf(to: Address): Uint8Array | undefined {
    if (to === this.#last) return this.#lastAddress;
    const address = this.#addresses.get(to) ?? socketAddress(to, this.#family);
    if (address !== undefined) this.#addresses.set(to, address);
    this.#last = to;
    this.#lastAddress = address;
    return address;
  }

  #pointer(at: number, address: number): void {
    this.#view.setUint32(at, address, true);
    this.#view.setUint32(at + 4, Math.floor(address / 2 ** 32), true);
  }
}

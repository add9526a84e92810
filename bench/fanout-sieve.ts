import { createSocket, type Socket } from 'node:dgram';
import koffi from 'koffi';
import { socketAddress } from '../src/transport/socket-address.ts';

/**
 * UDP sockets that take all but media, and of media a sample; the kernel drops the rest, and counts it (socket(7), SO_ATTACH_FILTER).
 * On loopback the sender's processor time pays for waking who receives: on a network it would not, so few are woken.
 * Loopback is kept: sending into a veth pair, whose other end nobody listens at, was cheaper by 0.5 µs a packet, but does not cut the messages of GSO at
 * all, as only some network cards save the processor that. So loopback favours nobody.
 */

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
const SO_MEMINFO = 55;
/** The field of SO_MEMINFO that counts what came to the socket and was not queued: dropped by the filter, or for want of room. */
const MEMINFO_DROPS = 8;
const MEMINFO_BYTES = 9 * 4;
const BUFFER_BYTES = 1024 * 1024;

/** What is taken of media: sequence numbers of one remainder, and all that has another payload type, as retransmissions have. */
export interface Sieve {
  /** A power of two. */
  readonly every: number;
  readonly remainder: number;
  readonly payloadType: number;
}

const library = koffi.load(null);
const openSocket = library.func('socket', 'int', ['int', 'int', 'int']);
const bindTo = library.func('bind', 'int', ['int', 'uintptr_t', 'uint']);
const setOption = library.func('setsockopt', 'int', ['int', 'int', 'int', 'uintptr_t', 'uint']);
const getOption = library.func('getsockopt', 'int', ['int', 'int', 'int', 'uintptr_t', 'uintptr_t']);

export interface SievedSocket {
  readonly socket: Socket;
  readonly port: number;
  /** What has come and was not taken, so far. */
  dropped(): number;
  /** Takes another sample from now on. */
  sieve(sieve: Sieve): void;
}

/** Bound to a free port of `ip`. */
export function openSieved(ip: string, sieve: Sieve): SievedSocket {
  const fd = checked('socket', openSocket(AF_INET, SOCK_DGRAM_CLOEXEC, 0));
  set(fd, SO_RCVBUF, new Uint8Array(Uint32Array.of(BUFFER_BYTES).buffer));
  attach(fd, sieve);
  const address = socketAddress({ ip, port: 0 }, 'IPv4')!;
  checked('bind', bindTo(fd, koffi.address(address), address.length));
  const socket = createSocket({
    type: 'udp4',
    // Addresses are literal: a lookup would only cost a turn of the loop for every datagram.
    lookup: (host, _options, done) => done(null, host, 4),
  });
  // It listens at once.
  socket.bind({ fd });
  return {
    socket,
    port: socket.address().port,
    dropped: () => droppedBy(fd),
    sieve: (other) => attach(fd, other),
  };
}

/** Since it was opened; a 32-bit number that may wrap, which no benchmark runs for long enough to see. */
function droppedBy(fd: number): number {
  const info = new Uint32Array(MEMINFO_BYTES / 4);
  const length = Uint32Array.of(MEMINFO_BYTES);
  checked('SO_MEMINFO', getOption(fd, SOL_SOCKET, SO_MEMINFO, koffi.address(info), koffi.address(length)));
  return info[MEMINFO_DROPS]!;
}

function attach(fd: number, sieve: Sieve): void {
  const program = filterOf(sieve);
  const code = new Uint8Array(program.length * 8);
  const view = new DataView(code.buffer);
  for (const [i, [operation, yes, no, value]] of program.entries()) {
    view.setUint16(i * 8, operation, true);
    view.setUint8(i * 8 + 2, yes);
    view.setUint8(i * 8 + 3, no);
    view.setUint32(i * 8 + 4, value, true);
  }
  // struct sock_fprog: the length, and where it lies.
  const head = new Uint8Array(16);
  new DataView(head.buffer).setUint16(0, program.length, true);
  new DataView(head.buffer).setBigUint64(8, BigInt(koffi.address(code)), true);
  set(fd, SO_ATTACH_FILTER, head);
}

function set(fd: number, option: number, value: Uint8Array): void {
  checked(`option ${option}`, setOption(fd, SOL_SOCKET, option, koffi.address(value), value.length));
}

type Instruction = readonly [operation: number, yes: number, no: number, value: number];

/** Classic BPF. What it sees of a datagram begins with the UDP header; RTP and RTCP are those of RFC 7983. */
function filterOf({ every, remainder, payloadType }: Sieve): readonly Instruction[] {
  const [LOAD_BYTE, LOAD_HALF, AND, RETURN] = [0x30, 0x28, 0x54, 0x06];
  const [EQUAL, GREATER, AT_LEAST] = [0x15, 0x25, 0x35];
  const PAYLOAD = 8;
  // Jumps count from the instruction behind.
  const take = (at: number): number => 9 - at - 1;
  return [
    [LOAD_BYTE, 0, 0, PAYLOAD],
    [AT_LEAST, 0, take(1), 128],
    [GREATER, take(2), 0, 191],
    [LOAD_BYTE, 0, 0, PAYLOAD + 1],
    [AND, 0, 0, 0x7f],
    // RTCP among them.
    [EQUAL, 0, take(5), payloadType],
    [LOAD_HALF, 0, 0, PAYLOAD + 2],
    [AND, 0, 0, every - 1],
    [EQUAL, 0, 1, remainder],
    [RETURN, 0, 0, 0xffff_ffff],
    [RETURN, 0, 0, 0],
  ];
}

function checked(what: string, result: number): number {
  if (result < 0) throw new Error(`${what}: errno ${koffi.errno()}`);
  return result;
}

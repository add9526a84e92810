/**
 * The ways out for media, fastest first: several datagrams to one receiver as one message (`gso`), a message each and many in one call
 * (`sendmmsg`), one call each (`dgram`). The first that works is taken: what works is tried, on loopback, with the very socket.
 */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { equalConstantTime } from '../util/bytes.ts';
import { BatchSender } from './batch-sender.ts';
import { ownDescriptor } from './own-descriptor.ts';
import type { FastWay, SendPath, UdpSocket } from './socket.ts';
import { loadSystemCall, type SystemCall } from './system-call.ts';

/** On loopback a datagram is there when the call returns; this is for a process that gets no time. */
const PATIENCE_MS = 5_000;
/** Some that make one message, the last of which is shorter, then two that do not. */
const TRIAL_BYTES = [1_200, 1_200, 700, 1_200, 60] as const;

export interface LadderOptions {
  readonly wanted: 'auto' | SendPath;
  /** Where most datagrams of media lie. */
  readonly memory: Uint8Array | undefined;
  readonly fellBack: FastWay['fellBack'];
  readonly load?: () => Promise<SystemCall | undefined>;
  /** Of the socket, where it is known. */
  readonly descriptor?: number | undefined;
}

/** Has the socket send media the fastest way that works here and is wanted. Gives it, and why it is not a faster one. */
export async function climb(
  socket: UdpSocket,
  options: LadderOptions,
): Promise<{ readonly path: SendPath; readonly why?: string }> {
  const { wanted, memory, fellBack, load = loadSystemCall } = options;
  if (wanted === 'dgram') return { path: 'dgram' };
  const call = await load();
  if (call === undefined) return { path: 'dgram', why: 'koffi is not installed, or not for this system' };
  const descriptor = options.descriptor ?? ownDescriptor(socket.port, socket.family);
  if (descriptor === undefined) return { path: 'dgram', why: 'the socket is not to be found in /proc' };
  const rungs = wanted === 'sendmmsg' ? (['sendmmsg'] as const) : (['gso', 'sendmmsg'] as const);
  let why: string | undefined;
  for (const path of rungs) {
    const problem = await tryOut(socket, path, call, descriptor);
    if (problem === undefined) {
      socket.hasten({ path, call, descriptor, memory, fellBack });
      return { path, ...(why === undefined ? {} : { why }) };
    }
    why ??= problem;
  }
  return { path: 'dgram', ...(why === undefined ? {} : { why }) };
}

/** `undefined` where all arrives, each datagram by itself, in order. */
async function tryOut(
  socket: UdpSocket,
  path: FastWay['path'],
  call: SystemCall,
  descriptor: number,
): Promise<string | undefined> {
  for (const target of targetsOf(socket)) {
    const receiver = await listen(target);
    // Without IPv6 there is nobody to send it to either.
    if (receiver === undefined) continue;
    try {
      const problem = await tryOne(socket, receiver, path, call, descriptor);
      if (problem !== undefined) return `${path}: ${problem}`;
    } finally {
      receiver.close();
    }
  }
  return undefined;
}

/** A socket that is bound to all addresses is tried with one of each family that it can send to. */
function targetsOf({ host }: UdpSocket): readonly string[] {
  if (host === '::') return ['127.0.0.1', '::1'];
  return [host === '0.0.0.0' ? '127.0.0.1' : host];
}

async function tryOne(
  socket: UdpSocket,
  receiver: Socket,
  path: FastWay['path'],
  call: SystemCall,
  descriptor: number,
): Promise<string | undefined> {
  const expected = TRIAL_BYTES.map((length) => randomBytes(length));
  const left = [...expected];
  let problem: string | undefined;
  const refuse = (words: string): void => {
    problem ??= words;
  };
  const arrived = new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      refuse('what was sent on loopback has not arrived whole');
      resolve();
    }, PATIENCE_MS);
    receiver.on('message', (datagram, { port }) => {
      // Whoever else has sent something here cannot know what is expected.
      const [next] = left;
      if (port !== socket.port || next === undefined || !equalConstantTime(next, datagram)) return;
      left.shift();
      if (left.length === 0) finish();
    });
    const finish = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const sender = new BatchSender({
      call,
      descriptor,
      family: socket.family,
      segments: path === 'gso',
      memory: undefined,
      events: {
        rest: (_datagram, _to, why) => refuse(`the system call is ${why}`),
        failed: (errno) => refuse(`the system call fails with error ${errno}`),
        unsegmented: (_to, errno) => refuse(`messages are not cut here, error ${errno}`),
      },
    });
    const { address, port } = receiver.address();
    const to = { ip: address, port };
    for (const datagram of expected) if (!sender.add(datagram, to)) refuse('the address cannot be written');
    sender.flush();
    if (problem !== undefined) finish();
  });
  await arrived;
  return problem;
}

function listen(host: string): Promise<Socket | undefined> {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  return new Promise((resolve) => {
    socket.once('error', () => {
      socket.close();
      resolve(undefined);
    });
    socket.bind(0, host, () => resolve(socket));
  });
}

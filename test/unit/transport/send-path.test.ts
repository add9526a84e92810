import { createSocket, type Socket } from 'node:dgram';

import { constants } from 'node:os';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Address } from '../../../src/transport/address.ts';
import { ownDescriptor } from '../../../src/transport/own-descriptor.ts';
import { climb } from '../../../src/transport/send-ladder.ts';
import { type SendPath, UdpSocket } from '../../../src/transport/socket.ts';
import { socketAddress } from '../../../src/transport/socket-address.ts';
import { loadSystemCall, type SystemCall } from '../../../src/transport/system-call.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { until } from '../../support/wait.ts';

const PATHS: readonly SendPath[] = ['gso', 'sendmmsg', 'dgram'];
const { EAGAIN, EINTR, EINVAL, EIO, ENOSYS, EPERM } = constants.errno;

let system: SystemCall;
beforeAll(async () => {
  const call = await loadSystemCall();
  if (call === undefined) throw new Error('koffi is a dependency of the tests');
  system = call;
});

interface Receiver {
  readonly to: Address;
  readonly heard: string[];
}

async function receiver(host = '127.0.0.1'): Promise<Receiver> {
  const socket: Socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  onTestFinished(() => void socket.close());
  const heard: string[] = [];
  socket.on('message', (datagram) => heard.push(datagram.toString('hex')));
  await new Promise<void>((resolve) => socket.bind(0, host, resolve));
  return { to: { ip: host, port: socket.address().port }, heard };
}

async function bind(host = '127.0.0.1'): Promise<UdpSocket> {
  const socket = await UdpSocket.bind(host, 0);
  onTestFinished(() => socket.close());
  return socket;
}

interface FellBack {
  readonly to: SendPath;
  readonly errno: number | undefined;
}

/** A socket on a rung, over a system call of the test's own. */
async function onRung(path: 'gso' | 'sendmmsg', call: SystemCall) {
  const socket = await bind();
  const fellBack: FellBack[] = [];
  const descriptor = ownDescriptor(socket.port, 'IPv4')!;
  const note = (to: SendPath, errno: number | undefined): void => void fellBack.push({ to, errno });
  socket.hasten({ path, call, descriptor, memory: undefined, fellBack: note });
  return { socket, fellBack };
}

/** The real system call, but for what `answer` gives a number for: by how many it was called before, for how many messages. */
function faulty(answer: (calls: number, count: number, address: number) => number | undefined): SystemCall {
  let calls = 0;
  return {
    addressOf: system.addressOf,
    sendmmsg: (descriptor, address, count) =>
      answer(calls++, count, address) ?? system.sendmmsg(descriptor, address, count),
  };
}

/** `count` datagrams of the same size, and a shorter one. */
const burst = (seed: number, count = 4, size = 900): readonly Uint8Array[] =>
  Array.from({ length: count + 1 }, (_, i) => {
    const datagram = new Uint8Array(i === count ? size - 100 : size).fill(seed);
    datagram[0] = i;
    return datagram;
  });

function send(socket: UdpSocket, receivers: readonly Receiver[], datagrams = burst(1)): readonly string[] {
  for (const { to } of receivers) for (const datagram of datagrams) socket.sendMedia(datagram, to);
  socket.flush();
  return datagrams.map((datagram) => toHex(datagram));
}

async function expectHeard(receivers: readonly Receiver[], expected: readonly string[]): Promise<void> {
  await until('all have arrived', () => receivers.every(({ heard }) => heard.length >= expected.length));
  for (const { heard } of receivers) expect(heard).toEqual(expected);
}

describe.each(PATHS)('media over %s', (path) => {
  it.each([
    { bound: '127.0.0.1', to: ['127.0.0.1', '127.0.0.1', '127.0.0.1'] },
    { bound: '0.0.0.0', to: ['127.0.0.1', '127.0.0.1'] },
    { bound: '::', to: ['127.0.0.1', '::1', '127.0.0.1'] },
    { bound: '::1', to: ['::1', '::1'] },
  ])('brings each of $to what is for it, in order, from $bound', async ({ bound, to }) => {
    const socket = await bind(bound);
    const taken = await climb(socket, {
      wanted: path,
      memory: undefined,
      fellBack: () => expect.unreachable('it works here'),
    });
    expect(taken).toEqual({ path });
    const receivers = await Promise.all(to.map((host) => receiver(host)));
    const random = seededRandom(7);
    const choose = (below: number): number => {
      const byte = new Uint8Array(1);
      random.fill(byte);
      return byte[0]! % below;
    };
    const expected = receivers.map((): string[] => []);
    for (let round = 1; round <= 12; round++) {
      for (let i = 0; i < 40; i++) {
        const r = choose(receivers.length);
        // Runs of one size, shorter ones, longer ones, and none at all.
        const datagram = new Uint8Array([1_100, 1_100, 1_100, 300, 1_472, 0][choose(6)]!);
        random.fill(datagram);
        socket.sendMedia(datagram, receivers[r]!.to);
        expected[r]!.push(toHex(datagram));
      }
      socket.flush();
      await until('this round has arrived', () =>
        receivers.every(({ heard }, r) => heard.length >= expected[r]!.length),
      );
    }
    expect(receivers.map(({ heard }) => heard)).toEqual(expected);
    expect(socket.traffic.datagramsOut).toBe(12 * 40);
    expect(socket.drops.toJSON()).toEqual({});
  });

  it('refuses nothing of what it cannot address: it is sent otherwise, or counted', async () => {
    const socket = await bind();
    await climb(socket, {
      wanted: path,
      memory: undefined,
      fellBack: () => expect.unreachable('it works here'),
    });
    const somebody = await receiver();
    socket.sendMedia(new Uint8Array(3), somebody.to);
    socket.sendMedia(new Uint8Array(3), { ip: 'no address', port: 9 });
    socket.sendMedia(new Uint8Array(3), { ip: '127.0.0.1', port: 0 });
    socket.sendMedia(new Uint8Array(5_000).fill(1), somebody.to);
    socket.sendMedia(new Uint8Array(2), somebody.to);
    socket.flush();
    await expectHeard([somebody], ['000000', '01'.repeat(5_000), '0000']);
    await until('two are counted', () => socket.drops.get('send failed') === 2);
  });

  it('sends nothing once it is closed: its descriptor may be another file by then', async () => {
    const socket = await bind();
    await climb(socket, { wanted: path, memory: undefined, fellBack: () => undefined });
    const somebody = await receiver();
    socket.sendMedia(new Uint8Array(1), somebody.to);
    socket.close();
    socket.sendMedia(new Uint8Array(2), somebody.to);
    socket.flush();
    const other = await bind();
    other.sendMedia(new Uint8Array(3), somebody.to);
    other.flush();
    await until('the last has arrived', () => somebody.heard.includes('000000'));
    expect(somebody.heard).not.toContain('0000');
  });
});

describe('the ladder', () => {
  const options = { wanted: 'auto', memory: undefined, fellBack: () => undefined } as const;

  it('takes the fastest way there is', async () => {
    expect(await climb(await bind(), options)).toEqual({ path: 'gso' });
  });

  it('stays with dgram where koffi is not installed, and media goes on', async () => {
    const socket = await bind();
    const taken = await climb(socket, { ...options, load: async () => undefined });
    expect(taken).toEqual({ path: 'dgram', why: expect.stringContaining('koffi') });
    const somebody = await receiver();
    await expectHeard([somebody], send(socket, [somebody]));
  });

  it('takes the next rung where messages are not cut', async () => {
    // As of a kernel that knows nothing of it.
    const call = faulty((_, count, address) => (count > 0 && isCut(address) ? -EINVAL : undefined));
    const taken = await climb(await bind(), { ...options, load: async () => watched(call) });
    expect(taken).toEqual({ path: 'sendmmsg', why: expect.stringContaining('gso') });
  });

  it('takes dgram where the system call is forbidden, and where it says that it has sent what does not arrive', async () => {
    const forbidden = await climb(await bind(), { ...options, load: async () => faulty(() => -ENOSYS) });
    expect(forbidden).toEqual({ path: 'dgram', why: expect.stringContaining('hopeless') });
    const socket = await bind();
    const other = await bind();
    const descriptor = ownDescriptor(other.port, 'IPv4')!;
    // Somebody else's socket: the datagrams come, from another port.
    const taken = await climb(socket, { ...options, descriptor });
    expect(taken).toEqual({ path: 'dgram', why: expect.stringContaining('not arrived') });
  }, 60_000);

  it('has no descriptor of a socket that is not to be found', async () => {
    expect(ownDescriptor(1, 'IPv4')).toBeUndefined();
    const socket = await bind();
    expect(ownDescriptor(socket.port, 'IPv6')).toBeUndefined();
    expect(ownDescriptor(socket.port, 'IPv4', '/nowhere')).toBeUndefined();
    expect(ownDescriptor(socket.port, 'IPv4')).toBeGreaterThan(2);
  });

  /** Looks into the memory of the sender, which the test has from the call that asks for its address. */
  let control: { readonly bytes: DataView; readonly at: number } | undefined;
  function watched(call: SystemCall): SystemCall {
    return {
      ...call,
      addressOf: (view) => {
        const at = call.addressOf(view);
        control = { bytes: new DataView(view.buffer, view.byteOffset, view.length), at };
        return at;
      },
    };
  }
  const isCut = (address: number): boolean => control!.bytes.getUint32(address - control!.at + 40, true) > 0;
});

describe('a call that does not take all', () => {
  it('is made again for the rest', async () => {
    const one = faulty(() => undefined);
    const { socket } = await onRung('sendmmsg', {
      ...one,
      sendmmsg: (descriptor, address) => one.sendmmsg(descriptor, address, 1),
    });
    const receivers = [await receiver(), await receiver()];
    await expectHeard(receivers, send(socket, receivers));
  });

  it('is made again after a signal', async () => {
    const { socket } = await onRung(
      'gso',
      faulty((calls) => (calls % 2 === 0 ? -EINTR : undefined)),
    );
    const receivers = [await receiver(), await receiver()];
    await expectHeard(receivers, send(socket, receivers));
  });

  it('leaves what the kernel has no room for to a queue, which nothing overtakes', async () => {
    const { socket, fellBack } = await onRung(
      'gso',
      faulty((calls, count, address) => {
        if (calls === 0 && count > 1) return system.sendmmsg(ownDescriptor(socket.port, 'IPv4')!, address, 1);
        return calls === 1 ? -EAGAIN : undefined;
      }),
    );
    const receivers = [await receiver(), await receiver(), await receiver()];
    const first = send(socket, receivers);
    const second = send(socket, receivers, burst(2));
    await expectHeard(receivers, [...first, ...second]);
    const third = send(socket, receivers, burst(3));
    await expectHeard(receivers, [...first, ...second, ...third]);
    expect(fellBack).toEqual([]);
    expect(socket.drops.toJSON()).toEqual({});
  });
});

describe('a way that turns out not to work', () => {
  it('EIO: sends whole messages from then on, to everybody, and loses nothing', async () => {
    const cut: number[] = [];
    const { socket, fellBack } = await onRung(
      'gso',
      faulty((calls, count) => {
        cut.push(count);
        return calls === 0 ? -EIO : undefined;
      }),
    );
    const receivers = [await receiver(), await receiver()];
    const first = send(socket, receivers);
    const second = send(socket, receivers, burst(2));
    await expectHeard(receivers, [...first, ...second]);
    expect(fellBack).toEqual([{ to: 'sendmmsg', errno: EIO }]);
    // One message each of five, then ten messages of one.
    expect(cut).toEqual([2, 10, 10]);
  });

  it('EINVAL: sends whole messages to this receiver, and to no other', async () => {
    const counts: number[] = [];
    const { socket, fellBack } = await onRung(
      'gso',
      faulty((calls, count) => {
        counts.push(count);
        return calls === 0 ? -EINVAL : undefined;
      }),
    );
    const receivers = [await receiver(), await receiver()];
    const first = send(socket, receivers);
    const second = send(socket, receivers, burst(2));
    await expectHeard(receivers, [...first, ...second]);
    expect(counts).toEqual([2, 6, 6]);
    expect(fellBack).toEqual([]);
  });

  it('no such call: goes on by dgram, and loses nothing', async () => {
    const { socket, fellBack } = await onRung(
      'gso',
      faulty((calls) => (calls > 0 ? -ENOSYS : undefined)),
    );
    const receivers = [await receiver(), await receiver()];
    const all = [
      send(socket, receivers),
      send(socket, receivers, burst(2)),
      send(socket, receivers, burst(3)),
    ];
    await expectHeard(receivers, all.flat());
    expect(fellBack).toEqual([{ to: 'dgram', errno: undefined }]);
  });

  it('a receiver that the system refuses costs the others nothing', async () => {
    const { socket } = await onRung(
      'sendmmsg',
      faulty((calls) => (calls === 0 ? -EPERM : undefined)),
    );
    const somebody = await receiver();
    const sent = send(socket, [somebody]);
    await expectHeard([somebody], sent.slice(1));
    expect(socket.drops.get('send failed')).toBe(1);
  });
});

describe('an address as Linux takes it', () => {
  it.each([
    { ip: '192.0.2.1', family: 'IPv4', bytes: '02001f90c00002010000000000000000' },
    { ip: '192.0.2.1', family: 'IPv6', bytes: '0a001f900000000000000000000000000000ffffc000020100000000' },
    { ip: '::1', family: 'IPv6', bytes: '0a001f90000000000000000000000000000000000000000100000000' },
    {
      ip: '2001:db8::8:800:200c:417a',
      family: 'IPv6',
      bytes: '0a001f900000000020010db80000000000080800200c417a00000000',
    },
    {
      ip: '2001:db8:1:2:3:4:5:6',
      family: 'IPv6',
      bytes: '0a001f900000000020010db800010002000300040005000600000000',
    },
    {
      ip: '64:ff9b::192.0.2.33',
      family: 'IPv6',
      bytes: '0a001f90000000000064ff9b0000000000000000c000022100000000',
    },
  ] as const)('$ip on $family', ({ ip, family, bytes }) => {
    expect(toHex(socketAddress({ ip, port: 8_080 }, family)!)).toBe(bytes);
  });

  it.each([
    ['::1', 'IPv4'],
    ['fe80::1%eth0', 'IPv6'],
    ['1.2.3', 'IPv4'],
    ['1.2.3.256', 'IPv4'],
    ['01.2.3.4', 'IPv4'],
    ['1:2:3:4:5:6:7', 'IPv6'],
    ['1::2::3', 'IPv6'],
    ['1:2:3:4:5:6:7:8::', 'IPv6'],
    ['1.2.3.4::', 'IPv6'],
    ['12345::', 'IPv6'],
    ['', 'IPv6'],
  ] as const)('%s is none on %s', (ip, family) => {
    expect(socketAddress({ ip, port: 8_080 }, family)).toBeUndefined();
  });
});

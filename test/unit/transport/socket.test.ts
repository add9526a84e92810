import { createSocket } from 'node:dgram';
import { afterEach, describe, expect, it } from 'vitest';
import type { Address } from '../../../src/transport/address.ts';
import { UdpSocket } from '../../../src/transport/socket.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { until } from '../../support/wait.ts';

const open: { close(): void }[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
});

async function bind(host = '127.0.0.1', port = 0): Promise<UdpSocket> {
  const socket = await UdpSocket.bind(host, port);
  open.push(socket);
  return socket;
}

/** A peer with a socket of its own, and what it has heard. */
async function peer(): Promise<{
  readonly address: Address;
  readonly heard: string[];
  send(text: string, port: number): void;
}> {
  const socket = createSocket('udp4');
  open.push(socket);
  const heard: string[] = [];
  socket.on('message', (datagram) => heard.push(datagram.toString()));
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return {
    address: { ip: '127.0.0.1', port: socket.address().port },
    heard,
    send: (text, port) => socket.send(text, port, '127.0.0.1'),
  };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('UdpSocket', () => {
  it('sends and receives, and says from where', async () => {
    const socket = await bind();
    const received: { text: string; from: Address }[] = [];
    socket.receive((datagram, from) => received.push({ text: Buffer.from(datagram).toString(), from }));
    const other = await peer();
    other.send('ping', socket.port);
    await until('the datagram is here', () => received.length === 1);
    expect(received).toEqual([{ text: 'ping', from: other.address }]);
    socket.send(bytes('pong'), other.address);
    await until('the answer is there', () => other.heard.length === 1);
    expect(other.heard).toEqual(['pong']);
  });

  it('gives plain views, whose slice() is a copy', async () => {
    const socket = await bind();
    const received: Uint8Array[] = [];
    socket.receive((datagram) => received.push(datagram));
    (await peer()).send('abc', socket.port);
    await until('the datagram is here', () => received.length === 1);
    const copy = received[0]!.slice(0, 1);
    received[0]![0] = 0;
    expect(toHex(copy)).toBe('61');
  });

  it('is the lock: a second one on the port is PORT_IN_USE, and the first goes on', async () => {
    const socket = await bind();
    await expect(UdpSocket.bind('127.0.0.1', socket.port)).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining(`${socket.port}/udp`),
    });
    const received: Uint8Array[] = [];
    socket.receive((datagram) => received.push(datagram));
    (await peer()).send('still here', socket.port);
    await until('the datagram is here', () => received.length === 1);
  });

  it('says in words that an address is not of this machine', async () => {
    await expect(UdpSocket.bind('192.0.2.1', 0)).rejects.toMatchObject({
      code: 'ADDRESS_UNAVAILABLE',
      message: expect.stringContaining('192.0.2.1'),
    });
  });

  it('shows IPv4 peers as such on a dual-stack socket, and answers them', async () => {
    const socket = await bind('::');
    const received: Address[] = [];
    socket.receive((_, from) => received.push(from));
    const other = await peer();
    other.send('ping', socket.port);
    await until('the datagram is here', () => received.length === 1);
    expect(received).toEqual([other.address]);
    socket.send(bytes('pong'), other.address);
    await until('the answer is there', () => other.heard.length === 1);
  });

  it('keeps what comes before anybody asks for it, in order', async () => {
    const socket = await bind();
    const other = await peer();
    const sentinel = await bind();
    let sentinelHeard = 0;
    sentinel.receive(() => sentinelHeard++);
    for (const text of ['1', '2', '3']) other.send(text, socket.port);
    other.send('last', sentinel.port);
    await until('everything has been delivered', () => sentinelHeard === 1);
    const received: string[] = [];
    socket.receive((datagram) => received.push(Buffer.from(datagram).toString()));
    await until('all three are here', () => received.length === 3);
    expect(received).toEqual(['1', '2', '3']);
  });

  it('keeps no more than 1024 of them, however many are sent', async () => {
    const socket = await bind();
    const other = await peer();
    for (let sent = 0; socket.drops.get('too early') < 10; sent += 50) {
      expect(sent).toBeLessThan(100_000);
      for (let i = 0; i < 50; i++) other.send('x', socket.port);
      await new Promise((resolve) => setImmediate(resolve));
    }
    let received = 0;
    const early = socket.drops.get('too early');
    socket.receive(() => received++);
    expect(received).toBe(1_024);
    expect(socket.drops.get('too early')).toBe(early);
  });

  it('has nowhere to answer to at port zero, which is counted and not thrown', async () => {
    const socket = await bind();
    expect(() => socket.send(bytes('x'), { ip: '127.0.0.1', port: 0 })).not.toThrow();
    expect(socket.drops.get('send failed')).toBe(1);
  });

  it('counts what the system refuses to send', async () => {
    const socket = await bind();
    socket.send(new Uint8Array(70_000), { ip: '127.0.0.1', port: 9 });
    await until('the failure is counted', () => socket.drops.get('send failed') === 1);
    socket.send(bytes('x'), { ip: 'no address', port: 9 });
    await until('the failure is counted', () => socket.drops.get('send failed') === 2);
  });

  it('sends nothing once it is closed, and closes twice without a complaint', async () => {
    const socket = await bind();
    socket.close();
    socket.close();
    socket.send(bytes('x'), { ip: '127.0.0.1', port: 9 });
    expect(socket.drops.get('send failed')).toBe(1);
  });
});

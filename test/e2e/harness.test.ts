import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  clientHelloRandom,
  datagramKind,
  findNonceReuse,
  selectedProfile,
  stunUsername,
} from '../support/capture.ts';
import { ChromiumBrowser } from '../support/chromium.ts';
import { FirefoxBrowser } from '../support/firefox.ts';
import { gapAround, longestGap } from '../support/gaps.ts';
import { freePort, LOOPBACK } from '../support/ports.ts';
import { type Datagram, type Direction, UdpRelay } from '../support/relay.ts';
import { TcpRelay } from '../support/tcp-relay.ts';
import { turnsUntil, until } from '../support/wait.ts';

const DELAY_MS = 30;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe('the UDP relay', () => {
  it('delays both ways, keeps order and records', async () => {
    const { relay, send, received, sources } = await echoThroughRelay({ delayMs: DELAY_MS, record: true });
    const captured = (direction: Direction) => relay.capture.filter((one) => one.direction === direction);
    stopClock();
    for (let i = 0; i < 20; i++) send(i);
    await turnsUntil('all have reached the relay', () => captured('up').length === 20);
    vi.advanceTimersByTime(DELAY_MS - 1);
    // What is sent now and not delayed would come behind whatever has passed too early.
    relay.sendAs(relay.peers[0]!, Uint8Array.of(100));
    await turnsUntil('it was answered', () => captured('down').length > 0);
    expect(sources).toHaveLength(1);
    vi.advanceTimersByTime(1);
    await turnsUntil('all were answered', () => captured('down').length === 21);
    vi.advanceTimersByTime(DELAY_MS - 1);
    relay.sendTo(relay.peers[0]!, Uint8Array.of(101));
    await turnsUntil('what is not delayed is there', () => received.includes(101));
    vi.advanceTimersByTime(1);
    await turnsUntil('all came back', () => received.length === 22);
    const answers = Array.from({ length: 20 }, (_, i) => i);
    // The first undelayed one was answered a millisecond before the others.
    expect(received).toEqual([100, 101, ...answers]);
  });

  it('shows the server the same address again and again, and sends under it', async () => {
    const { relay, send, received, sources } = await echoThroughRelay({});
    send(1);
    await until('it came back', () => received.length === 1);
    send(2);
    relay.sendAs(relay.peers[0]!, Uint8Array.of(3));
    await until('all came back', () => received.length === 3);
    expect(new Set(sources).size).toBe(1);
  });

  it('loses the share it was told to lose, the same one for the same seed', async () => {
    const survivors = async (seed: number): Promise<number[]> => {
      const { send, received } = await echoThroughRelay({ loss: 0.3, seed });
      for (let i = 0; i < 100; i++) send(i);
      await until('a marker came back', () => {
        send(255);
        return received.includes(255);
      });
      return received.filter((value) => value !== 255);
    };
    const first = await survivors(7);
    expect(first.length).toBeGreaterThan(20);
    expect(first.length).toBeLessThan(80);
    expect(await survivors(7)).toEqual(first);
    expect(await survivors(8)).not.toEqual(first);
  });
});

describe('the TCP relay', () => {
  it('delays bytes both ways and passes the end of the stream on', async () => {
    const echo = await tcpEcho();
    const relay = await TcpRelay.start({ serverPort: portOf(echo), delayMs: DELAY_MS });
    cleanups.push(() => relay.close());
    const reached: Direction[] = [];
    relay.onBytes = (direction) => reached.push(direction);
    const client = connect(relay.port, LOOPBACK);
    let heard = '';
    client.on('data', (bytes) => {
      heard += String(bytes);
    });
    await once(client, 'connect');
    stopClock();
    client.end('hello');
    await turnsUntil('it has reached the relay', () => reached.length === 1);
    vi.advanceTimersByTime(DELAY_MS - 1);
    expect(reached).toEqual(['up']);
    vi.advanceTimersByTime(1);
    await turnsUntil('it was answered', () => reached.length === 2);
    expect(reached).toEqual(['up', 'down']);
    vi.advanceTimersByTime(DELAY_MS - 1);
    expect(heard).toBe('');
    vi.advanceTimersByTime(1);
    await turnsUntil('the answer is there', () => heard === 'hello');
    await turnsUntil('the stream has ended', () => {
      vi.advanceTimersByTime(DELAY_MS);
      return client.closed;
    });
  });

  it('closes at once when nobody listens behind it', async () => {
    const relay = await TcpRelay.start({ serverPort: await freePort() });
    cleanups.push(() => relay.close());
    const client = connect(relay.port, LOOPBACK);
    client.on('error', () => undefined);
    await once(client, 'close');
  });
});

describe('the search for nonces used twice', () => {
  it('finds the same index with other bytes under one key', () => {
    const report = findNonceReuse([rtp('down', 7, 1), rtp('down', 8, 1), rtp('down', 7, 2)], () => undefined);
    expect(report.reuses).toMatchObject([{ direction: 'down', ssrc: 0x01020304, index: 7 }]);
  });

  it('accepts identical datagrams, other directions, and other indices', () => {
    const capture = [rtp('down', 7, 1), rtp('down', 7, 1), rtp('up', 7, 2), rtp('down', 8, 3)];
    expect(findNonceReuse(capture, () => undefined)).toMatchObject({ reuses: [], packets: 3 });
  });

  it('begins anew with new keys, and joins the addresses of one connection', () => {
    const moved = { ...rtp('down', 7, 2), peer: '127.0.0.1:2' };
    const addressed = [binding('127.0.0.1:1', 'srv:one'), binding('127.0.0.1:2', 'srv:two')];
    expect(findNonceReuse([...addressed, rtp('down', 7, 1), moved], () => 'viewer').reuses).toHaveLength(1);
    expect(findNonceReuse([...addressed, rtp('down', 7, 1), moved], () => undefined).reuses).toHaveLength(0);
    const rekeyed = [...addressed, rtp('down', 7, 1), clientHello(5), finished(), moved];
    expect(findNonceReuse(rekeyed, () => 'viewer')).toMatchObject({ reuses: [], keys: 2 });
  });

  it('counts sequence numbers that wrap as higher indices', () => {
    const capture = [rtp('down', 65_535, 1), rtp('down', 0, 2), rtp('down', 65_534, 3), rtp('down', 1, 4)];
    expect(findNonceReuse(capture, () => undefined)).toMatchObject({ reuses: [], packets: 4 });
  });

  it('finds an SRTCP index used twice', () => {
    const capture = [rtcp(5, 1), rtcp(6, 1), rtcp(5, 2)];
    expect(findNonceReuse(capture, () => undefined).reuses).toMatchObject([{ kind: 'rtcp', index: 5 }]);
  });

  it('finds it behind the tag where the cipher authenticates', () => {
    const gcm = (content: number): Datagram =>
      datagram('down', [
        0x80,
        200,
        0,
        1,
        1,
        2,
        3,
        4,
        content,
        ...Array<number>(24).fill(content),
        0x80,
        0,
        0,
        5,
      ]);
    const capture = [clientHello(5), serverHello(7), finished(), gcm(1), gcm(2)];
    expect(findNonceReuse(capture, () => undefined).reuses).toMatchObject([{ kind: 'rtcp', index: 5 }]);
    expect(selectedProfile(serverHello(7).bytes)).toBe('AEAD_AES_128_GCM');
    expect(selectedProfile(clientHello(5).bytes)).toBeUndefined();
  });

  it('tells datagrams apart by their first bytes', () => {
    expect(datagramKind(binding('p', 'a:b').bytes)).toBe('stun');
    expect(datagramKind(clientHello(1).bytes)).toBe('dtls');
    expect(datagramKind(rtp('up', 1, 1).bytes)).toBe('rtp');
    expect(datagramKind(rtcp(1, 1).bytes)).toBe('rtcp');
    expect(datagramKind(Uint8Array.of(70))).toBe('other');
    expect(datagramKind(new Uint8Array(0))).toBe('other');
    expect(stunUsername(binding('p', 'a:b').bytes)).toBe('a:b');
    expect(clientHelloRandom(finished().bytes)).toBeUndefined();
  });
});

describe('gaps between frames', () => {
  it('finds the longest one in a stretch of time, and the one around a moment', () => {
    const frames = [0, 30, 60, 500, 530, 2000, 2030];
    expect(longestGap(frames, 0, 520)).toEqual({ from: 60, to: 500, length: 440 });
    expect(longestGap(frames)).toMatchObject({ length: 1470 });
    expect(longestGap([5])).toBeUndefined();
    expect(gapAround(frames, 700)).toMatchObject({ from: 530, to: 2000 });
    expect(gapAround(frames, 2031)).toBeUndefined();
  });
});

const CALL_PAGE = `data:text/html,<main id="app" data-role="viewer"><video autoplay muted playsinline></video></main>`;

describe.each([
  ['Chromium', () => ChromiumBrowser.launch()],
  ['Firefox', () => FirefoxBrowser.launch()],
])('the probe in %s', { timeout: 300_000 }, (_name, launch) => {
  let browser: Awaited<ReturnType<typeof launch>>;
  beforeAll(async () => {
    browser = await launch();
  }, 300_000);
  afterAll(() => browser?.close());

  it('sees connections and the frames of a visible video', async () => {
    const page = await browser.openPage(CALL_PAGE, 'call');
    await page.driver.evaluate(async () => {
      const canvas = document.createElement('canvas');
      const context = canvas.getContext('2d');
      let count = 0;
      setInterval(() => {
        context?.fillRect(count++ % 100, 0, 10, 10);
      }, 30);
      const near = new RTCPeerConnection();
      const far = new RTCPeerConnection();
      near.onicecandidate = (event) => void far.addIceCandidate(event.candidate ?? undefined);
      far.onicecandidate = (event) => void near.addIceCandidate(event.candidate ?? undefined);
      near.ontrack = (event) => {
        const video = document.querySelector('video');
        if (video !== null) video.srcObject = new MediaStream([event.track]);
      };
      near.addTransceiver('video', { direction: 'recvonly' });
      await near.setLocalDescription();
      await far.setRemoteDescription(near.localDescription!);
      for (const track of canvas.captureStream(30).getTracks()) far.addTrack(track);
      await far.setLocalDescription();
      await near.setRemoteDescription(far.localDescription!);
    }, undefined);
    await page.waitPlaying(Date.now());
    expect((await page.connections()).map((one) => one.connection)).toEqual(['connected', 'connected']);
    expect(await page.stat('inbound-rtp', 'video')).toMatchObject({ kind: 'video' });
    expect((await page.facts()).role).toBe('viewer');
    // Frames are dated in the time of this process's clock: it passes the last one.
    const shownAt = (await page.frames()).at(-1)!;
    await until('now is after that frame', () => Date.now() >= shownAt);
    await page.close();
  });
});

/** Time passes only when the test says so; sockets go on. */
function stopClock(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  cleanups.push(() => vi.useRealTimers());
}

const portOf = (server: Server): number => (server.address() as { port: number }).port;

async function echoThroughRelay(options: {
  delayMs?: number;
  loss?: number;
  seed?: number;
  record?: boolean;
}) {
  const echo = createSocket('udp4');
  const sources: number[] = [];
  echo.on('message', (bytes, from) => {
    sources.push(from.port);
    echo.send(bytes, from.port, from.address);
  });
  echo.bind(0, LOOPBACK);
  await once(echo, 'listening');
  const relay = await UdpRelay.start({ serverPort: echo.address().port, ...options });
  const client = createSocket('udp4');
  const received: number[] = [];
  client.on('message', (bytes) => received.push(bytes[0]!));
  client.bind(0, LOOPBACK);
  await once(client, 'listening');
  cleanups.push(() => {
    client.close();
    relay.close();
    echo.close();
  });
  const send = (value: number): void => client.send(Uint8Array.of(value), relay.port, LOOPBACK);
  return { relay, send, received, sources };
}

async function tcpEcho(): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  server.listen(0, LOOPBACK);
  await once(server, 'listening');
  cleanups.push(() => new Promise((resolve) => server.close(resolve)));
  return server;
}

const datagram = (direction: Direction, bytes: number[]): Datagram => ({
  direction,
  at: 0,
  peer: '127.0.0.1:1',
  bytes: Uint8Array.from(bytes),
});

const rtp = (direction: Direction, sequence: number, payload: number): Datagram =>
  datagram(direction, [0x80, 96, sequence >> 8, sequence & 255, 0, 0, 0, 0, 1, 2, 3, 4, payload]);

const rtcp = (index: number, content: number): Datagram =>
  datagram('down', [0x80, 200, 0, 1, 1, 2, 3, 4, content, 0x80, 0, 0, index, ...Array<number>(10).fill(9)]);

const dtls = (type: number, epoch: number, body: number[]): Datagram =>
  datagram('down', [type, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 0, 0, body.length, ...body]);

const clientHello = (random: number): Datagram =>
  dtls(22, 0, [1, ...Array<number>(11).fill(0), 254, 253, ...Array<number>(32).fill(random)]);

const serverHello = (profile: number): Datagram => {
  const srtp = [0, 14, 0, 5, 0, 2, 0, profile, 0];
  const body = [254, 253, ...Array<number>(32).fill(8), 0, 0xc0, 0x2b, 0, 0, srtp.length, ...srtp];
  return { ...dtls(22, 0, [2, ...Array<number>(11).fill(0), ...body]), direction: 'up' };
};

const finished = (): Datagram => dtls(22, 1, [1, 2, 3, 4]);

function binding(peer: string, username: string): Datagram {
  const value = [...Buffer.from(username)];
  while (value.length % 4 !== 0) value.push(0);
  const header = [0, 1, 0, 4 + value.length, 0x21, 0x12, 0xa4, 0x42, ...Array<number>(12).fill(0)];
  return { ...datagram('up', [...header, 0, 6, 0, username.length, ...value]), peer };
}

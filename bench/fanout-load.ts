import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { SUBPROTOCOL } from '../src/signaling/protocol.ts';
import { classifyDatagram } from '../src/transport/demux.ts';
import { secureRandom } from '../src/util/rng.ts';
import { testIdentity } from '../test/support/dtls-identity.ts';
import { LOOPBACK } from '../test/support/ports.ts';
import { type FrameShape, VirtualBrowser } from '../test/support/virtual-browser.ts';
import { elapse, until } from '../test/support/wait.ts';
import { WsClient } from '../test/support/ws-client.ts';

/**
 * The load of `bench/fanout.ts`, a process of its own: the broadcaster, viewers with ICE, DTLS and SRTP over real sockets, or sockets that only
 * listen, for programs that know nothing of either.
 */

/** Every so many of the viewers decrypt what they get; the others count it. */
const SAMPLE = 25;
const AT_ONCE = 4;
/** A page that has no keys by then leaves, and another comes in its place. */
const PATIENCE_MS = 10_000;
const ATTEMPTS = 20;
const TICK_MS = 5;

const { values: options } = parseArgs({
  options: {
    role: { type: 'string' },
    url: { type: 'string', default: '' },
    udp: { type: 'string', default: '0' },
    count: { type: 'string', default: '1' },
    packets: { type: 'string', default: '8' },
    bytes: { type: 'string', default: '1100' },
  },
});

/** What the viewers have had so far. */
const counts = { datagrams: 0, sampled: 0, decrypted: 0 };

class Page {
  readonly browser: VirtualBrowser;
  readonly #sampled: boolean;
  readonly #sockets = new Map<number, Socket>();
  #ws: WsClient | undefined;
  #heard = 0;

  constructor(
    name: string,
    identity: Awaited<ReturnType<typeof testIdentity>>,
    sampled: boolean,
    frame?: FrameShape,
  ) {
    const port = Number(options.udp);
    this.#sampled = sampled;
    this.browser = new VirtualBrowser({
      name,
      ip: LOOPBACK,
      identity,
      rng: secureRandom,
      server: { ip: LOOPBACK, port },
      ports: {
        transmit: (from, datagram) => {
          if (pages.has(this)) this.#socket(from.port).send(datagram, port, LOOPBACK);
        },
        say: (message) => this.#ws?.say(message),
      },
      knobs: { profile: 'AES_CM_128_HMAC_SHA1_80' },
      ...(frame === undefined ? {} : { frame }),
    });
  }

  /** Whether it has keys. */
  async open(): Promise<boolean> {
    this.#ws = await until('the WebSocket opens', () =>
      WsClient.connect(options.url, { protocols: [SUBPROTOCOL] }),
    );
    this.#ws.say({ type: 'join', capabilities: { rekeyInPlace: true } });
    const deadline = performance.now() + PATIENCE_MS;
    while (this.browser.current?.connected !== true && performance.now() < deadline) await elapse(TICK_MS);
    return this.browser.current?.connected === true;
  }

  leave(): void {
    this.#ws?.say({ type: 'leave' });
    this.#ws?.close();
    for (const socket of this.#sockets.values()) socket.close();
  }

  tick(now: number): void {
    const messages = this.#ws?.messages ?? [];
    while (this.#heard < messages.length) this.browser.handleMessage(messages[this.#heard++]!, now);
    this.browser.tick(now);
  }

  #socket(port: number): Socket {
    const known = this.#sockets.get(port);
    if (known !== undefined) return known;
    const socket = createSocket('udp4');
    socket.on('message', (datagram) => this.#receive(new Uint8Array(datagram), port));
    socket.on('error', () => undefined);
    this.#sockets.set(port, socket);
    return socket;
  }

  #receive(datagram: Uint8Array, port: number): void {
    const isMedia = classifyDatagram(datagram) === 'srtp';
    if (isMedia) counts.datagrams++;
    if (isMedia && !this.#sampled) return;
    const { current } = this.browser;
    const before = current?.received.size ?? 0;
    this.browser.handleDatagram({ ip: LOOPBACK, port }, datagram, performance.now());
    if (!isMedia) return;
    counts.sampled++;
    counts.decrypted += (current?.received.size ?? 0) - before;
  }
}

const pages = new Set<Page>();

async function open(count: number, frame?: FrameShape): Promise<void> {
  const identity = await testIdentity();
  setInterval(() => {
    const now = performance.now();
    for (const page of pages) page.tick(now);
  }, TICK_MS);
  const openOne = async (number: number): Promise<void> => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const page = new Page(`page ${number}`, identity, number % SAMPLE === 0, frame);
      pages.add(page);
      if (await page.open()) return;
      pages.delete(page);
      page.leave();
    }
    throw new Error('a page gets no keys, however often it tries');
  };
  for (let first = 0; first < count; first += AT_ONCE)
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, i) => openOne(first + i)));
}

async function listen(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let i = 0; i < count; i++) {
    const socket = createSocket('udp4');
    socket.on('message', () => counts.datagrams++);
    socket.bind(0, LOOPBACK);
    await once(socket, 'listening');
    ports.push(socket.address().port);
  }
  return ports;
}

const count = Number(options.count);
switch (options.role) {
  case 'source':
    await open(1, { packets: Number(options.packets), padding: Number(options.bytes) - 16 });
    process.send?.({ ready: true });
    break;
  case 'viewers':
    await open(count);
    process.send?.({ ready: true });
    break;
  default:
    process.send?.({ ready: true, ports: await listen(count) });
}
process.on('message', () => process.send?.(counts));
process.on('disconnect', () => process.exit());

import { createSocket, type Socket } from 'node:dgram';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { askServer } from '../src/cli/admin-client.ts';
import { serverFacts } from '../src/observability/facts.ts';
import { formatPosition, SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX } from '../src/signaling/protocol.ts';
import { boundOf } from '../src/util/histogram.ts';
import { secureRandom } from '../src/util/rng.ts';
import { testIdentity } from '../test/support/dtls-identity.ts';
import { LOOPBACK } from '../test/support/ports.ts';
import { ServerProcess } from '../test/support/process.ts';
import { VirtualBrowser } from '../test/support/virtual-browser.ts';
import { elapse, until } from '../test/support/wait.ts';
import { WsClient } from '../test/support/ws-client.ts';
import { machine, markdownTable } from './table.ts';

/** `kill -9` with two hundred pages over real sockets that come back together: how long until all have new keys, and how long the server's loop is held up. */

const USAGE = 'usage: node bench/run.mjs mass-resume [--viewers <n>] [--repeat <n>]';
const DOWN_MS = 500;
const TICK_MS = 20;

const { values: options } = parseArgs({
  options: {
    viewers: { type: 'string', default: '200' },
    repeat: { type: 'string', default: '5' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}

/** A page over real sockets: its messages on a WebSocket, each port of its browser a UDP socket. */
class Page {
  readonly browser: VirtualBrowser;
  readonly #url: string;
  readonly #sockets = new Map<number, Socket>();
  #ws: WsClient | undefined;
  #heard = 0;

  constructor(
    url: string,
    udpPort: number,
    name: string,
    identity: Awaited<ReturnType<typeof testIdentity>>,
  ) {
    this.#url = url;
    this.browser = new VirtualBrowser({
      name,
      ip: LOOPBACK,
      identity,
      rng: secureRandom,
      server: { ip: LOOPBACK, port: udpPort },
      ports: {
        transmit: ({ port }, datagram) => this.#socket(port).send(datagram, udpPort, LOOPBACK),
        say: (message) => this.#ws?.say(message),
      },
    });
  }

  async open(): Promise<void> {
    const { token, position } = this.browser;
    const socket = await until('the WebSocket opens', () =>
      WsClient.connect(this.#url, {
        protocols: [
          SUBPROTOCOL,
          ...(token === undefined ? [] : [TOKEN_SUBPROTOCOL_PREFIX + token]),
          ...(position === undefined ? [] : [formatPosition(position)]),
        ],
      }),
    );
    this.#heard = 0;
    this.#ws = socket;
    if (token === undefined) socket.say({ type: 'join', capabilities: { rekeyInPlace: true } });
  }

  tick(now: number): void {
    const messages = this.#ws?.messages ?? [];
    while (this.#heard < messages.length) this.browser.handleMessage(messages[this.#heard++]!, now);
    this.browser.tick(now);
  }

  close(): void {
    this.#ws?.close();
    for (const socket of this.#sockets.values()) socket.close();
  }

  #socket(port: number): Socket {
    const known = this.#sockets.get(port);
    if (known !== undefined) return known;
    const socket = createSocket('udp4');
    socket.on('message', (datagram) =>
      this.browser.handleDatagram({ ip: LOOPBACK, port }, new Uint8Array(datagram), performance.now()),
    );
    socket.on('error', () => undefined);
    this.#sockets.set(port, socket);
    return socket;
  }
}

const server = await ServerProcess.start({ env: { LOG_LEVEL: 'warn' } });
const identity = await testIdentity();
const pages: Page[] = [];
const pump = setInterval(() => {
  const now = performance.now();
  for (const page of pages) page.tick(now);
}, TICK_MS);
try {
  const count = Number(options.viewers);
  console.log(`${machine()}, ${count} viewers, load ${loadavg()[0]!.toFixed(1)}\n`);
  for (let i = 0; i <= count; i++) {
    const page = new Page(server.url, server.udpPort, `page ${i}`, identity);
    pages.push(page);
    await page.open();
    await until('it has keys', () => page.browser.current?.connected === true, 60_000);
  }
  const [times, delays]: [number[], number[]] = [[], []];
  for (let i = 0; i < Number(options.repeat); i++) {
    await elapse(2_000);
    const had = pages.map(({ browser }) => browser.associations.length);
    await server.kill();
    await elapse(DOWN_MS);
    await server.start();
    const from = performance.now();
    await Promise.all(pages.map((page) => page.open()));
    await until(
      'all have new keys',
      () => pages.every(({ browser }, p) => browser.associations.length > had[p]!),
      120_000,
    );
    times.push(performance.now() - from);
    delays.push(await longestDelay());
  }
  console.log(
    markdownTable([
      { what: 'all pages open their WebSocket → all have new keys', values: times, unit: 'ms', goal: '' },
      {
        what: 'longest event-loop delay of the server since its start, at most',
        values: delays,
        unit: 'ms',
        goal: '',
      },
    ]),
  );
} finally {
  clearInterval(pump);
  for (const page of pages) page.close();
  await server.dispose();
}

/** The bound of the bucket in which the longest one lies. */
async function longestDelay(): Promise<number> {
  const answer = await askServer(server.adminSocket, { command: 'status' });
  if (answer.kind !== 'answer' || !answer.response.ok) return Number.NaN;
  return boundOf(serverFacts.parse(answer.response.facts).eventLoopDelayMs, 1) ?? Number.NaN;
}

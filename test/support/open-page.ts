import { createSocket, type Socket } from 'node:dgram';
import {
  type ClientMessage,
  formatPosition,
  type ServerMessage,
  SUBPROTOCOL,
  TOKEN_SUBPROTOCOL_PREFIX,
} from '../../src/signaling/protocol.ts';
import type { DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { testIdentity } from './dtls-identity.ts';
import type { ServerKnobs } from './dtls-server.ts';
import { LOOPBACK } from './ports.ts';
import { seededRandom } from './seeded-rng.ts';
import { VirtualBrowser } from './virtual-browser.ts';
import { until } from './wait.ts';
import { WsClient } from './ws-client.ts';

const TICK_MS = 5;

export interface OpenPageOptions {
  readonly name: string;
  readonly seed: number;
  /** The page's. */
  readonly url: string;
  /** Where media goes, on loopback: the server's or a relay's; where the offer says, where it is absent. */
  readonly udpPort?: number;
  readonly knobs?: ServerKnobs;
  /** Its certificate; a fresh one where it is absent. */
  readonly identity?: DtlsIdentity;
}

/** A visitor of a real server, over real sockets, all of whose secrets are known: a `VirtualBrowser` on the clock of the wall. */
export class OpenPage {
  readonly browser: VirtualBrowser;
  /** Why its browser did not go on: the server is another one than was signalled. */
  readonly refusals: string[] = [];
  readonly certificate: Uint8Array;
  readonly #url: string;
  #udpPort: number;
  /** By the port that the browser takes it for. */
  readonly #sockets = new Map<number, Socket>();
  #signaling: WsClient | undefined;
  #heard = 0;
  #pump: NodeJS.Timeout | undefined;

  private constructor(options: OpenPageOptions, identity: DtlsIdentity) {
    this.certificate = identity.certificate;
    this.#url = options.url;
    this.#udpPort = options.udpPort ?? 0;
    this.browser = new VirtualBrowser({
      name: options.name,
      ip: LOOPBACK,
      identity,
      rng: seededRandom(options.seed),
      server: { ip: LOOPBACK, port: options.udpPort ?? 1 },
      ports: {
        transmit: ({ port }, datagram, to) => {
          if (options.udpPort === undefined) this.#udpPort = to.port;
          this.#socket(port).send(datagram, this.#udpPort, LOOPBACK);
        },
        say: (message) => this.#signaling?.say(message),
      },
      ...(options.knobs === undefined ? {} : { knobs: options.knobs }),
    });
  }

  /** Where it sends. */
  get udpPort(): number {
    return this.#udpPort;
  }

  /** Opens the page and joins. */
  static async open(options: OpenPageOptions): Promise<OpenPage> {
    const page = new OpenPage(options, options.identity ?? (await testIdentity()));
    await page.comeBack();
    page.join();
    return page;
  }

  join(): void {
    this.say({ type: 'join', capabilities: { rekeyInPlace: true } });
  }

  say(message: ClientMessage): void {
    this.#signaling?.say(message);
  }

  /** Opens its WebSocket again, as a page does that has lost it. */
  async comeBack(): Promise<void> {
    clearInterval(this.#pump);
    const { token, position } = this.browser;
    const protocols = [SUBPROTOCOL];
    if (token !== undefined) protocols.push(TOKEN_SUBPROTOCOL_PREFIX + token);
    if (token !== undefined && position !== undefined) protocols.push(formatPosition(position));
    this.#signaling = await until('the WebSocket opens', () => WsClient.connect(this.#url, { protocols }));
    this.#heard = 0;
    this.#pump = setInterval(() => this.#turn(), TICK_MS);
  }

  /** Waits until it has had the keys of so many associations, knows its way back, and media goes on under the last. */
  async onAir(associations: number): Promise<void> {
    const { browser } = this;
    await until(
      `${browser.name} has keys number ${associations}`,
      () => browser.associations.length >= associations && browser.current?.connected && browser.token,
    );
    if (browser.role === 'broadcaster') return;
    const { current } = browser;
    const seen = current?.received.size ?? 0;
    await until(
      `${browser.name} plays`,
      () => browser.current !== current || (current?.received.size ?? 0) > seen + 3,
    );
  }

  /** Everything that the server has said on its WebSocket. */
  get heard(): readonly ServerMessage[] {
    return this.#signaling?.messages ?? [];
  }

  /** Sends whatever it is from where its browser sends. */
  send(datagram: Uint8Array): void {
    const port = this.browser.current?.port;
    if (port !== undefined) this.#socket(port).send(datagram, this.#udpPort, LOOPBACK);
  }

  /** Leaves for good. */
  leave(): void {
    this.#signaling?.say({ type: 'leave' });
  }

  close(): void {
    clearInterval(this.#pump);
    this.#signaling?.close();
    for (const socket of this.#sockets.values()) socket.close();
  }

  #turn(): void {
    const now = performance.now();
    const messages = this.#signaling?.messages ?? [];
    for (; this.#heard < messages.length; this.#heard++)
      this.browser.handleMessage(messages[this.#heard]!, now);
    this.#noting(() => this.browser.tick(now));
  }

  #noting(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.refusals.push((error as Error).message);
    }
  }

  #socket(port: number): Socket {
    const known = this.#sockets.get(port);
    if (known !== undefined) return known;
    const socket = createSocket('udp4');
    socket.on('error', () => undefined);
    socket.on('message', (datagram) =>
      this.#noting(() =>
        this.browser.handleDatagram({ ip: LOOPBACK, port }, new Uint8Array(datagram), performance.now()),
      ),
    );
    this.#sockets.set(port, socket);
    return socket;
  }
}

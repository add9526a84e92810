import type { Role } from '../../src/signaling/protocol.ts';
import { findNonceReuse, type NonceReport } from './capture.ts';
import { ChromiumBrowser } from './chromium.ts';
import { onFile } from './on-file.ts';
import { freePort, LOOPBACK } from './ports.ts';
import { ServerProcess } from './process.ts';
import { UdpRelay } from './relay.ts';
import { TcpRelay } from './tcp-relay.ts';
import type { TestPage } from './test-page.ts';
import { until } from './wait.ts';

/** A browser that pages can be opened in. */
export type Opens = Pick<ChromiumBrowser, 'openPage'>;

export interface BroadcastOptions {
  readonly viewers?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** One-way delay between browsers and server, over UDP and TCP. */
  readonly delayMs?: number;
  /** The address in the server's candidate; loopback unless told otherwise. */
  readonly address?: string;
  /** Keep all datagrams. */
  readonly record?: boolean;
  /** Runs in each page before the page's own program, as source text. */
  readonly prepare?: () => void;
  /** A browser that runs already and is not closed with the broadcast. */
  readonly browser?: ChromiumBrowser;
}

const DESCRIBED_SIGNALS = 30;

/** A server, relays before it, and a browser with one page that broadcasts and others that watch. */
export class Broadcast {
  readonly server: ServerProcess;
  readonly udp: UdpRelay;
  readonly tcp: TcpRelay;
  readonly browser: ChromiumBrowser;
  readonly viewers: TestPage[] = [];
  readonly #ownsBrowser: boolean;
  readonly #prepare: (() => void) | undefined;
  #broadcaster: TestPage | undefined;
  readonly #everyPage: TestPage[] = [];
  readonly #ownerByUfrag = new Map<string, string>();

  private constructor(
    server: ServerProcess,
    udp: UdpRelay,
    tcp: TcpRelay,
    browser: ChromiumBrowser,
    { browser: lent, prepare }: BroadcastOptions,
  ) {
    this.server = server;
    this.udp = udp;
    this.tcp = tcp;
    this.browser = browser;
    this.#ownsBrowser = lent === undefined;
    this.#prepare = prepare;
  }

  /** Everything up; the broadcaster is on air and each viewer plays. */
  static async start(options: BroadcastOptions = {}): Promise<Broadcast> {
    const broadcast = await Broadcast.prepare(options);
    try {
      await broadcast.openBroadcaster();
      for (let i = 1; i <= (options.viewers ?? 2); i++) await broadcast.openViewer(`viewer ${i}`);
      await broadcast.onFile();
      return broadcast;
    } catch (error) {
      const words = `${(error as Error).message}\n${broadcast.server.run.stderr}`;
      await broadcast.dispose();
      throw new Error(words, { cause: error });
    }
  }

  /** A server that runs, and nobody there. */
  static async prepare(options: BroadcastOptions = {}): Promise<Broadcast> {
    const { address = LOOPBACK, delayMs = 0, record = false } = options;
    const browser = options.browser ?? (await ChromiumBrowser.launch());
    // The relay needs the server's port and the server is told the relay's.
    const udpPort = await freePort();
    const udp = await UdpRelay.start({ serverPort: udpPort, address, delayMs, record });
    const server = await ServerProcess.prepare({
      udpPort,
      announcedPort: udp.port,
      env: { ANNOUNCED_ADDRESS: address, ...options.env },
    });
    const tcp = await TcpRelay.start({ serverPort: server.port, delayMs });
    const broadcast = new Broadcast(server, udp, tcp, browser, options);
    try {
      await server.start();
      return broadcast;
    } catch (error) {
      await broadcast.dispose();
      throw error;
    }
  }

  get broadcaster(): TestPage {
    if (this.#broadcaster === undefined) throw new Error('nobody broadcasts');
    return this.#broadcaster;
  }

  get pages(): TestPage[] {
    return [this.broadcaster, ...this.viewers];
  }

  async openBroadcaster(name = 'broadcaster', browser?: Opens): Promise<TestPage> {
    this.#broadcaster = await this.open(name, browser);
    await this.waitConnected(this.#broadcaster, 'broadcaster');
    return this.#broadcaster;
  }

  async openViewer(name: string, browser?: Opens): Promise<TestPage> {
    const viewer = await this.open(name, browser);
    this.viewers.push(viewer);
    await this.waitConnected(viewer, 'viewer');
    await viewer.waitPlaying(0);
    return viewer;
  }

  /** Opens the page and waits for nothing. */
  async open(name: string, browser: Opens = this.browser): Promise<TestPage> {
    const page = await browser.openPage(this.tcp.url, name, this.#prepare);
    this.#everyPage.push(page);
    return page;
  }

  /** For pages that were opened elsewhere, or that take over. */
  setBroadcaster(page: TestPage | undefined): void {
    this.#broadcaster = page;
  }

  async waitConnected(page: TestPage, role: Role): Promise<void> {
    await page.waitForFacts(`is a ${role}`, (facts) => facts.role === role);
    await waitConnected(page);
  }

  /** The identity on disk knows every page's connection. */
  onFile(): Promise<void> {
    return onFile(this.server, this.pages.length);
  }

  /** Remembers which ICE credentials are whose; call it before a page is closed whose packets count. */
  async noteOwners(): Promise<void> {
    for (const page of this.#everyPage) {
      for (const { direction, message } of await page.signals().catch(() => [])) {
        if (direction !== 'received' || message.type !== 'offer') continue;
        const ufrag = /^a=ice-ufrag:(\S+)/m.exec(String(message.sdp))?.[1];
        if (ufrag !== undefined) this.#ownerByUfrag.set(ufrag, `${page.name}/${String(message.connection)}`);
      }
    }
  }

  /** Everything that passed the relay, searched for a nonce used twice. */
  async nonceReport(): Promise<NonceReport> {
    await this.noteOwners();
    return findNonceReuse(this.udp.capture, (username) =>
      this.#ownerByUfrag.get(username.slice(0, username.indexOf(':'))),
    );
  }

  /** What a person would look at first when something has failed. */
  async describe(): Promise<string> {
    const pages = await Promise.all(
      this.#everyPage.map(async (page) => {
        const facts = await page.facts().catch(() => 'closed');
        const connections = await page.connections().catch(() => []);
        const signals = (await page.signals().catch(() => [])).slice(-DESCRIBED_SIGNALS);
        const lines = signals.map(
          ({ at, direction, message }) =>
            `    ${at} ${direction} ${JSON.stringify({ ...message, sdp: undefined, token: undefined })}`,
        );
        return `${page.name}: ${JSON.stringify(facts)}\n  ${JSON.stringify(connections)}\n${lines.join('\n')}`;
      }),
    );
    const runs = this.server.runs.map(
      (run) => `process ${run.pid}, spawned ${run.spawnedAtWall}:\n${run.stdout}${run.stderr}`,
    );
    return [...pages, ...runs].join('\n');
  }

  async dispose(): Promise<void> {
    if (this.#ownsBrowser) await this.browser.close();
    else for (const page of this.#everyPage) await page.close().catch(() => undefined);
    await this.server.dispose();
    await this.tcp.close();
    this.udp.close();
  }
}

/** Waits until the page's newest connection and its DTLS are up. */
export async function waitConnected(page: TestPage): Promise<void> {
  await until(`${page.name} is connected`, async () => {
    const newest = (await page.connections()).findLast((one) => one.connection !== 'closed');
    return newest?.connection === 'connected';
  });
}

import type { Config } from '../config.ts';
import type { Logger } from '../log.ts';
import type { Access } from '../signaling/admission.ts';
import { HttpPort, type RequestHandler } from '../signaling/http.ts';
import type { KnownOrigins } from '../signaling/origin.ts';
import type { ServerMessage } from '../signaling/protocol.ts';
import type { Refusal } from '../signaling/refusal.ts';
import { TlsSource } from '../signaling/tls.ts';
import { TrustedProxies } from '../signaling/visit.ts';
import type { PageEvents, PageSockets } from '../signaling/ws.ts';
import { type Millis, wallNow } from '../util/clock.ts';
import { type Counters, countUnder } from '../util/counters.ts';
import { openAccess } from './access.ts';
import type { DemoDesk } from './demo-desk.ts';
import { ForeignNames } from './foreign-names.ts';
import type { PageId } from './page-bindings.ts';
import { deferred } from './waiting.ts';

/** How often the page's certificate is looked at. */
const TLS_CHECK_INTERVAL: Millis = 2_000;
/** Where the page lies, seen from the built program in `dist/`. */
const PUBLIC = new URL('../public/', import.meta.url);

const STARTING: Refusal = { status: 503, reason: 'not-ready', words: 'The server is starting.' };

export interface FrontOptions {
  readonly config: Config;
  readonly log: Logger;
  /** A listening socket of somebody else's, in the place of a port of its own. */
  readonly fd: number | undefined;
  readonly origins: KnownOrigins;
  /** Its buttons are shown to those who may press them. */
  readonly demo: DemoDesk | undefined;
  readonly isReady: () => boolean;
  readonly isDraining: () => boolean;
}

/**
 * Where visitors come to: the HTTP port, over TLS where there is a certificate, the page, and the WebSockets of pages.
 *
 *   1. {@link bind}: whoever comes now waits for the page; a WebSocket is told that the server is starting
 *   2. {@link open}: the page and its WebSockets, behind the first media
 *   3. {@link sendAway}, then {@link close}
 */
export class Front {
  readonly #options: FrontOptions;
  readonly #access: Access;
  readonly #foreignNames: ForeignNames;
  readonly #tls: TlsSource | undefined;
  readonly #site = deferred<RequestHandler>();
  #http!: HttpPort;
  /** Absent until the media flows. */
  #pages: PageSockets | undefined;

  private constructor(options: FrontOptions, tls: TlsSource | undefined) {
    this.#options = options;
    this.#access = openAccess(options.config.access);
    this.#foreignNames = new ForeignNames(options.log);
    this.#tls = tls;
  }

  /** Throws `CONFIG_INVALID` where there is to be a certificate, and is none. */
  static async prepare(options: FrontOptions): Promise<Front> {
    const { tls } = options.config;
    return new Front(options, tls && (await TlsSource.open(tls)));
  }

  /** Loads what takes time, for a server that is to take over. */
  static async warmUp(): Promise<void> {
    const { createSite } = await load();
    await createSite(PUBLIC, () => false);
  }

  /** May be tried again where it throws, or was closed, since another port could not be had. */
  async bind(): Promise<this> {
    const { config, fd, origins } = this.#options;
    const { connections, connectionsPerAddress } = config.limits;
    this.#http = await HttpPort.bind({
      host: config.host,
      port: config.port,
      fd,
      app: this.#site.promise,
      origins,
      tls: this.#tls?.pair,
      proxies: new TrustedProxies(config.trustedProxies, config.publicOrigins),
      onUpgrade: (...upgrade) => (this.#pages === undefined ? STARTING : this.#pages.upgrade(...upgrade)),
      onRefused: (...refused) => this.#foreignNames.note(...refused),
      limits: { connections, ...(connectionsPerAddress === undefined ? {} : { connectionsPerAddress }) },
    });
    return this;
  }

  get port(): number {
    return this.#http.port;
  }

  /** The page and its WebSocket come after the media: their libraries take longer to load than the first packet to leave. */
  async open(events: Omit<PageEvents, 'pressed'>): Promise<void> {
    const { config, origins, demo, isReady, isDraining } = this.#options;
    const { createSite, PageSockets } = await load();
    const pressed: PageEvents['pressed'] = (_page, action) => void demo?.press(action);
    this.#pages = new PageSockets({ ...events, pressed }, origins, {
      access: this.#access,
      pagesPerAddress: config.limits.connectionsPerAddress,
      demo: demo !== undefined,
    });
    const site = await createSite(PUBLIC, isReady, {
      https: this.#tls !== undefined,
      isDraining,
      allows: (origin, host) => origins.allows(origin, host),
    });
    this.#site.resolve(site);
  }

  /** Looks every now and then whether another certificate lies there. */
  watchTls(every: (interval: Millis, work: () => void) => void): void {
    const { config, log } = this.#options;
    if (this.#tls === undefined) return;
    const validTo = new Date(this.#tls.pair.validTo);
    log.info({ event: 'tls', cert: config.tls?.cert, validTo }, 'HTTPS');
    every(TLS_CHECK_INTERVAL, () => void this.#checkTls());
  }

  /** Pages that are there. */
  get size(): number {
    return this.#pages?.size ?? 0;
  }

  tell(id: PageId, message: ServerMessage): void {
    const { demo } = this.#options;
    const page = this.#pages?.page(id);
    page?.send(message);
    if (message.type === 'welcome' && page?.presents && demo !== undefined) page.send(demo.offer());
  }

  /** Those that may press the buttons of the demonstration. */
  tellPresenters(message: ServerMessage): void {
    this.#pages?.tellPresenters(message);
  }

  disconnect(id: PageId, code: number, reason: string): void {
    this.#pages?.page(id)?.close(code, reason);
  }

  countDrops(all: Counters<string>): void {
    countUnder(all, 'http', this.#http.drops);
    if (this.#pages !== undefined) countUnder(all, 'pages', this.#pages.drops);
  }

  /** The pages come back by themselves. */
  sendAway(): void {
    // RFC 6455 §7.4.1 and its registry: 1012 is "service restart".
    this.#pages?.close(1012, 'restart');
  }

  close(): void {
    this.#http.close();
  }

  async #checkTls(): Promise<void> {
    const { log } = this.#options;
    const news = await this.#tls?.check(wallNow());
    switch (news?.kind) {
      case 'changed':
        this.#http.renewTls(news.pair);
        log.info({ event: 'tls-renewed', validTo: new Date(news.pair.validTo) }, 'a new certificate is used');
        break;
      case 'refused':
        log.error(
          { event: 'tls-refused', problem: news.words },
          'what lies in TLS_CERT and TLS_KEY now cannot be used: the certificate before it stays',
        );
        break;
      case 'expiring':
        log.warn(
          { event: 'tls-expiring', validTo: new Date(news.validTo) },
          'the certificate of the page expires: browsers will refuse the page, and nobody has put another one in its place',
        );
    }
  }
}

async function load() {
  const [{ createSite }, { PageSockets }] = await Promise.all([
    import('../signaling/site.ts'),
    import('../signaling/ws.ts'),
  ]);
  return { createSite, PageSockets };
}

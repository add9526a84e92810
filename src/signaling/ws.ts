import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { Budget } from '../util/budget.ts';
import { type Millis, monotonicNow } from '../util/clock.ts';
import { Counters } from '../util/counters.ts';
import { Access, type Admission, type Verdict } from './admission.ts';
import { FairShare, ownerOf } from './fair-share.ts';
import { parseClientMessage } from './messages.ts';
import type { KnownOrigins } from './origin.ts';
import {
  ACCESS_SUBPROTOCOL_PREFIX,
  CLOSE_CODE,
  type ClientMessage,
  type DemoAction,
  MAX_MESSAGE_BYTES,
  type PagePosition,
  parsePosition,
  type ServerMessage,
  SUBPROTOCOL,
  TOKEN_SUBPROTOCOL_PREFIX,
} from './protocol.ts';
import type { Refusal } from './refusal.ts';
import type { Visit } from './visit.ts';

/** A message comes in one piece, from browsers; each further piece costs more memory than it brings bytes. */
const MAX_FRAGMENTS = 64;
/** And in pieces of a TCP segment: a frame that comes byte by byte is cut off here. */
const MAX_CHUNKS = 1_024;
const HEARTBEAT: Millis = 15_000;
/** A page that is told to close has this long to do so: a shutdown waits for it. */
const CLOSE_TIMEOUT: Millis = 1_000;
/** A page that does not take what is sent to it is cut off here, in bytes. */
const MAX_BUFFERED = 1024 * 1024;
/** Messages a page may send in a burst, and in each further second. A page in trouble sends a few. */
const BURST = 40;
const PER_SECOND = 10;

export interface PageEvents {
  /** The handshake is done; what is sent before this returns rides right behind it. */
  opened(page: Page, token: string | undefined, position: PagePosition | undefined): void;
  message(page: Page, message: ClientMessage): void;
  /** A button of the demonstration, by a page that may. */
  pressed?(page: Page, action: DemoAction): void;
  closed(page: Page): void;
}

/** The WebSocket side of a page. */
export class Page {
  readonly id: number;
  /** Whose it is, for the shares: see {@link ownerOf}. */
  readonly owner: string;
  readonly admission: Admission;
  /** May press the buttons of the demonstration. */
  readonly presents: boolean;
  readonly #socket: WebSocket;
  alive = true;
  /** It has said something that the protocol knows. */
  spoke = false;
  #closing = false;
  #beats = 0;
  readonly #messages = new Budget(BURST, PER_SECOND);

  constructor(id: number, owner: string, admission: Admission, socket: WebSocket, presents = false) {
    this.id = id;
    this.owner = owner;
    this.admission = admission;
    this.presents = presents;
    this.#socket = socket;
  }

  /** It was told to close: what it still says is not heard. */
  get closing(): boolean {
    return this.#closing;
  }

  send(message: ServerMessage): void {
    if (this.#socket.bufferedAmount > MAX_BUFFERED) this.#socket.terminate();
    else this.#socket.send(JSON.stringify(message));
  }

  close(code: number, reason: string): void {
    this.#closing = true;
    this.#socket.close(code, reason);
    setTimeout(() => this.#socket.terminate(), CLOSE_TIMEOUT).unref();
  }

  /** Pings, or cuts off a page that has not answered the last ping or has never said anything. */
  beat(): void {
    const mute = this.#beats++ > 0 && !this.spoke;
    if (!this.alive || mute) {
      this.#socket.terminate();
      return;
    }
    this.alive = false;
    this.#socket.ping();
  }

  /** Whether this page may send another message now. */
  take(now: Millis): boolean {
    return this.#messages.take(now);
  }
}

export interface PageSocketsOptions {
  /** Everybody may come in, where it is absent. */
  readonly access?: Access;
  /** WebSockets at a time of one address. Behind a proxy its connections say nothing of whose they are. */
  readonly pagesPerAddress?: number | undefined;
  /** There are buttons for a demonstration: for visitors on this machine, and those with PUBLISH_TOKEN. */
  readonly demo?: boolean;
}

/** WebSockets of pages at `/ws`. */
export class PageSockets {
  /** Pages that were not let in, and buttons that were pressed by pages that have none. */
  readonly drops = new Counters<'token-missing' | 'token-wrong' | 'demo-refused'>();
  readonly #server: WebSocketServer;
  readonly #pages = new Map<number, Page>();
  readonly #events: PageEvents;
  readonly #origins: KnownOrigins;
  readonly #access: Access;
  readonly #demo: boolean;
  readonly #shares: FairShare<Page>;
  readonly #heartbeat: NodeJS.Timeout;
  #count = 0;

  constructor(events: PageEvents, origins: KnownOrigins, options: PageSocketsOptions = {}) {
    this.#events = events;
    this.#origins = origins;
    this.#access = options.access ?? new Access();
    this.#demo = options.demo ?? false;
    const { pagesPerAddress = Number.POSITIVE_INFINITY } = options;
    this.#shares = new FairShare(Number.POSITIVE_INFINITY, () => pagesPerAddress);
    this.#server = new WebSocketServer({
      noServer: true,
      // Twice the limit, so that one that is a little over it gets an answer in words.
      maxPayload: 2 * MAX_MESSAGE_BYTES,
      maxFragments: MAX_FRAGMENTS,
      maxBufferedChunks: MAX_CHUNKS,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    this.#heartbeat = setInterval(() => {
      for (const page of this.#pages.values()) page.beat();
    }, HEARTBEAT);
    this.#heartbeat.unref();
  }

  get size(): number {
    return this.#pages.size;
  }

  page(id: number): Page | undefined {
    return this.#pages.get(id);
  }

  /** Those that may press the buttons of the demonstration. */
  tellPresenters(message: ServerMessage): void {
    for (const page of this.#pages.values()) if (page.presents && page.spoke) page.send(message);
  }

  /** Takes an HTTP upgrade. Other paths, other origins and other protocols are refused before a WebSocket exists. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, visit: Visit): Refusal | undefined {
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    if (request.url !== '/ws') return OTHER_PATH;
    if (!this.#isOwnPage(request.headers.origin, visit)) return OTHER_ORIGIN;
    if (!offered.includes(SUBPROTOCOL)) return OTHER_PROTOCOL;
    const owner = ownerOf(visit.address);
    if (this.#shares.isAtLimit(owner)) return TOO_MANY_PAGES;
    const open = (verdict: Verdict) =>
      this.#server.handleUpgrade(request, socket, head, (opened) => {
        if ('admits' in verdict) this.#open(opened, offered, owner, verdict.admits, visit.local);
        else this.#turnAway(opened, verdict);
      });
    const verdict = this.#access.judge(accessToken(offered));
    if (verdict instanceof Promise) {
      // Node has taken its own listener off: who hangs up meanwhile would end the process.
      socket.on('error', () => socket.destroy());
      // Others from there may have come in while this one waited for its verdict.
      void verdict.then((known) => (this.#shares.isAtLimit(owner) ? socket.destroy() : open(known)));
    } else open(verdict);
    return undefined;
  }

  close(code: number, reason: string): void {
    clearInterval(this.#heartbeat);
    for (const page of this.#pages.values()) page.close(code, reason);
    this.#server.close();
  }

  /** Browsers always send Origin; what sends none is no page that somebody was lured to (RFC 6455 §10.2). */
  #isOwnPage(origin: string | undefined, { host, scheme }: Visit): boolean {
    return origin === undefined || (host !== undefined && this.#origins.allows(origin, host, scheme));
  }

  /** A browser's script does not learn why a handshake was refused: so it is told in words, and then closed. */
  #turnAway(socket: WebSocket, { refuses, words }: Exclude<Verdict, { admits: unknown }>): void {
    this.drops.add(`token-${refuses}`);
    socket.on('error', () => undefined);
    const page = new Page(0, '', { right: 'view', until: 0 }, socket);
    const code = refuses === 'missing' ? 'ACCESS_REQUIRED' : 'ACCESS_REFUSED';
    page.send({ type: 'error', code, message: words });
    page.close(CLOSE_CODE.locked, refuses === 'missing' ? 'a token is needed' : 'another token is needed');
  }

  #open(
    socket: WebSocket,
    offered: readonly string[],
    owner: string,
    admission: Admission,
    local: boolean,
  ): void {
    const presents = this.#demo && (local || admission.byPublishToken === true);
    const page = new Page(++this.#count, owner, admission, socket, presents);
    this.#pages.set(page.id, page);
    this.#shares.hold(owner, page);
    socket.on('message', (data, isBinary) => this.#receive(page, data as Buffer, isBinary));
    socket.on('pong', () => {
      page.alive = true;
    });
    // Browsers never ping; each would be answered.
    socket.on('ping', () => this.#mayGoOn(page));
    // ws closes the socket itself; without a listener the error would be the process's.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#pages.delete(page.id);
      this.#shares.release(page);
      this.#events.closed(page);
    });
    this.#events.opened(page, suffixOf(offered, TOKEN_SUBPROTOCOL_PREFIX), firstPosition(offered));
  }

  /** Spends one of the page's messages; where none is left, it is told so once and closed. */
  #mayGoOn(page: Page): boolean {
    if (page.closing) return false;
    if (page.take(monotonicNow())) return true;
    page.send({ type: 'error', code: 'RATE_LIMITED', message: 'Too many messages.' });
    page.close(CLOSE_CODE.invalid, 'too many messages');
    return false;
  }

  #receive(page: Page, data: Buffer, isBinary: boolean): void {
    page.alive = true;
    if (!this.#mayGoOn(page)) return;
    if (data.length > MAX_MESSAGE_BYTES) {
      page.send({
        type: 'error',
        code: 'MESSAGE_TOO_LARGE',
        message: `A message has at most ${MAX_MESSAGE_BYTES} bytes; this one has ${data.length}.`,
      });
      return;
    }
    const message = isBinary ? undefined : parseClientMessage(data.toString('utf8'));
    // To whom it is not offered it is none of the protocol.
    const refused = message?.type === 'demo' && !page.presents;
    if (refused && this.#demo) this.drops.add('demo-refused');
    if (message === undefined || refused) {
      page.send({
        type: 'error',
        code: 'MESSAGE_INVALID',
        message: 'This is not a message of the protocol.',
      });
      return;
    }
    page.spoke = true;
    if (message.type === 'demo') this.#events.pressed?.(page, message.action);
    else this.#events.message(page, message);
  }
}

const OTHER_PATH: Refusal = { status: 404, reason: 'other-path', words: 'The WebSocket is at /ws.' };
const OTHER_ORIGIN: Refusal = {
  status: 403,
  reason: 'other-origin',
  words:
    'Pages of other origins may not connect. Where HTTPS ends in front of this server, ' +
    'PUBLIC_ORIGIN has to name it (https://live.example.org), or TRUST_PROXY the proxy that says so.',
};
const TOO_MANY_PAGES: Refusal = {
  status: 503,
  reason: 'too-many-connections',
  words: 'This page is open as often as one address may have it. Close another one.',
};
const OTHER_PROTOCOL: Refusal = {
  status: 400,
  reason: 'other-protocol',
  words: `The subprotocol has to be ${SUBPROTOCOL}.`,
};

const suffixOf = (offered: readonly string[], prefix: string): string | undefined =>
  offered.find((name) => name.startsWith(prefix))?.slice(prefix.length);

const accessToken = (offered: readonly string[]): string | undefined => {
  const encoded = suffixOf(offered, ACCESS_SUBPROTOCOL_PREFIX);
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64url').toString('utf8');
};

const firstPosition = (offered: readonly string[]): PagePosition | undefined =>
  offered.map(parsePosition).find((position) => position !== undefined);

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { Budget } from '../util/budget.ts';
import { type Millis, monotonicNow } from '../util/clock.ts';
import { parseClientMessage } from './messages.ts';
import {
  CLOSE_CODE,
  type ClientMessage,
  MAX_MESSAGE_BYTES,
  type PagePosition,
  parsePosition,
  type ServerMessage,
  SUBPROTOCOL,
  TOKEN_SUBPROTOCOL_PREFIX,
} from './protocol.ts';

/** More WebSockets than one process has sessions for. */
const MAX_PAGES = 4_000;
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
  closed(page: Page): void;
}

/** The WebSocket side of a page. */
export class Page {
  readonly id: number;
  readonly #socket: WebSocket;
  alive = true;
  /** It has said something that the protocol knows. */
  spoke = false;
  #beats = 0;
  readonly #messages = new Budget(BURST, PER_SECOND);

  constructor(id: number, socket: WebSocket) {
    this.id = id;
    this.#socket = socket;
  }

  send(message: ServerMessage): void {
    if (this.#socket.bufferedAmount > MAX_BUFFERED) this.#socket.terminate();
    else this.#socket.send(JSON.stringify(message));
  }

  close(code: number, reason: string): void {
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

/** WebSockets of pages at `/ws`. */
export class PageSockets {
  readonly #server: WebSocketServer;
  readonly #pages = new Map<number, Page>();
  readonly #events: PageEvents;
  readonly #heartbeat: NodeJS.Timeout;
  #count = 0;

  constructor(events: PageEvents) {
    this.#events = events;
    this.#server = new WebSocketServer({
      noServer: true,
      // Twice the limit, so that one that is a little over it gets an answer in words.
      maxPayload: 2 * MAX_MESSAGE_BYTES,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    this.#heartbeat = setInterval(() => {
      for (const page of this.#pages.values()) page.beat();
    }, HEARTBEAT);
    this.#heartbeat.unref();
  }

  page(id: number): Page | undefined {
    return this.#pages.get(id);
  }

  /** Takes an HTTP upgrade. Other paths, other origins and other protocols are refused before a WebSocket exists. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    if (request.url !== '/ws') refuse(socket, '404 Not Found', 'The WebSocket is at /ws.');
    else if (!isSameOrigin(request))
      refuse(socket, '403 Forbidden', 'Pages of other origins may not connect.');
    else if (!offered.includes(SUBPROTOCOL))
      refuse(socket, '400 Bad Request', `The subprotocol has to be ${SUBPROTOCOL}.`);
    else if (this.#pages.size >= MAX_PAGES)
      refuse(socket, '503 Service Unavailable', 'Too many pages are connected.');
    else {
      this.#server.handleUpgrade(request, socket, head, (opened) => this.#open(opened, offered));
    }
  }

  close(code: number, reason: string): void {
    clearInterval(this.#heartbeat);
    for (const page of this.#pages.values()) page.close(code, reason);
    this.#server.close();
  }

  #open(socket: WebSocket, offered: readonly string[]): void {
    const page = new Page(++this.#count, socket);
    this.#pages.set(page.id, page);
    socket.on('message', (data, isBinary) => this.#receive(page, data as Buffer, isBinary));
    socket.on('pong', () => {
      page.alive = true;
    });
    // ws closes the socket itself; without a listener the error would be the process's.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#pages.delete(page.id);
      this.#events.closed(page);
    });
    this.#events.opened(page, suffixOf(offered, TOKEN_SUBPROTOCOL_PREFIX), firstPosition(offered));
  }

  #receive(page: Page, data: Buffer, isBinary: boolean): void {
    page.alive = true;
    if (!page.take(monotonicNow())) {
      page.send({ type: 'error', code: 'RATE_LIMITED', message: 'Too many messages.' });
      page.close(CLOSE_CODE.invalid, 'too many messages');
      return;
    }
    if (data.length > MAX_MESSAGE_BYTES) {
      page.send({
        type: 'error',
        code: 'MESSAGE_TOO_LARGE',
        message: `A message has at most ${MAX_MESSAGE_BYTES} bytes; this one has ${data.length}.`,
      });
      return;
    }
    const message = isBinary ? undefined : parseClientMessage(data.toString('utf8'));
    if (message === undefined) {
      page.send({
        type: 'error',
        code: 'MESSAGE_INVALID',
        message: 'This is not a message of the protocol.',
      });
      return;
    }
    page.spoke = true;
    this.#events.message(page, message);
  }
}

/** Browsers always send Origin; what sends none is no page that somebody was lured to (RFC 6455 §10.2). */
function isSameOrigin(request: IncomingMessage): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

function refuse(socket: Duplex, status: string, words: string): void {
  // Node takes its own listener off an upgraded socket: who asks and hangs up would end the process.
  socket.on('error', () => socket.destroy());
  // And node leaves it half open: who never hangs up would keep it for ever.
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${words.length}\r\n\r\n${words}`,
  );
}

const suffixOf = (offered: readonly string[], prefix: string): string | undefined =>
  offered.find((name) => name.startsWith(prefix))?.slice(prefix.length);

const firstPosition = (offered: readonly string[]): PagePosition | undefined =>
  offered.map(parsePosition).find((position) => position !== undefined);

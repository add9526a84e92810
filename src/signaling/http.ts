import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type AddressSettings, bindFailed } from '../util/bind-error.ts';
import type { Millis } from '../util/clock.ts';
import { Counters } from '../util/counters.ts';
import { FairShare, ownerOf } from './fair-share.ts';
import type { KnownOrigins } from './origin.ts';
import { type HttpDropReason, judgeRequest, type Refusal, refusalHeaders, refuseSocket } from './refusal.ts';
import type { TlsPair } from './tls.ts';
import { TrustedProxies, type Visit } from './visit.ts';

/** Answers a request. */
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => unknown;

export interface HttpLimits {
  /** Connections at a time, pages' WebSockets among them. */
  readonly connections: number;
  /** And of one address, however many there may be. */
  readonly connectionsPerAddress: number;
  /** Head of a request, in bytes. */
  readonly headBytes: number;
  /** The head of a request is here by then, and all of it by `request`. */
  readonly head: Millis;
  readonly request: Millis;
  /** A connection on which nothing moves, and which is no WebSocket, is closed. */
  readonly idle: Millis;
  /** From one request of a connection to the next. */
  readonly keepAlive: Millis;
  /** How often that is looked after. */
  readonly check: Millis;
}

/** A slow client holds no more than its socket, and not for long; twice as many connections as there are sessions. */
const LIMITS: HttpLimits = {
  connections: 4_000,
  connectionsPerAddress: Number.POSITIVE_INFINITY,
  headBytes: 16 * 1024,
  head: 10_000,
  request: 15_000,
  idle: 20_000,
  keepAlive: 5_000,
  check: 2_000,
};

export interface HttpPortOptions {
  readonly host: string;
  readonly port: number;
  /** Where these two come from, unless from HOST and PORT. */
  readonly settings?: AddressSettings;
  /** A socket of this process's that listens already, instead of `host` and `port`. */
  readonly fd?: number | undefined;
  /** Where it rejects, every request gets a 503. */
  readonly app: Promise<RequestHandler>;
  /** Takes the connection over, or gives the reason why not. */
  readonly onUpgrade: (
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    visit: Visit,
  ) => Refusal | undefined;
  readonly origins: KnownOrigins;
  /** HTTPS with this certificate, until there is another; HTTP where it is absent. */
  readonly tls?: TlsPair | undefined;
  readonly proxies?: TrustedProxies;
  /** A request was refused before it was looked at. */
  readonly onRefused?: (refusal: Refusal, request: IncomingMessage, visit: Visit) => void;
  readonly limits?: Partial<HttpLimits>;
}

/** Connections that wait to be accepted: after a restart all pages come at once. The system may allow fewer (net.core.somaxconn). */
const BACKLOG = 4_096;
const NOT_READY: Refusal = { status: 503, reason: 'not-ready', words: 'The server could not start.' };
/** No visitor is called that. */
const PROXIES = 'proxies';
const FULL: Refusal = {
  status: 503,
  reason: 'too-many-connections',
  words: 'Too many connections are open from your address. Close some, or come back later.',
};

/**
 * The one TCP port. It is bound before anything else is done, so that a port in use is found before a snapshot has been touched. Requests
 * wait until the rest is there: a page that asks for its server is answered in the moment that there is one.
 */
export class HttpPort {
  readonly drops = new Counters<HttpDropReason>();
  readonly #options: HttpPortOptions;
  readonly #server: Server;
  readonly #connections: FairShare<Socket>;
  readonly #proxies: TrustedProxies;
  /** Connections on which TLS is still being agreed on. */
  readonly #handshakes = new Map<string, Socket>();

  private constructor(options: HttpPortOptions) {
    const limits = { ...LIMITS, ...options.limits };
    this.#options = options;
    this.#connections = new FairShare(limits.connections, (owner) =>
      owner === PROXIES ? Number.POSITIVE_INFINITY : limits.connectionsPerAddress,
    );
    this.#proxies = options.proxies ?? new TrustedProxies();
    options.app.catch(() => undefined);
    const http = {
      maxHeaderSize: limits.headBytes,
      headersTimeout: limits.head,
      requestTimeout: limits.request,
      keepAliveTimeout: limits.keepAlive,
      connectionsCheckingInterval: limits.check,
    };
    const handle = (request: IncomingMessage, response: ServerResponse) => this.#handle(request, response);
    this.#server =
      options.tls === undefined
        ? createServer(http, handle)
        : createTlsServer({ ...http, ...secureOptions(options.tls), handshakeTimeout: limits.head }, handle);
    this.#server.on('secureConnection', (socket: Socket) => this.#handshakes.delete(peerOf(socket)));
    this.#server.on('tlsClientError', () => this.drops.add('tls-failed'));
    this.#server.timeout = limits.idle;
    this.#server.on('connection', (socket) => this.#accept(socket));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Throws `PORT_IN_USE` where another process has the port, `ADDRESS_UNAVAILABLE` where it cannot be had here. */
  static async bind(options: HttpPortOptions): Promise<HttpPort> {
    const { host, port, fd, settings } = options;
    const http = new HttpPort(options);
    const server = http.#server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) =>
        reject(bindFailed(cause, host, port, 'tcp', settings)),
      );
      server.listen(fd === undefined ? { host, port } : { fd }, BACKLOG, () => {
        // From now on an error is a connection that could not be accepted (no file descriptor is left): not the end of those that are.
        server.removeAllListeners('error');
        server.on('error', () => http.drops.add('accept-failed'));
        resolve();
      });
    });
    return http;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Who comes from now on is shown this certificate. */
  renewTls(pair: TlsPair): void {
    if (this.#server instanceof TlsServer) this.#server.setSecureContext(secureOptions(pair));
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    for (const socket of this.#handshakes.values()) socket.destroy();
  }

  #accept(socket: Socket): void {
    const peer = peerOf(socket);
    const secure = this.#options.tls !== undefined;
    if (secure) this.#handshakes.set(peer, socket);
    socket.once('close', () => {
      this.#connections.release(socket);
      if (this.#handshakes.get(peer) === socket) this.#handshakes.delete(peer);
    });
    const address = socket.remoteAddress ?? '';
    // For whom a proxy asks is not known before it does.
    const goes = this.#connections.take(this.#proxies.trusts(address) ? PROXIES : ownerOf(address), socket);
    if (goes === undefined) return;
    this.drops.add('too-many-connections');
    // Before TLS there is nobody to speak to.
    if (goes === socket && !secure) refuseSocket(socket, FULL);
    else goes.destroy();
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const visit = this.#proxies.visitOf(request);
    const refusal = judgeRequest(request, this.#options.origins, visit);
    if (refusal !== undefined) {
      this.#note(refusal, request, visit);
      refuse(response, refusal);
      return;
    }
    this.#options.app.then(
      (handle) => handle(request, response),
      () => refuse(response, NOT_READY),
    );
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { origins, onUpgrade } = this.#options;
    const visit = this.#proxies.visitOf(request);
    const refusal = judgeRequest(request, origins, visit) ?? onUpgrade(request, socket, head, visit);
    if (refusal === undefined) return;
    this.#note(refusal, request, visit);
    refuseSocket(socket, refusal);
  }

  #note(refusal: Refusal, request: IncomingMessage, visit: Visit): void {
    this.drops.add(refusal.reason);
    this.#options.onRefused?.(refusal, request, visit);
  }
}

/** RFC 9325 §3.1.1: nothing below TLS 1.2. */
const secureOptions = ({ cert, key }: TlsPair) => ({ cert, key, minVersion: 'TLSv1.2' as const });

const peerOf = (socket: Socket): string => `${socket.remoteAddress}|${socket.remotePort}`;

function refuse(response: ServerResponse, refusal: Refusal): void {
  response.writeHead(refusal.status, refusalHeaders(refusal));
  response.end(response.req.method === 'HEAD' ? undefined : `${refusal.words}\n`);
}

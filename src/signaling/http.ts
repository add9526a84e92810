import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { bindFailed } from '../util/bind-error.ts';

/** Answers a request. */
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => unknown;

/**
 * The one TCP port. It is bound before anything else is done, so that a port in use is found before a snapshot has been touched. Requests
 * wait until the rest is there: a page that asks for its server is answered in the moment that there is one.
 */
export class HttpPort {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /**
   * Throws `PORT_IN_USE` where another process has the port, `ADDRESS_UNAVAILABLE` where it cannot be had here. Where `app` rejects, every request gets a 503.
   */
  static async bind(
    host: string,
    port: number,
    app: Promise<RequestHandler>,
    onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void,
  ): Promise<HttpPort> {
    app.catch(() => undefined);
    const server = createServer((request, response) => {
      app.then(
        (handle) => handle(request, response),
        () => response.writeHead(503).end(),
      );
    });
    // A slow client holds no more than its socket (slowloris).
    server.headersTimeout = 10_000;
    server.requestTimeout = 15_000;
    server.on('upgrade', onUpgrade);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => reject(bindFailed(cause, host, port, 'tcp')));
      server.listen(port, host, resolve);
    });
    return new HttpPort(server);
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

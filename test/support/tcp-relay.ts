import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { LOOPBACK } from './ports.ts';
import { DelayLine, type Direction } from './relay.ts';

/**
 * Stands between the browsers and the server's TCP port and delays bytes and ends of stream in both directions. The kernel still
 * answers the SYN at once: a connection costs no round trip here.
 */
export class TcpRelay {
  readonly port: number;
  delayMs: number;
  /** Called for all bytes as they reach the relay. */
  onBytes: ((direction: Direction, bytes: Buffer) => void) | undefined;
  readonly #server: Server;
  readonly #serverPort: number;
  readonly #sockets = new Set<Socket>();
  /** Who came while nothing gets through, and waits. */
  #waiting: Socket[] | undefined;

  private constructor(server: Server, serverPort: number, delayMs: number) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    this.#serverPort = serverPort;
    this.delayMs = delayMs;
    server.on('connection', (front) => {
      if (this.#waiting === undefined) this.#join(front);
      else this.#waiting.push(front.on('error', () => undefined));
    });
  }

  static async start(options: { serverPort: number; delayMs?: number }): Promise<TcpRelay> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, LOOPBACK);
    await once(server, 'listening');
    return new TcpRelay(server, options.serverPort, options.delayMs ?? 0);
  }

  get url(): string {
    return `http://${LOOPBACK}:${this.port}/`;
  }

  /** Every connection there is breaks; new ones are taken. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Nothing gets through and nothing is lost, as with TCP over a network that is away for a while. */
  hold(): void {
    this.#waiting ??= [];
    for (const socket of this.#sockets) socket.pause();
  }

  /** What was held comes through. */
  release(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const socket of this.#sockets) socket.resume();
    for (const front of waiting) if (!front.destroyed) this.#join(front);
  }

  async close(): Promise<void> {
    this.release();
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(front: Socket): void {
    const back = connect({ host: LOOPBACK, port: this.#serverPort, allowHalfOpen: true });
    for (const socket of [front, back]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
    }
    this.#pipe('up', front, back);
    this.#pipe('down', back, front);
  }

  #pipe(direction: Direction, from: Socket, to: Socket): void {
    const line = new DelayLine();
    from.on('data', (bytes: Buffer) => {
      this.onBytes?.(direction, bytes);
      line.push(this.delayMs, () => to.writable && to.write(bytes));
    });
    from.on('end', () => line.push(this.delayMs, () => to.end()));
    from.on('error', () => line.push(this.delayMs, () => to.destroy()));
    from.on('close', () => {
      this.#sockets.delete(from);
      line.push(this.delayMs, () => to.destroySoon());
    });
  }
}

import { connect, type Socket } from 'node:net';
import { LOOPBACK } from './ports.ts';
import { until } from './wait.ts';

/** Somebody who speaks HTTP by hand: says exactly these bytes, and never closes of its own accord. */
export class RawClient {
  readonly #socket: Socket;
  /** All that has come back. */
  answer = '';
  /** The server has closed or reset the connection. */
  over = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      this.answer += bytes.toString('latin1');
    });
    socket.on('end', () => {
      this.over = true;
    });
    socket.on('close', () => {
      this.over = true;
    });
  }

  /** @param from another address of the loopback network, where the server is to see another visitor */
  static async connect(port: number, from = LOOPBACK): Promise<RawClient> {
    const socket = connect({ port, host: LOOPBACK, localAddress: from, allowHalfOpen: true });
    const client = new RawClient(socket);
    await until('the connection is up or refused', () => !socket.connecting, undefined, 1);
    return client;
  }

  say(text: string | Uint8Array): void {
    this.#socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
  }

  /** A request with these lines behind the first; Host is localhost unless one is among them. */
  request(line: string, ...headers: readonly string[]): void {
    const host = headers.some((header) => /^host:/i.test(header)) ? [] : ['Host: localhost'];
    this.say(`${[line, ...host, ...headers].join('\r\n')}\r\n\r\n`);
  }

  /** Reads nothing more, as if it had hung up without saying so. */
  pause(): void {
    this.#socket.pause();
  }

  /** Everything that was said, once the server has closed. */
  async ended(): Promise<string> {
    await until('the server hangs up', () => this.over);
    return this.answer;
  }

  /** The first answer, or what there is of it when it is over. */
  async heard(): Promise<string> {
    await until('an answer is here', () => this.over || this.answer.includes('\r\n\r\n'));
    return this.answer;
  }

  /** Status codes of all answers. */
  get statuses(): number[] {
    return [...this.answer.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status));
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** The headers of a WebSocket handshake. */
export const UPGRADE = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
] as const;

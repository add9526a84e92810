import { once } from 'node:events';
import WebSocket from 'ws';
import {
  ACCESS_SUBPROTOCOL_PREFIX,
  type PageMessage,
  type ServerMessage,
  SUBPROTOCOL,
  TOKEN_SUBPROTOCOL_PREFIX,
} from '../../src/signaling/protocol.ts';
import { until } from './wait.ts';

/** A page's signaling without a page: says exactly what a test tells it to say. */
export class WsClient {
  readonly messages: ServerMessage[] = [];
  /** The WebSocket close code; `undefined` while it is open. */
  closeCode: number | undefined;
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket, heard?: (message: ServerMessage) => void) {
    this.#socket = socket;
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as ServerMessage;
      this.messages.push(message);
      heard?.(message);
    });
    socket.on('close', (code) => {
      this.closeCode = code;
    });
    socket.on('error', () => undefined);
  }

  /** `url` is the page's. Rejects, with the HTTP status in its words, where the upgrade is refused. */
  static async connect(
    url: string,
    options: {
      token?: string;
      access?: string;
      protocols?: string[];
      origin?: string;
      headers?: Readonly<Record<string, string>>;
      /** Is told each message as it comes. */
      heard?: (message: ServerMessage) => void;
    } = {},
  ): Promise<WsClient> {
    const { token, access, origin = new URL(url).origin, headers = {} } = options;
    const protocols = options.protocols ?? [
      SUBPROTOCOL,
      ...(access === undefined
        ? []
        : [ACCESS_SUBPROTOCOL_PREFIX + Buffer.from(access).toString('base64url')]),
      ...(token === undefined ? [] : [TOKEN_SUBPROTOCOL_PREFIX + token]),
    ];
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}ws`, protocols, {
      origin,
      headers: { ...headers },
    });
    const client = new WsClient(socket, options.heard);
    await once(socket, 'open');
    return client;
  }

  say(message: PageMessage): void {
    this.sayRaw(JSON.stringify(message));
  }

  sayRaw(data: string | Uint8Array): void {
    this.#socket.send(data);
  }

  /** Waits for a message of this type, already here or still to come. */
  async hear<Type extends ServerMessage['type']>(
    type: Type,
  ): Promise<Extract<ServerMessage, { type: Type }>> {
    return until(`the server says ${type}`, () =>
      this.messages.find((one): one is Extract<ServerMessage, { type: Type }> => one.type === type),
    );
  }

  async closed(): Promise<number> {
    return until('the server closes the WebSocket', () => this.closeCode);
  }

  /** Reads nothing any more, and so never closes either. */
  freeze(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#socket.terminate();
  }
}

import { DRAINING, type PageMessage } from '../signaling/protocol.ts';
import type { PageInput } from './io.ts';
import { PROBE_TIMEOUT_MS } from './link.ts';
import { parseServerMessage } from './messages.ts';

/** The WebSocket and the readiness probe. At most one WebSocket is heard at a time. */
export class Socket {
  readonly #emit: (input: PageInput) => void;
  readonly #server: URL;
  #current: WebSocket | undefined;

  constructor(emit: (input: PageInput) => void, server: URL) {
    this.#emit = emit;
    this.#server = server;
  }

  open(attempt: number, protocols: readonly string[]): void {
    const url = new URL('/ws', this.#server);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url, [...protocols]);
    this.#current = socket;
    socket.onopen = () => this.#emit({ kind: 'opened', attempt });
    socket.onclose = (event) => this.#emit({ kind: 'closed', attempt, code: event.code });
    socket.onmessage = (event: MessageEvent<unknown>) => {
      const message = typeof event.data === 'string' ? parseServerMessage(event.data) : undefined;
      if (message !== undefined) this.#emit({ kind: 'received', attempt, message });
    };
  }

  send(message: PageMessage): void {
    if (this.#current?.readyState === WebSocket.OPEN) this.#current.send(JSON.stringify(message));
  }

  close(): void {
    const socket = this.#current;
    this.#current = undefined;
    if (socket === undefined) return;
    socket.onopen = null;
    socket.onclose = null;
    socket.onmessage = null;
    socket.close();
  }

  probe(attempt: number): void {
    fetch(new URL('/readyz', this.#server), {
      cache: 'no-store',
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    }).then(
      async (response) => {
        // A server that drains takes back whom it has, and tells the others why it does not take them.
        const ready = response.ok || (await response.text().catch(() => '')).startsWith(DRAINING);
        this.#emit({ kind: 'probed', attempt, ready });
      },
      () => this.#emit({ kind: 'probed', attempt, ready: false }),
    );
  }
}

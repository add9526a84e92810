import type { IncomingMessage, ServerResponse } from 'node:http';
import { messageOf } from '../errors.ts';
import { EXPOSITION_TYPE } from '../observability/exposition.ts';
import { type Millis, monotonicNow } from '../util/clock.ts';
import { HttpPort, type RequestHandler } from './http.ts';
import type { KnownOrigins } from './origin.ts';
import type { Refusal } from './refusal.ts';

/** Monitoring asks every few seconds, one or two at a time. */
const MAX_CONNECTIONS = 64;
/** Another process may have the address still: the one before this. */
const RETRY: Millis = 2_000;
/** However many ask, and however often, the numbers are gathered no more often than this. */
const FRESH: Millis = 1_000;

const SETTINGS = { host: 'ADMIN_HOST', port: 'ADMIN_PORT' };
const NO_UPGRADE: Refusal = { status: 404, reason: 'other-path', words: 'There is no WebSocket here.' };

export interface AdminSite {
  readonly isReady: () => boolean;
  /** The metrics, as text. */
  readonly metrics: () => string | Promise<string>;
  readonly now?: () => Millis;
}

export interface AdminHttpOptions extends AdminSite {
  readonly host: string;
  readonly port: number;
  readonly origins: KnownOrigins;
  readonly listening: (port: number) => void;
  /** The address cannot be had. It is tried again until it can. */
  readonly failed: (why: string) => void;
}

/**
 * `/livez`, `/readyz` and `/metrics`, on an address that operators keep to themselves. Visitors are served without it: an address that cannot be had
 * is said once, and tried again.
 */
export class AdminHttp {
  readonly #options: AdminHttpOptions;
  #port: HttpPort | undefined;
  #retry: NodeJS.Timeout | undefined;
  #told = false;
  #closed = false;

  constructor(options: AdminHttpOptions) {
    this.#options = options;
    void this.#open();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#port?.close();
  }

  async #open(): Promise<void> {
    const { host, port, origins, listening, failed } = this.#options;
    try {
      const app = Promise.resolve(createAdminSite(this.#options));
      const limits = { connections: MAX_CONNECTIONS };
      const onUpgrade = () => NO_UPGRADE;
      const address = { host, port, settings: SETTINGS };
      const bound = await HttpPort.bind({ ...address, origins, app, onUpgrade, limits });
      this.#port = bound;
      if (this.#closed) bound.close();
      else listening(bound.port);
    } catch (cause) {
      if (!this.#told) failed(messageOf(cause));
      this.#told = true;
      if (!this.#closed) this.#retry = setTimeout(() => void this.#open(), RETRY).unref();
    }
  }
}

/** Answers what monitoring asks. */
function createAdminSite({ isReady, metrics, now = monotonicNow }: AdminSite): RequestHandler {
  let gathered: { readonly text: Promise<string>; readonly at: Millis } | undefined;
  const gather = (): Promise<string> => {
    if (gathered !== undefined && now() - gathered.at < FRESH) return gathered.text;
    const text = Promise.resolve().then(metrics);
    gathered = { text, at: now() };
    text.catch(() => {
      if (gathered?.text === text) gathered = undefined;
    });
    return text;
  };
  return (request, response) => {
    switch (pathOf(request)) {
      case '/livez':
        return answer(response, 200, 'alive\n');
      case '/readyz':
        return isReady() ? answer(response, 200, 'ready\n') : answer(response, 503, 'not ready\n');
      case '/metrics':
        gather().then(
          (text) => answer(response, 200, text, EXPOSITION_TYPE),
          (cause: unknown) =>
            answer(response, 500, `The metrics could not be gathered: ${messageOf(cause)}\n`),
        );
        return;
      default:
        return answer(response, 404, 'Here is /livez, /readyz and /metrics.\n');
    }
  };
}

const pathOf = ({ url = '' }: IncomingMessage): string => url.split('?')[0]!;

function answer(
  response: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  });
  response.end(response.req.method === 'HEAD' ? undefined : text);
}

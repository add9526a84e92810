import { readFile } from 'node:fs/promises';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import type { RequestHandler } from './http.ts';
import { DRAINING } from './protocol.ts';

/** The page, complete: nothing outside this list is served. */
export const FILES = [
  { path: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/style.css', file: 'style.css', type: 'text/css; charset=utf-8' },
  { path: '/continuity.css', file: 'continuity.css', type: 'text/css; charset=utf-8' },
  { path: '/check.js', file: 'check.js', type: 'text/javascript; charset=utf-8' },
  { path: '/client.js', file: 'client.js', type: 'text/javascript; charset=utf-8' },
  { path: '/icon.svg', file: 'icon.svg', type: 'image/svg+xml' },
] as const;

/** Half a year. */
const HSTS_SECONDS = 15_552_000;

export interface SiteOptions {
  readonly https?: boolean;
  readonly isDraining?: () => boolean;
  /** Whether pages of this origin may read `/readyz`, asking for this host. */
  readonly allows?: (origin: string, host: string) => boolean;
}

/**
 * The HTTP side: the page, and `GET /readyz`, 200 while sessions can be served and 503 otherwise, in words: a page whose server
 * drains comes back to it nevertheless.
 *
 * Reads `directory` once. Throws where the page has not been built.
 */
export async function createSite(
  directory: URL,
  isReady: () => boolean,
  { https = false, isDraining = () => false, allows = () => false }: SiteOptions = {},
): Promise<RequestHandler> {
  const app = new Hono();
  app.use(
    secureHeaders({
      contentSecurityPolicy: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
        mediaSrc: ["'self'", 'blob:'],
        connectSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
      },
      // Where HTTPS ends in front of this server, whoever does that sets it (RFC 6797 §7.2: not over HTTP). Names below this one are not ours to decide for.
      strictTransportSecurity: https && `max-age=${HSTS_SECONDS}`,
      referrerPolicy: 'no-referrer',
      xFrameOptions: 'DENY',
      permissionsPolicy: { camera: ['self'], microphone: ['self'], geolocation: [] },
    }),
  );
  app.get('/readyz', (context) => {
    const { origin = '', host = '' } = context.req.header();
    // A page that lies elsewhere asks this as well, before it opens its WebSocket (Fetch §3.3).
    const shared = origin !== '' && allows(origin, host) ? { 'Access-Control-Allow-Origin': origin } : {};
    return context.text(
      `${isReady() ? 'ready' : isDraining() ? DRAINING : 'starting'}\n`,
      isReady() ? 200 : 503,
      { 'Cache-Control': 'no-store', Vary: 'Origin', ...shared },
    );
  });
  for (const { path, file, type } of FILES) {
    const body = await readFile(new URL(file, directory));
    app.get(path, (context) =>
      context.body(new Uint8Array(body), 200, { 'Content-Type': type, 'Cache-Control': 'no-cache' }),
    );
  }
  app.notFound((context) => context.text('There is nothing here. The page is at /\n', 404));
  return getRequestListener(app.fetch);
}

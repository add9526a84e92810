import { readFile } from 'node:fs/promises';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import type { RequestHandler } from './http.ts';

/** The page, complete: nothing outside this list is served. */
const FILES = [
  { path: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/style.css', file: 'style.css', type: 'text/css; charset=utf-8' },
  { path: '/client.js', file: 'client.js', type: 'text/javascript; charset=utf-8' },
  { path: '/icon.svg', file: 'icon.svg', type: 'image/svg+xml' },
] as const;

/**
 * The HTTP side: the page, and `GET /readyz`, 200 while sessions can be served and 503 otherwise.
 *
 * Reads `directory` once. Throws where the page has not been built.
 */
export async function createSite(directory: URL, isReady: () => boolean): Promise<RequestHandler> {
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
      // HTTPS ends in front of this server; whoever does that sets it.
      strictTransportSecurity: false,
      referrerPolicy: 'no-referrer',
      xFrameOptions: 'DENY',
      permissionsPolicy: { camera: ['self'], microphone: ['self'], geolocation: [] },
    }),
  );
  app.get('/readyz', (context) =>
    context.text(isReady() ? 'ready\n' : 'starting\n', isReady() ? 200 : 503, {
      'Cache-Control': 'no-store',
    }),
  );
  for (const { path, file, type } of FILES) {
    const body = await readFile(new URL(file, directory));
    app.get(path, (context) =>
      context.body(new Uint8Array(body), 200, { 'Content-Type': type, 'Cache-Control': 'no-cache' }),
    );
  }
  app.notFound((context) => context.text('There is nothing here. The page is at /\n', 404));
  return getRequestListener(app.fetch);
}

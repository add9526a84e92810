import { HttpPort, type HttpPortOptions } from '../../src/signaling/http.ts';
import { KnownOrigins } from '../../src/signaling/origin.ts';
import type { PageSockets } from '../../src/signaling/ws.ts';
import { LOOPBACK } from './ports.ts';

/** The origins of a machine by the name of `box`. */
export const BOX_ORIGINS = new KnownOrigins([], 'box');

/** A port of this machine that answers every request, and hands WebSockets to the `pages` of that moment. */
export const pagePort = (
  pages: () => Pick<PageSockets, 'upgrade'>,
  options: Partial<HttpPortOptions> = {},
): Promise<HttpPort> =>
  HttpPort.bind({
    host: LOOPBACK,
    port: 0,
    app: Promise.resolve((_request, response) => response.end('here')),
    origins: BOX_ORIGINS,
    onUpgrade: (...upgrade) => pages().upgrade(...upgrade),
    ...options,
  });

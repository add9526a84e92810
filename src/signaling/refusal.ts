import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { KnownOrigins } from './origin.ts';
import type { Visit } from './visit.ts';

/** Longer than any path here; what is in nobody's interest to read further. */
const MAX_TARGET_LENGTH = 1_024;

export interface Refusal {
  readonly status: number;
  /** For whoever asked, who may be the operator. */
  readonly words: string;
  /** Why, for the counters. */
  readonly reason: HttpDropReason;
}

export type HttpDropReason =
  | 'host-twice'
  | 'unknown-host'
  | 'method'
  | 'body'
  | 'target-too-long'
  | 'other-path'
  | 'other-origin'
  | 'other-protocol'
  | 'too-many-connections'
  | 'accept-failed'
  | 'tls-failed'
  | 'not-ready';

/** What is asked of every request, an upgrade too, before anything looks at it; `undefined` where it may pass. */
export function judgeRequest(
  request: IncomingMessage,
  origins: KnownOrigins,
  { host, scheme }: Pick<Visit, 'host' | 'scheme'>,
): Refusal | undefined {
  const { headers, method, url = '' } = request;
  // RFC 9112 §3.2: more than one Host MUST be refused. Node takes the first, and what stands in front of us may have taken the other.
  if (request.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length > 1)
    return { status: 400, reason: 'host-twice', words: 'A request has one Host.' };
  if (host !== undefined && !origins.knowsHost(host))
    return { status: 421, reason: 'unknown-host', words: unknownHost(host, scheme) };
  if (method !== 'GET' && method !== 'HEAD')
    return { status: 405, reason: 'method', words: 'Here is GET and HEAD, and nothing else.' };
  // RFC 9112 §6.3: either of them announces a body.
  if (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0')
    return { status: 413, reason: 'body', words: 'A request has no body here.' };
  if (url.length > MAX_TARGET_LENGTH)
    return { status: 414, reason: 'target-too-long', words: 'There is nothing with so long a name here.' };
  return undefined;
}

/** The headers of a refusal: it ends the connection, and is nothing but text, whatever was echoed. */
export function refusalHeaders({ status, words }: Refusal): Record<string, string> {
  return {
    Connection: 'close',
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(words) + 1),
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
    // RFC 9110 §15.5.6: a 405 MUST say what is allowed.
    ...(status === 405 ? { Allow: 'GET, HEAD' } : {}),
  };
}

/** Refuses on the bare socket: where node has handed it over, or nothing was read of it. */
export function refuseSocket(socket: Duplex, refusal: Refusal): void {
  // Node takes its own listener off an upgraded socket: who asks and hangs up would end the process.
  socket.on('error', () => socket.destroy());
  // And node leaves it half open: who never hangs up would keep it for ever.
  socket.once('finish', () => socket.destroy());
  const fields = Object.entries(refusalHeaders(refusal)).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n${fields.join('')}`;
  socket.end(`${head}\r\n${refusal.words}\n`);
}

/** It has to say what to set: an operator who opens the page under a name of their own reads this first. */
function unknownHost(host: string, scheme: string): string {
  const shown = host.slice(0, 100).replace(/[^a-z0-9.:[\]_-]/gi, '?');
  return (
    `This server does not answer to the name "${shown}": any page could have been pointed here under it.\n` +
    `If the name is yours, start the server with PUBLIC_ORIGIN=${scheme}://${shown} (or as the address bar shows it).\n` +
    'Without it there are this machine\'s addresses, "localhost" and the machine\'s own name.'
  );
}

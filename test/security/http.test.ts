import { writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { HttpLimits, HttpPort } from '../../src/signaling/http.ts';
import { KnownOrigins } from '../../src/signaling/origin.ts';
import { SUBPROTOCOL } from '../../src/signaling/protocol.ts';
import { createSite, FILES } from '../../src/signaling/site.ts';
import { PageSockets } from '../../src/signaling/ws.ts';
import { pagePort } from '../support/page-port.ts';
import { RawClient, UPGRADE } from '../support/raw-http.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';

const SECRET = 'not for anybody';
const SWITCHING = /^HTTP\/1\.1 101 /;

const directory = testDirectory();
let pages: PageSockets | undefined;
let http: HttpPort | undefined;
let server: Server | undefined;
const clients: RawClient[] = [];

beforeEach(() => {
  for (const { file } of FILES) writeFileSync(join(directory.path, file), `${file}\n`);
  // Larger than what a socket takes from a server whose client reads nothing.
  writeFileSync(join(directory.path, 'style.css'), 'x'.repeat(8 * 1024 * 1024));
  writeFileSync(join(directory.path, 'secret.txt'), SECRET);
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  pages?.close(1001, 'over');
  http?.close();
});

/** The site and its WebSocket as the server has them. */
async function serve(
  options: { limits?: Partial<HttpLimits>; publicOrigins?: string[] } = {},
): Promise<HttpPort> {
  const origins = new KnownOrigins(options.publicOrigins ?? [], 'box');
  const sockets = new PageSockets(
    { opened: () => undefined, message: () => undefined, closed: () => undefined },
    origins,
  );
  pages = sockets;
  const site = await createSite(pathToFileURL(`${directory.path}/`), () => true);
  http = await pagePort(() => sockets, {
    app: Promise.resolve((request, response) => {
      server = (request.socket as Socket & { server: Server }).server;
      return site(request, response);
    }),
    origins,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  return http;
}

async function client(from?: string): Promise<RawClient> {
  const raw = await RawClient.connect(http!.port, from);
  clients.push(raw);
  return raw;
}

/** The answer to one request of somebody new. */
async function ask(line: string, ...headers: readonly string[]): Promise<string> {
  const raw = await client();
  raw.request(line, ...headers);
  return raw.heard();
}

const openWebSocket = (host: string, origin: string): Promise<string> =>
  ask(
    'GET /ws HTTP/1.1',
    `Host: ${host}`,
    `Origin: ${origin}`,
    ...UPGRADE,
    `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
  );

const expectServed = async (from?: string): Promise<void> => {
  const raw = await client(from);
  raw.request('GET /readyz HTTP/1.1');
  expect(await raw.heard()).toMatch(/^HTTP\/1\.1 200 /);
};

it('origin-foreign: no page of another host, port or scheme opens the WebSocket, however its origin is written', async () => {
  const { port } = await serve();
  const own = `127.0.0.1:${port}`;
  for (const origin of [
    'null',
    'http://attacker.example',
    `http://attacker.example:${port}`,
    'http://127.0.0.1',
    `http://127.0.0.1:${port + 1}`,
    `https://${own}`,
    `HTTP://${own}`,
    `http://${own}/`,
    `http://${own}.attacker.example`,
    `http://${own}@attacker.example`,
    `http://attacker.example@${own}`,
    `http://127.0.0.1.:${port}`,
    `http://localhost:${port}`,
    `http://[::1]:${port}`,
    `http://[::ffff:127.0.0.1]:${port}`,
    `http://${own}, http://attacker.example`,
    '',
  ]) {
    expect([origin, await openWebSocket(own, origin)]).toEqual([
      origin,
      expect.stringMatching(/^HTTP\/1\.1 403 /),
    ]);
  }
  // Two headers are one value with a comma to us.
  const twice = await ask(
    'GET /ws HTTP/1.1',
    `Host: ${own}`,
    `Origin: http://${own}`,
    'Origin: http://attacker.example',
    ...UPGRADE,
    `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
  );
  expect(twice).toMatch(/^HTTP\/1\.1 403 /);
  for (const host of [own, `localhost:${port}`, `[::1]:${port}`, `box:${port}`])
    expect(await openWebSocket(host, `http://${host}`)).toMatch(SWITCHING);
});

it('origin-rebinding: a page whose own name was pointed to this machine gets neither page nor WebSocket, and words that help an operator', async () => {
  const { port } = await serve();
  const host = `attacker.example:${port}`;
  for (const answer of [
    await ask('GET / HTTP/1.1', `Host: ${host}`),
    await ask('GET /readyz HTTP/1.1', `Host: ${host}`),
    await openWebSocket(host, `http://${host}`),
    await openWebSocket(`ATTACKER.example.:${port}`, `http://attacker.example.:${port}`),
  ]) {
    expect(answer).toMatch(/^HTTP\/1\.1 421 /);
    expect(answer.toLowerCase()).toContain('public_origin=http://attacker.example');
  }
  expect(http!.drops.get('unknown-host')).toBe(4);
});

it('origin-public: the origin that the operator has named is let in, with that scheme and port and no other', async () => {
  const { port } = await serve({ publicOrigins: ['https://live.example.org'] });
  expect(await ask('GET / HTTP/1.1', 'Host: live.example.org')).toMatch(/^HTTP\/1\.1 200 /);
  expect(await openWebSocket('live.example.org', 'https://live.example.org')).toMatch(SWITCHING);
  expect(await openWebSocket(`127.0.0.1:${port}`, 'https://live.example.org')).toMatch(SWITCHING);
  for (const origin of [
    'https://live.example.org:8443',
    'https://x.live.example.org',
    'https://attacker.example',
  ])
    expect(await openWebSocket('live.example.org', origin)).toMatch(/^HTTP\/1\.1 403 /);
});

it('http-traversal: no path leads to a file that is not part of the page', async () => {
  await serve();
  const paths = [
    '/secret.txt',
    '/../secret.txt',
    '/./secret.txt',
    '//secret.txt',
    '/%2e%2e/secret.txt',
    '/%2e%2e%2fsecret.txt',
    '/..%5csecret.txt',
    '/..\\secret.txt',
    '/%252e%252e%252fsecret.txt',
    '/%c0%ae%c0%ae/secret.txt',
    '/style.css/../secret.txt',
    '/client.js%00secret.txt',
    '/secret.txt%00client.js',
    '/secret.txt?/client.js',
    '/secret.txt;/client.js',
    '/%00',
    '/%',
    '/%zz',
    'secret.txt',
    '*',
    'http://localhost/secret.txt',
    'file:///etc/hostname',
    '/etc/hostname',
    '/proc/self/environ',
    '/index.html',
  ];
  for (const path of paths) {
    const answer = await ask(`GET ${path} HTTP/1.1`);
    expect([path, answer]).toEqual([path, expect.stringMatching(/^HTTP\/1\.1 4\d\d /)]);
    expect(answer).not.toContain(SECRET);
  }
  expect(await ask('GET /client.js HTTP/1.1')).toContain('client.js\n');
});

it('http-smuggling: what two servers could read as two requests, or as another one, is refused whole', async () => {
  await serve();
  const inner = 'GET /icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const bad: readonly (readonly [what: string, text: string])[] = [
    [
      'both lengths',
      `GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${inner.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
    ],
    [
      'two lengths',
      `GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`,
    ],
    [
      'a signed length',
      `GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +${inner.length}\r\n\r\n${inner}`,
    ],
    [
      'a body to a GET',
      `GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`,
    ],
    [
      'a coding with a space',
      `GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n${inner}`,
    ],
    ['an unknown coding', `GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n${inner}`],
    [
      'a folded header',
      `GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n Host: attacker.example\r\n\r\n${inner}`,
    ],
    ['bare line feeds', `GET / HTTP/1.1\nHost: localhost\n\n${inner}`],
    ['a bare carriage return', `GET / HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n${inner}`],
    ['a NUL in a header', `GET / HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n${inner}`],
    ['no Host', `GET / HTTP/1.1\r\n\r\n${inner}`],
    ['two Hosts', `GET / HTTP/1.1\r\nHost: localhost\r\nhost: attacker.example\r\n\r\n${inner}`],
    ['a Host with two names', `GET / HTTP/1.1\r\nHost: localhost, attacker.example\r\n\r\n${inner}`],
    ['another protocol', `GET / HTTP/9.9\r\nHost: localhost\r\n\r\n${inner}`],
    ['HTTP/2 in the clear', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${inner}`],
  ];
  for (const [what, text] of bad) {
    const raw = await client();
    raw.say(text);
    await raw.ended();
    expect([what, raw.statuses]).toEqual([what, [expect.any(Number)]]);
    expect([what, raw.statuses[0]! >= 400, raw.answer.includes('icon.svg\n')]).toEqual([what, true, false]);
  }
  const good = await client();
  good.say(`GET /client.js HTTP/1.1\r\nHost: localhost\r\n\r\n${inner}`);
  await until('both are answered', () => good.statuses.length === 2);
  expect([good.statuses, good.answer.includes('icon.svg\n')]).toEqual([[200, 200], true]);
});

it('http-body: no route takes a method but GET and HEAD, or a body, and none waits for one that never ends', async () => {
  await serve();
  for (const [line, headers, status] of [
    ['POST / HTTP/1.1', ['Content-Length: 1000000000'], 405],
    ['POST /ws HTTP/1.1', ['Transfer-Encoding: chunked'], 405],
    ['PUT /client.js HTTP/1.1', ['Content-Length: 5', 'Expect: 100-continue'], 405],
    ['DELETE / HTTP/1.1', [], 405],
    ['OPTIONS * HTTP/1.1', [], 405],
    ['TRACE / HTTP/1.1', [], 405],
    ['GET /readyz HTTP/1.1', ['Content-Length: 5'], 413],
    ['GET / HTTP/1.1', ['Transfer-Encoding: chunked'], 413],
    ['GET /ws HTTP/1.1', [...UPGRADE, 'Content-Length: 5'], 413],
  ] as const) {
    const raw = await client();
    raw.request(line, ...headers);
    expect([line, await raw.ended()]).toEqual([line, expect.stringContaining(`HTTP/1.1 ${status} `)]);
  }
  // CONNECT has no answer at all.
  const tunnel = await client();
  tunnel.request('CONNECT attacker.example:443 HTTP/1.1', 'Host: attacker.example');
  expect(await tunnel.ended()).not.toMatch(/ 200 /);
  expect(await ask('HEAD / HTTP/1.1')).toMatch(/^HTTP\/1\.1 200 /);
});

it('http-headers: every answer, a refusal too, says that it is nothing but what it says it is, and embeds nothing', async () => {
  await serve();
  for (const [line, header, status] of [
    ['GET / HTTP/1.1', '', 200],
    ['GET /client.js HTTP/1.1', '', 200],
    ['GET /readyz HTTP/1.1', '', 200],
    ['GET /nothing HTTP/1.1', '', 404],
    ['POST / HTTP/1.1', 'Content-Length: 0', 405],
    ['GET / HTTP/1.1', 'Content-Length: 5', 413],
    [`GET /${'x'.repeat(2_000)} HTTP/1.1`, '', 414],
    ['GET / HTTP/1.1', 'Host: <script>alert(1)</script>', 421],
    ['GET / HTTP/1.1', 'Host: attacker.example', 421],
  ] as const) {
    const answer = await ask(line, ...(header === '' ? [] : [header]));
    const [head = '', body = ''] = answer.split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(head).toMatch(/^x-content-type-options: nosniff$/im);
    expect(head).toMatch(/^content-security-policy: default-src 'none'/im);
    expect(head).not.toMatch(/^(?:access-control-|server:|x-powered-by:|set-cookie:)/im);
    expect(body).not.toContain('<script>');
  }
});

it('http-large: a request line or head beyond its limit is refused, one below it is read', async () => {
  await serve();
  expect(await ask(`GET /${'x'.repeat(2_000)} HTTP/1.1`)).toMatch(/^HTTP\/1\.1 414 /);
  expect(await ask('GET / HTTP/1.1', `X: ${'x'.repeat(17_000)}`)).toMatch(/^HTTP\/1\.1 431 /);
  expect(await ask('GET / HTTP/1.1', ...Array.from({ length: 3_000 }, (_, i) => `X${i}: y`))).toMatch(
    /^HTTP\/1\.1 431 /,
  );
  expect(await ask('GET / HTTP/1.1', `X: ${'x'.repeat(10_000)}`)).toMatch(/^HTTP\/1\.1 200 /);
});

it('http-slow: a head that drips, an upgrade that never ends, a client that says or reads nothing: each is cut off, and nobody else waits', async () => {
  // Long enough for a client of ours that is held up between two words.
  await serve({ limits: { head: 3_000, request: 3_500, idle: 4_000, keepAlive: 3_000, check: 50 } });
  const silent = await client();
  const dripping = await client();
  dripping.say('GET / HTTP/1.1\r\n');
  const upgrading = await client();
  upgrading.say(`GET /ws HTTP/1.1\r\nHost: localhost\r\n${UPGRADE.join('\r\n')}\r\n`);
  const deaf = await client();
  deaf.pause();
  for (let i = 0; i < 20; i++) deaf.request('GET /style.css HTTP/1.1');
  const kept = await client();
  kept.request('GET /readyz HTTP/1.1');
  await kept.heard();
  const held = (): number => (server as unknown as { _connections: number })._connections;
  const drip = setInterval(() => dripping.say('X: y\r\n'), 50);
  try {
    await expectServed();
    for (const slow of [silent, dripping, upgrading, kept]) await slow.ended();
    await until('the one who reads nothing is gone too', () => held() === 0);
  } finally {
    clearInterval(drip);
  }
  expect(dripping.statuses).toEqual([408]);
});

it('http-connections: one address may have every connection, and gives them up for other addresses when there are no more', async () => {
  await serve({ limits: { connections: 30 } });
  const greedy: RawClient[] = [];
  for (let i = 0; i < 30; i++) greedy.push(await client('127.0.0.1'));
  await until('all of them are held', async () => {
    greedy[29]!.request('GET /readyz HTTP/1.1');
    return (await greedy[29]!.heard()).startsWith('HTTP/1.1 200');
  });
  const more = await client('127.0.0.1');
  expect(await more.ended()).toMatch(/^HTTP\/1\.1 503 /);
  for (let i = 0; i < 15; i++) await expectServed('127.0.0.2');
  await until('the newest have made place', () => greedy.filter(({ over }) => over).length === 15);
  expect(greedy.map(({ over }) => over)).toEqual([...Array(15).fill(false), ...Array(15).fill(true)]);
  // Now both have as many: neither takes from the other.
  expect(await (await client('127.0.0.2')).ended()).toMatch(/^HTTP\/1\.1 503 /);
  greedy[0]!.request('GET /readyz HTTP/1.1');
  expect(await greedy[0]!.heard()).toMatch(/^HTTP\/1\.1 200 /);
});

it('http-accept: errors of accepting a connection are counted, however many there are, and end nothing', async () => {
  await serve();
  await expectServed();
  for (let i = 0; i < 3; i++) server!.emit('error', new Error('accept ENOBUFS'));
  expect(http!.drops.get('accept-failed')).toBe(3);
  await expectServed();
});

import { afterEach, expect, it } from 'vitest';
import type { HttpPort } from '../../src/signaling/http.ts';
import { KnownOrigins } from '../../src/signaling/origin.ts';
import { SUBPROTOCOL } from '../../src/signaling/protocol.ts';
import { TrustedProxies } from '../../src/signaling/visit.ts';
import { type Page, PageSockets } from '../../src/signaling/ws.ts';
import { pagePort } from '../support/page-port.ts';
import { LOOPBACK } from '../support/ports.ts';
import { RawClient, UPGRADE } from '../support/raw-http.ts';

const PROXY = '127.0.0.9';
const VISITOR = '198.51.100.1';
const LIMIT = 2;

let http: HttpPort | undefined;
let pages: PageSockets | undefined;
const clients: RawClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  pages?.close(1001, 'over');
  http?.close();
});

it('origin-forwarded: what somebody says of forwarding buys neither another address nor another name, unless a named proxy says it', async () => {
  const origins = new KnownOrigins(['https://live.example.org'], 'box');
  const owners: string[] = [];
  const sockets = new PageSockets(
    {
      opened: ({ owner }: Page) => owners.push(owner),
      message: () => undefined,
      closed: () => undefined,
    },
    origins,
    { pagesPerAddress: LIMIT },
  );
  pages = sockets;
  http = await pagePort(() => sockets, { origins, proxies: new TrustedProxies([PROXY]) });
  const { port } = http;
  const open = async (
    from: string,
    host: string,
    origin: string,
    ...forwarded: string[]
  ): Promise<string> => {
    const client = await RawClient.connect(port, from);
    clients.push(client);
    const offer = `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`;
    client.request('GET /ws HTTP/1.1', `Host: ${host}`, `Origin: ${origin}`, ...UPGRADE, offer, ...forwarded);
    return (await client.heard()).slice(9, 12);
  };
  const lies = (i: number) => [
    `X-Forwarded-For: 203.0.113.${i}`,
    `Forwarded: for=203.0.113.${i}`,
    `X-Real-IP: 203.0.113.${i}`,
    'X-Forwarded-Host: live.example.org',
    'X-Forwarded-Proto: https',
  ];

  // A stranger on a direct line who makes up another address for each visit.
  const direct = [];
  for (let i = 0; i < 5; i++) direct.push(await open(LOOPBACK, '127.0.0.1', 'http://127.0.0.1', ...lies(i)));
  expect(direct).toEqual(['101', '101', '503', '503', '503']);
  expect(await open('127.0.0.2', 'attacker.example', 'https://live.example.org', ...lies(1))).toBe('421');
  expect(await open('127.0.0.2', '127.0.0.1', 'https://127.0.0.1', ...lies(1))).toBe('403');

  // The same one behind the proxy, which appends what it sees.
  const proxied = [];
  for (let i = 0; i < 5; i++) {
    const forwarded = [`X-Forwarded-For: 203.0.113.${i}, ${PROXY}, ${VISITOR}`, 'X-Forwarded-Proto: https'];
    proxied.push(await open(PROXY, 'live.example.org', 'https://live.example.org', ...forwarded));
  }
  expect(proxied).toEqual(['101', '101', '503', '503', '503']);
  expect(owners).toEqual([LOOPBACK, LOOPBACK, VISITOR, VISITOR]);
  // Control: to the proxy's words about another visitor heed is paid.
  const other = [`X-Forwarded-For: 198.51.100.2`, 'X-Forwarded-Proto: https'];
  expect(await open(PROXY, 'live.example.org', 'https://live.example.org', ...other)).toBe('101');
  expect(owners.at(-1)).toBe('198.51.100.2');
  expect(
    await open(
      PROXY,
      '192.0.2.80',
      'https://192.0.2.80',
      'X-Forwarded-For: 198.51.100.3',
      'X-Forwarded-Proto: https',
    ),
  ).toBe('101');
});

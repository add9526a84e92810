import { rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HttpPort, type RequestHandler } from '../../../src/signaling/http.ts';
import { KnownOrigins } from '../../../src/signaling/origin.ts';
import { SUBPROTOCOL } from '../../../src/signaling/protocol.ts';
import { createSite } from '../../../src/signaling/site.ts';
import { TrustedProxies } from '../../../src/signaling/visit.ts';
import { PageSockets } from '../../../src/signaling/ws.ts';
import { LOOPBACK } from '../../support/ports.ts';
import { RawClient, UPGRADE } from '../../support/raw-http.ts';
import { testDirectory } from '../../support/test-directory.ts';
import { until } from '../../support/wait.ts';

const FILES = ['index.html', 'style.css', 'continuity.css', 'check.js', 'client.js', 'icon.svg'];
const NEVER = new Promise<RequestHandler>(() => {});

const options = (app: Promise<RequestHandler>, host = '127.0.0.1', port = 0) => ({
  host,
  port,
  app,
  origins: new KnownOrigins([], 'box'),
  onUpgrade: () => undefined,
});

const directory = testDirectory();
let ready: boolean;
let ports: HttpPort[];

beforeEach(() => {
  for (const file of FILES) writeFileSync(join(directory.path, file), `this is ${file}`);
  writeFileSync(join(directory.path, 'secret.txt'), 'not for anybody');
  ready = true;
  ports = [];
});

afterEach(() => {
  for (const port of ports) port.close();
});

const site = (): Promise<RequestHandler> => createSite(pathToFileURL(`${directory.path}/`), () => ready);

async function serve(app: Promise<RequestHandler> = site()): Promise<string> {
  const port = await HttpPort.bind(options(app));
  ports.push(port);
  return `http://127.0.0.1:${port.port}`;
}

describe('behind a proxy', () => {
  it('limits count visitors, and HTTPS and name are what the proxy says', async () => {
    const origins = new KnownOrigins(['https://live.example.org'], 'box');
    const proxies = new TrustedProxies([LOOPBACK]);
    const refused: string[] = [];
    const sockets = new PageSockets(
      { opened: () => undefined, message: () => undefined, closed: () => undefined },
      origins,
      { pagesPerAddress: 1 },
    );
    const port = await HttpPort.bind({
      ...options(site()),
      origins,
      proxies,
      limits: { connectionsPerAddress: 1 },
      onUpgrade: (...upgrade) => sockets.upgrade(...upgrade),
      onRefused: ({ reason }, _request, { address, host }) => refused.push(`${reason} ${address} ${host}`),
    });
    ports.push(port);
    const open = async (visitor: string, host: string, origin: string, from = LOOPBACK): Promise<string> => {
      const client = await RawClient.connect(port.port, from);
      client.request(
        'GET /ws HTTP/1.1',
        'Host: backend:8080',
        `X-Forwarded-For: ${visitor}`,
        `X-Forwarded-Host: ${host}`,
        'X-Forwarded-Proto: https',
        `Origin: ${origin}`,
        ...UPGRADE,
        `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
      );
      return (await client.heard()).slice(9, 12);
    };
    const ours = ['live.example.org', 'https://live.example.org'] as const;
    expect(await open('198.51.100.1', ...ours)).toBe('101');
    expect(await open('198.51.100.2', ...ours)).toBe('101');
    expect(await open('198.51.100.2', ...ours)).toBe('503');
    expect(await open('203.0.113.1, 198.51.100.2', ...ours)).toBe('503');
    // By address the same holds without PUBLIC_ORIGIN, since the proxy says https.
    expect(await open('198.51.100.3', '192.0.2.80', 'https://192.0.2.80')).toBe('101');
    expect(await open('198.51.100.4', '192.0.2.80', 'http://192.0.2.80')).toBe('403');
    expect(await open('198.51.100.4', 'attacker.example', 'https://attacker.example')).toBe('421');
    // From elsewhere these are somebody's own words.
    expect(await open('198.51.100.5', ...ours, '127.0.0.2')).toBe('421');
    // The names that whoever looks into it has to see.
    expect(refused.slice(-2)).toEqual([
      'unknown-host 198.51.100.4 attacker.example',
      'unknown-host 127.0.0.2 backend:8080',
    ]);
    sockets.close(1001, 'over');
  });
});

describe('the page', () => {
  it('is to be asked for by HTTPS only from then on, where it came by HTTPS, and only there', async () => {
    const response = async (https: boolean) =>
      fetch(await serve(createSite(pathToFileURL(`${directory.path}/`), () => true, { https })));
    expect((await response(true)).headers.get('strict-transport-security')).toBe('max-age=15552000');
    expect((await response(false)).headers.get('strict-transport-security')).toBeNull();
  });

  it.each([
    ['/', 'index.html', 'text/html; charset=utf-8'],
    ['/style.css', 'style.css', 'text/css; charset=utf-8'],
    ['/continuity.css', 'continuity.css', 'text/css; charset=utf-8'],
    ['/check.js', 'check.js', 'text/javascript; charset=utf-8'],
    ['/client.js', 'client.js', 'text/javascript; charset=utf-8'],
    ['/icon.svg', 'icon.svg', 'image/svg+xml'],
  ])('is served at %s', async (path, file, type) => {
    const response = await fetch((await serve()) + path);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('cache-control')).toBe('no-cache');
    expect(await response.text()).toBe(`this is ${file}`);
  });

  it.each(['/', '/readyz', '/nothing'])(
    'comes with a policy that allows its own parts only: %s',
    async (path) => {
      const { headers } = await fetch((await serve()) + path);
      const policy = new Map(
        headers
          .get('content-security-policy')!
          .split(';')
          .map((directive) => directive.trim().split(' '))
          .map(([name, ...sources]) => [name, sources.join(' ')]),
      );
      expect(policy.get('default-src')).toBe("'none'");
      expect(policy.get('script-src')).toBe("'self'");
      expect(policy.get('connect-src')).toBe("'self'");
      expect(policy.get('frame-ancestors')).toBe("'none'");
      expect(policy.get('base-uri')).toBe("'none'");
      expect(policy.get('form-action')).toBe("'none'");
      expect([...policy.values()].join()).not.toMatch(/unsafe|\*/);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('permissions-policy')).toMatch(/camera=\(self\).*microphone=\(self\)/);
    },
  );

  it.each(['/secret.txt', '/index.html', '/../secret.txt', '/%2e%2e/secret.txt', '/client.js/', '/ws'])(
    'is all there is: %s is a 404 in words',
    async (path) => {
      const response = await fetch((await serve()) + path);
      expect(response.status).toBe(404);
      expect(await response.text()).toContain('The page is at /');
    },
  );

  it('is read once: what changes on disk afterwards is not served', async () => {
    const url = await serve();
    await fetch(url);
    writeFileSync(join(directory.path, 'index.html'), 'changed');
    expect(await (await fetch(url)).text()).toBe('this is index.html');
  });

  it('that has not been built is an error', async () => {
    rmSync(join(directory.path, 'client.js'));
    await expect(site()).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('/readyz', () => {
  it('follows the server', async () => {
    const url = `${await serve()}/readyz`;
    ready = false;
    const starting = await fetch(url);
    expect([starting.status, await starting.text()]).toEqual([503, 'starting\n']);
    ready = true;
    const running = await fetch(url);
    expect([running.status, await running.text()]).toEqual([200, 'ready\n']);
    expect(running.headers.get('cache-control')).toBe('no-store');
  });
});

describe('HttpPort', () => {
  it('keeps a request until the rest is there', async () => {
    let arrive: (app: RequestHandler) => void = () => undefined;
    const url = await serve(
      new Promise((resolve) => {
        arrive = resolve;
      }),
    );
    let status: number | undefined;
    const response = fetch(url).then((answer) => {
      status = answer.status;
    });
    // One after the other on the same server: what is answered later was asked later.
    await new Promise<void>((resolve) => {
      const other = connect(Number(new URL(url).port), '127.0.0.1', () => {
        other.destroy();
        resolve();
      });
    });
    expect(status).toBeUndefined();
    arrive((_request, answer) => answer.writeHead(204).end());
    await response;
    expect(status).toBe(204);
  });

  it('answers 503 where the rest never comes', async () => {
    const url = await serve(Promise.reject(new Error('not built')));
    expect((await fetch(url)).status).toBe(503);
  });

  it('is the lock: a second one on the port is PORT_IN_USE', async () => {
    await serve();
    const { port } = ports[0]!;
    await expect(HttpPort.bind(options(NEVER, '127.0.0.1', port))).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining(`${port}/tcp`),
    });
  });

  it('says in words that an address is not of this machine', async () => {
    await expect(HttpPort.bind(options(NEVER, '192.0.2.1'))).rejects.toMatchObject({
      code: 'ADDRESS_UNAVAILABLE',
      message: expect.stringContaining('192.0.2.1'),
    });
  });

  it('gives one address as many connections as one may have, and others theirs', async () => {
    const port = await HttpPort.bind({ ...options(site()), limits: { connectionsPerAddress: 2 } });
    ports.push(port);
    const ask = async (from: string) => {
      const client = await RawClient.connect(port.port, from);
      client.request('GET /readyz HTTP/1.1');
      return { client, status: (await client.heard()).slice(9, 12) };
    };
    const first = await ask('127.0.0.1');
    expect([first.status, (await ask('127.0.0.1')).status]).toEqual(['200', '200']);
    expect([(await ask('127.0.0.1')).status, (await ask('127.0.0.2')).status]).toEqual(['503', '200']);
    expect(port.drops.get('too-many-connections')).toBe(1);
    first.client.close();
    await until('its place is free', async () => (await ask('127.0.0.1')).status === '200');
  });

  it('closes the connections that are open', async () => {
    const url = await serve();
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await new Promise((resolve) => socket.once('data', resolve));
    ports.pop()!.close();
    await until('the connection is closed', () => socket.closed);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HttpPort, type RequestHandler } from '../../../src/signaling/http.ts';
import { createSite } from '../../../src/signaling/site.ts';
import { until } from '../../support/wait.ts';

const FILES = ['index.html', 'style.css', 'client.js', 'icon.svg'];
const NEVER = new Promise<RequestHandler>(() => {});

let directory: string;
let ready: boolean;
let ports: HttpPort[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rekeycast-site-'));
  for (const file of FILES) writeFileSync(join(directory, file), `this is ${file}`);
  writeFileSync(join(directory, 'secret.txt'), 'not for anybody');
  ready = true;
  ports = [];
});

afterEach(() => {
  for (const port of ports) port.close();
  rmSync(directory, { recursive: true });
});

const site = (): Promise<RequestHandler> => createSite(pathToFileURL(`${directory}/`), () => ready);

async function serve(app: Promise<RequestHandler> = site()): Promise<string> {
  const port = await HttpPort.bind('127.0.0.1', 0, app, (_request, socket) => socket.destroy());
  ports.push(port);
  return `http://127.0.0.1:${port.port}`;
}

describe('the page', () => {
  it.each([
    ['/', 'index.html', 'text/html; charset=utf-8'],
    ['/style.css', 'style.css', 'text/css; charset=utf-8'],
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
    writeFileSync(join(directory, 'index.html'), 'changed');
    expect(await (await fetch(url)).text()).toBe('this is index.html');
  });

  it('that has not been built is an error', async () => {
    rmSync(join(directory, 'client.js'));
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
    await expect(HttpPort.bind('127.0.0.1', port, NEVER, () => undefined)).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining(`${port}/tcp`),
    });
  });

  it('says in words that an address is not of this machine', async () => {
    await expect(HttpPort.bind('192.0.2.1', 0, NEVER, () => undefined)).rejects.toMatchObject({
      code: 'ADDRESS_UNAVAILABLE',
      message: expect.stringContaining('192.0.2.1'),
    });
  });

  it('closes the connections that are open', async () => {
    const url = await serve();
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise((resolve) => socket.once('data', resolve));
    ports.pop()!.close();
    await until('the connection is closed', () => socket.closed);
  });
});

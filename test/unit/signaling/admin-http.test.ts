import { createServer } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { AdminHttp, type AdminHttpOptions, type AdminSite } from '../../../src/signaling/admin-http.ts';
import { KnownOrigins } from '../../../src/signaling/origin.ts';
import { freePort, LOOPBACK } from '../../support/ports.ts';
import { RawClient } from '../../support/raw-http.ts';
import { until } from '../../support/wait.ts';

const open: AdminHttp[] = [];
afterEach(() => {
  for (const admin of open.splice(0)) admin.close();
});

interface Site {
  ready: boolean;
  now: number;
  gathered: number;
  fails: boolean;
}

async function start(options: Partial<AdminHttpOptions> = {}) {
  const site: Site = { ready: true, now: 0, gathered: 0, fails: false };
  const asked: AdminSite = {
    isReady: () => site.ready,
    metrics: () => {
      if (site.fails) throw new Error('the key source is gone');
      return `gathered ${++site.gathered}\n`;
    },
    now: () => site.now,
  };
  const said: string[] = [];
  const bound = await new Promise<number>((resolve) => {
    const failed = (why: string) => {
      said.push(why);
      resolve(0);
    };
    const origins = new KnownOrigins([], 'live');
    open.push(
      new AdminHttp({ host: LOOPBACK, port: 0, origins, listening: resolve, failed, ...asked, ...options }),
    );
  });
  const ask = async (path: string, init: RequestInit = {}, port = bound) => {
    const response = await fetch(`http://${LOOPBACK}:${port}${path}`, init);
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      text: await response.text(),
    };
  };
  return { site, said, ask, port: bound };
}

describe('the admin address', () => {
  it('says that the server lives, and whether it is ready', async () => {
    const { site, ask } = await start();
    expect(await ask('/livez')).toMatchObject({ status: 200, text: 'alive\n' });
    expect(await ask('/readyz')).toMatchObject({ status: 200, text: 'ready\n' });
    site.ready = false;
    expect(await ask('/livez')).toMatchObject({ status: 200 });
    expect(await ask('/readyz')).toMatchObject({ status: 503, text: 'not ready\n' });
  });

  it('gives the metrics as the text that Prometheus reads', async () => {
    const { ask } = await start();
    const text = { type: 'text/plain; version=0.0.4; charset=utf-8', text: 'gathered 1\n' };
    expect(await ask('/metrics')).toMatchObject({ status: 200, ...text });
    expect(await ask('/metrics', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
  });

  it('gathers them once a second, however often somebody asks', async () => {
    const { site, ask } = await start();
    for (let i = 0; i < 20; i++) await ask('/metrics');
    expect(site.gathered).toBe(1);
    site.now = 1_000;
    expect((await ask('/metrics')).text).toBe('gathered 2\n');
  });

  it('goes on where they cannot be gathered, and says why', async () => {
    const { site, ask } = await start();
    site.fails = true;
    const words = 'The metrics could not be gathered: the key source is gone\n';
    expect(await ask('/metrics')).toMatchObject({ status: 500, text: words });
    site.fails = false;
    expect(await ask('/metrics')).toMatchObject({ status: 200 });
  });

  it('has nothing else, for nobody else, and takes nothing', async () => {
    const { ask } = await start();
    expect(await ask('/')).toMatchObject({ status: 404 });
    expect(await ask('/metrics/')).toMatchObject({ status: 404 });
    expect(await ask('/metrics', { method: 'POST', body: 'x' })).toMatchObject({ status: 405 });
  });

  it('is nobody’s who has pointed a name of theirs here', async () => {
    const { port } = await start();
    const ask = async (host: string): Promise<string> => {
      const client = await RawClient.connect(port);
      client.request('GET /metrics HTTP/1.1', `Host: ${host}`, 'Connection: close');
      return client.ended();
    };
    expect(await ask('attacker.example')).toMatch(/^HTTP\/1\.1 421 /);
    for (const host of [`${LOOPBACK}:${port}`, 'localhost', 'live:9464', '10.0.0.7'])
      expect(await ask(host)).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('names the setting of its own where the address is not this machine’s', async () => {
    const { said } = await start({ host: '203.0.113.9' });
    expect(said).toEqual([expect.stringContaining('Set ADMIN_HOST to one that is')]);
  });

  it('tries an address that is taken again until it is free, and says so once', async () => {
    const port = await freePort();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(port, LOOPBACK, resolve));
    let listening = 0;
    const { said, ask } = await start({ port, listening: (at) => (listening = at) });
    expect(said).toEqual([expect.stringMatching(`${port}/tcp is in use: .* Set ADMIN_PORT\\.`)]);
    await new Promise((resolve) => other.close(resolve));
    await until('it listens', () => listening === port);
    expect(await ask('/livez', {}, port)).toMatchObject({ status: 200 });
    expect(said).toHaveLength(1);
  });
});

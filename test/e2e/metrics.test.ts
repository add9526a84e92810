import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort, LOOPBACK } from '../support/ports.ts';
import { BUILT_SERVER, ServerProcess } from '../support/process.ts';
import { promtool } from '../support/promtool.ts';
import { until } from '../support/wait.ts';
import { WsClient } from '../support/ws-client.ts';

let server: ServerProcess;
let admin: string;

afterEach(() => server.dispose());

async function start(): Promise<number> {
  const port = await freePort();
  admin = `http://${LOOPBACK}:${port}`;
  server = await ServerProcess.start({ env: { ADMIN_PORT: String(port) } });
  return port;
}

async function get(path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`${admin}${path}`);
  return { status: response.status, text: await response.text() };
}

const listens = () => until('the admin address answers', async () => (await get('/livez')).status === 200);

/** The value of a sample, by its name and labels as they are written. */
async function metric(sample: string): Promise<number | undefined> {
  const line = (await get('/metrics')).text.split('\n').find((one) => one.startsWith(`${sample} `));
  return line === undefined ? undefined : Number(line.slice(sample.length + 1));
}

async function rekeycast(...args: readonly string[]): Promise<string> {
  const run = promisify(execFile)(process.execPath, [BUILT_SERVER, ...args], { env: { ...server.env } });
  return (await run).stdout;
}

describe('the admin address of the built server', () => {
  it('lives, is ready, and has metrics that promtool finds nothing wrong with', async () => {
    await start();
    await listens();
    expect(await get('/readyz')).toEqual({ status: 200, text: 'ready\n' });
    const { status, text } = await get('/metrics');
    expect(status).toBe(200);
    expect(promtool(['check', 'metrics'], text)).toEqual({ ok: true, said: '' });
    expect(await metric('rekeycast_ready')).toBe(1);
    expect(await metric('rekeycast_snapshot_write_failures_total{kind="media"}')).toBe(0);
    for (const kind of ['media', 'identity'])
      await until(
        'it is written',
        async () => (await metric(`rekeycast_snapshot_bytes{kind="${kind}"}`))! > 100,
      );
    expect(await metric('process_open_fds')).toBeGreaterThan(5);
  });

  it('is there again after a kill, and tells of another process', async () => {
    await start();
    await listens();
    const before = await metric('process_start_time_seconds');
    await server.restart(0);
    await listens();
    expect(await metric('process_start_time_seconds')).toBeGreaterThan(before!);
  });

  it('says that it drains, and is not ready then', async () => {
    await start();
    await listens();
    // Somebody has to be here: a server without visitors ends at once.
    const page = await WsClient.connect(server.url);
    page.say({ type: 'join', capabilities: { rekeyInPlace: true } });
    await until('somebody has joined', async () => (await rekeycast('status')).includes('connecting'));
    await rekeycast('drain');
    expect(await get('/readyz')).toEqual({ status: 503, text: 'not ready\n' });
    expect((await get('/livez')).status).toBe(200);
    expect(await rekeycast('status')).toContain('1 of 1 sessions are still here');
    page.close();
  });

  it('keeps nobody waiting where somebody else has it', async () => {
    const other = createServer();
    const port = await freePort();
    other.listen(port, LOOPBACK);
    await once(other, 'listening');
    server = await ServerProcess.start({ env: { ADMIN_PORT: String(port) } });
    await until('it is said', () => server.events('admin-address-unavailable').length === 1);
    expect(await server.isReady()).toBe(true);
    expect(server.events('admin-address')).toEqual([]);
    await new Promise((resolve) => other.close(resolve));
    await until('it has the address', () => server.events('admin-address').length === 1);
  });

  it('is none unless it is asked for', async () => {
    server = await ServerProcess.start();
    expect(server.events('admin-address')).toEqual([]);
    const status = JSON.parse(await rekeycast('status', '--json')) as Record<string, unknown>;
    expect(status).toMatchObject({ running: true, ready: true, pid: server.run.pid });
  });
});

import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { prepareServer } from '../support/fixture.ts';
import type { Run, ServerProcess } from '../support/process.ts';

describe('a server that cannot start says why', { timeout: 300_000 }, () => {
  it.each(['PORT', 'UDP_PORT'] as const)('because %s is in use', async (which) => {
    const first = await prepareServer();
    await first.start();
    const port = which === 'PORT' ? first.port : first.udpPort;
    const second = await prepareServer({ env: { [which]: String(port) } });
    const run = await failedStart(second);
    expect(run.stderr).toContain(String(port));
    expect(run.stderr).toMatch(/in use/i);
    expect(first.running).toBe(true);
    expect(await first.isReady()).toBe(true);
  });

  it('because a key file can be read by others', async () => {
    const server = await stoppedServer();
    const file = (await readdir(server.directories.keys)).find((name) => !name.startsWith('.'))!;
    await chmod(join(server.directories.keys, file), 0o644);
    const run = await failedStart(server);
    expect(run.stderr).toContain('chmod 600');
    expect(run.stderr).toContain(file);
    await chmod(join(server.directories.keys, file), 0o600);
    await server.start();
  });

  it('because the key directory can be read by others', async () => {
    const server = await stoppedServer();
    await chmod(server.directories.keys, 0o755);
    expect((await failedStart(server)).stderr).toContain('chmod 700');
    await chmod(server.directories.keys, 0o700);
    await server.start();
  });

  it.each([
    ['PORT', 'eighty'],
    ['UDP_PORT', '70000'],
    ['REKEY_INTERVAL', 'often'],
  ])('because %s is %s', async (name, value) => {
    const run = await failedStart(await prepareServer({ env: { [name]: value } }));
    expect(run.stderr).toContain(name);
  });

  it.each(['STATE_DIR', 'KEYS_DIR'])('because %s cannot be made', async (name) => {
    const run = await failedStart(await prepareServer({ env: { [name]: '/proc/none' } }));
    expect(run.stderr).toContain('/proc/none');
    expect(run.stderr).toMatch(/cannot be used: ENOENT/);
  });

  it('because the port of monitoring is that of visitors', async () => {
    const run = await failedStart(await prepareServer({ env: { PORT: '9464', ADMIN_PORT: '9464' } }));
    expect(run.stderr).toContain('ADMIN_PORT is 9464, which is PORT as well');
  });

  it('because it cannot write down where it is asked, and leaves nothing that keeps the next one out', async () => {
    const server = await stoppedServer();
    const inTheWay = join(server.directories.state, 'server.json');
    await mkdir(join(inTheWay, 'something'), { recursive: true });
    expect((await failedStart(server)).stderr).toContain('server.json');
    await rm(inTheWay, { recursive: true });
    await server.start();
  });

  it('because the command is unknown', async () => {
    const server = await prepareServer();
    server.spawn(['dance']);
    expect((await server.exited()).code).toBe(2);
    expect(server.run.stderr).toMatch(/usage/i);
  });
});

/** Keys and state as a first run leaves them. */
async function stoppedServer(): Promise<ServerProcess> {
  const server = await prepareServer();
  await server.start();
  await server.kill('SIGTERM');
  return server;
}

/** A start that ends by itself with a failure, in words and without a stack trace. */
async function failedStart(server: ServerProcess): Promise<Run> {
  const run = server.spawn();
  const { code, signal } = await server.exited();
  expect(signal).toBeNull();
  expect(code).toBeGreaterThan(0);
  expect(run.stderr).not.toMatch(/^\s+at /m);
  return run;
}

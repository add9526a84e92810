import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { prepareServer } from '../support/fixture.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';

/** What systemd hears at NOTIFY_SOCKET, line by line. */
async function listen(path: string): Promise<{ readonly heard: string; readonly process: ChildProcess }> {
  // It waits for the first datagram, and leaves it to the program that it becomes.
  const manager = spawn(
    'systemd-socket-activate',
    ['--datagram', `--listen=${path}`, 'sh', '-c', 'exec cat <&3'],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  onTestFinished(() => void manager.kill('SIGKILL'));
  const listener = { heard: '', process: manager };
  manager.stdout.setEncoding('utf8').on('data', (text: string) => {
    listener.heard += text;
  });
  await until('the service manager listens', () => existsSync(path));
  return listener;
}

describe('a service of Type=notify', { timeout: 300_000 }, () => {
  const directory = testDirectory();

  it('is started when the server is ready', async () => {
    const path = join(directory.path, 'notify');
    const manager = await listen(path);
    const server = await prepareServer({ env: { NOTIFY_SOCKET: path } });
    await server.start();
    await until('the service manager is told', () => manager.heard.includes('READY=1'));
    expect(server.events('service-manager-not-told')).toEqual([]);
  });

  it('is not started by a server that fails', async () => {
    const path = join(directory.path, 'notify');
    const manager = await listen(path);
    const server = await prepareServer({ env: { NOTIFY_SOCKET: path, KEYS_DIR: '/dev/null/keys' } });
    server.spawn();
    expect((await server.exited()).code).toBe(1);
    expect(manager.heard).toBe('');
  });

  it('goes on where the service manager cannot be told, and says why', async () => {
    const server = await prepareServer({ env: { NOTIFY_SOCKET: join(directory.path, 'nobody') } });
    await server.start();
    await until('it is in the log', () => server.events('service-manager-not-told').length === 1);
    expect(await server.isReady()).toBe(true);
    const without = await prepareServer({
      env: { NOTIFY_SOCKET: join(directory.path, 'nobody'), PATH: directory.path },
    });
    await without.start();
    await until('it is in the log', () => without.events('service-manager-not-told').length === 1);
    expect(without.events('service-manager-not-told')[0]?.fields.problem).toContain('ENOENT');
  });
});

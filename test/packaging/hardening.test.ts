import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { prepareServer } from '../support/fixture.ts';
import { until } from '../support/wait.ts';

const NO_MEMORY_AT_ALL = '00000000';

describe('a running server', { timeout: 300_000 }, () => {
  it('opens no debugger on SIGUSR1, as Node does by itself', async () => {
    const plain = spawn(
      process.execPath,
      ['--inspect-port=0', '-e', 'console.log("up"); setInterval(() => {}, 1e6)'],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    onTestFinished(() => void plain.kill('SIGKILL'));
    let said = '';
    plain.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await once(plain.stdout, 'data');
    plain.kill('SIGUSR1');
    await until('Node opens its debugger', () => said.includes('Debugger listening'));

    const server = await prepareServer({ env: { NODE_OPTIONS: '--inspect-port=0' } });
    const run = await server.start();
    server.signal('SIGUSR1');
    await until('the server has noticed the signal', () => run.stderr.includes('SIGUSR1'));
    expect(run.stderr).not.toContain('Debugger');
    expect(await server.isReady()).toBe(true);
  });

  it('leaves nothing of its memory in a core dump', async () => {
    expect(readFileSync('/proc/self/coredump_filter', 'utf8').trim()).not.toBe(NO_MEMORY_AT_ALL);
    const server = await prepareServer();
    const run = await server.start();
    expect(readFileSync(`/proc/${run.pid}/coredump_filter`, 'utf8').trim()).toBe(NO_MEMORY_AT_ALL);
    expect(run.stdout).not.toContain('"core-dumps"');
  });

  it('makes no file that others can read', async () => {
    const server = await prepareServer();
    const run = await server.start();
    const umask = /^Umask:\s*(\d+)$/m.exec(readFileSync(`/proc/${run.pid}/status`, 'utf8'))?.[1];
    expect(umask).toBe('0077');
    expect(statSync(server.adminSocket).mode & 0o777).toBe(0o600);
  });

  it('says so where it was started with a debugger', async () => {
    const server = await prepareServer({ env: { NODE_OPTIONS: '--inspect=127.0.0.1:0' } });
    await server.start();
    expect(server.events('inspector')).toHaveLength(1);
    expect(server.events('core-dumps')).toHaveLength(0);
  });
});

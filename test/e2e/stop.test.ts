import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { isProcessAlive } from '../../src/util/process-alive.ts';
import { prepareServer, runningServer } from '../support/fixture.ts';
import { freePorts } from '../support/ports.ts';
import { BUILT_SERVER, type ServerProcess } from '../support/process.ts';
import { testDirectory } from '../support/test-directory.ts';
import { resumes, visit } from '../support/visitor.ts';
import { until } from '../support/wait.ts';

const root = testDirectory();

describe('a server that is told to end', { timeout: 300_000 }, () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('ends with 0 on %s, and nobody is lost', async (signal) => {
    const server = await runningServer();
    const page = await visit(server);
    const { exit } = await server.kill(signal);
    expect(exit).toEqual({ code: 0, signal: null });
    expect(await page.closed()).toBe(1012);
    expect(server.events('stopping').map(({ fields }) => fields.signal)).toEqual([signal]);
    expect(existsSync(join(server.directories.state, 'server.json'))).toBe(false);
    await server.start();
    expect(server.events('started').at(-1)?.fields.sessions).toBe(1);
    expect(await resumes(server, page)).toBe(true);
  });

  it('does not wait for a page that keeps its WebSocket open', async () => {
    const server = await runningServer();
    const page = await visit(server);
    page.freeze();
    expect((await server.kill('SIGTERM')).exit).toEqual({ code: 0, signal: null });
    page.close();
  });

  it('ends at once on the second signal, whichever it is, and nobody is lost either', async () => {
    const server = await runningServer();
    const page = await visit(server);
    // Both have come before it can have done anything on the first.
    server.signal('SIGSTOP');
    server.signal('SIGTERM');
    server.signal('SIGINT');
    expect((await server.kill('SIGCONT')).exit).toEqual({ code: 1, signal: null });
    await server.start();
    expect(await resumes(server, page)).toBe(true);
  });

  it('ends with 0 while it starts and waits for its key, and has touched nothing', async () => {
    const asked = join(root.path, 'asked');
    const hanging = ['/bin/sh', '-c', `echo $$ >${asked}; exec sleep 600`];
    const server = await prepareServer({
      env: { SNAPSHOT_KEY_COMMAND: JSON.stringify(hanging), SNAPSHOT_KEY_TIMEOUT: '10m' },
    });
    await expectCleanEnd(server, asked);
  });

  it('ends with 0 while a worker waits for its key, which the server has, and has touched nothing', async () => {
    const asked = join(root.path, 'asked');
    const first = join(root.path, 'first');
    const key = randomBytes(32).toString('base64');
    const hanging = `if mkdir ${first}; then echo ${key}; else echo $$ >${asked}; exec sleep 600; fi`;
    const server = await prepareServer({
      udpPort: await freePorts(2),
      env: {
        WORKERS: '1',
        SNAPSHOT_KEY_COMMAND: JSON.stringify(['/bin/sh', '-c', hanging]),
        SNAPSHOT_KEY_TIMEOUT: '10m',
      },
    });
    await expectCleanEnd(server, asked);
  });

  it('finishes what an operator has asked for before, or refuses it in words', async () => {
    const server = await runningServer();
    const page = await visit(server);
    server.signal('SIGSTOP');
    const answering = askServer(server.adminSocket, { command: 'reseal' });
    server.signal('SIGTERM');
    expect((await server.kill('SIGCONT')).exit).toEqual({ code: 0, signal: null });
    const answer = await answering;
    const refusal = answer.kind === 'answer' && !answer.response.ok ? answer.response.error : undefined;
    if (refusal !== undefined) expect(refusal).toContain('about to end');
    else expect(answer).toMatchObject({ kind: 'answer', response: { ok: true } });
    await server.start();
    // All of it opens still.
    execFileSync(process.execPath, [BUILT_SERVER, 'keys', 'rotate'], { env: { ...server.env } });
    expect(await resumes(server, page)).toBe(true);
  });
});

/** It has asked for a key, by a command that has written its process id there, and begun nothing. */
async function expectCleanEnd(server: ServerProcess, asked: string): Promise<void> {
  server.spawn();
  await until('it asks for its key', () => existsSync(asked) && readFileSync(asked, 'utf8').endsWith('\n'));
  const command = Number(readFileSync(asked, 'utf8'));
  onTestFinished(() => endIfThere(command));
  expect((await server.kill('SIGTERM')).exit).toEqual({ code: 0, signal: null });
  await until('the key command has ended with it', () => !isProcessAlive(command));
  expect(server.events('started')).toEqual([]);
  expect(existsSync(join(server.directories.state, 'identity.sealed'))).toBe(false);
}

function endIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has gone with the server.
  }
}

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { prepareBroadcast, runningServer, sharedBrowser } from '../support/fixture.ts';
import { BUILT_SERVER, type ServerProcess } from '../support/process.ts';
import { resumes, visit } from '../support/visitor.ts';
import { until } from '../support/wait.ts';
import { WsClient } from '../support/ws-client.ts';

const browser = sharedBrowser();

describe('rekeycast drain', { timeout: 300_000 }, () => {
  it('ends the server with 0 when the last visitor has left', async () => {
    const server = await runningServer();
    const page = await visit(server);
    const waiting = command(server, 'drain', '--wait', '--json');
    await until('it drains', () => server.events('draining').length === 1);
    expect(await command(server, 'health')).toMatchObject({ code: 0 });
    expect(await command(server, 'health', '--ready')).toMatchObject({ code: 1 });
    const readyz = await fetch(`${server.url}readyz`);
    expect([readyz.status, await readyz.text()]).toEqual([503, 'draining\n']);
    // A second one joins.
    expect(await command(server, 'drain')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^1 visitor is/),
    });
    expect(server.events('draining').length).toBe(1);

    const late = await WsClient.connect(server.url);
    late.say({ type: 'join', capabilities: { rekeyInPlace: true } });
    expect((await late.hear('error')).code).toBe('SHUTTING_DOWN');
    late.close();
    page.close();
    const { token } = await page.hear('welcome');
    const back = await WsClient.connect(server.url, { token });
    expect((await back.hear('welcome')).resumed).toBe(true);

    back.say({ type: 'leave' });
    expect(await server.exited()).toEqual({ code: 0, signal: null });
    expect(server.events('stopping').map(({ fields }) => fields.reason)).toEqual(['drained']);
    const { code, out } = await waiting;
    expect(code).toBe(0);
    expect(out).toContain('{"draining":true,"sessions":1,');
    expect(out.trimEnd().endsWith('{"draining":false,"ended":true}')).toBe(true);
  });

  it('ends it after SHUTDOWN_MAX_WAIT with who is left, the broadcaster too, and nobody is lost', async () => {
    const server = await runningServer({ env: { SHUTDOWN_MAX_WAIT: '1s' } });
    const page = await visit(server);
    expect((await page.hear('welcome')).role).toBe('broadcaster');
    const { code, out } = await command(server, 'drain', '--wait');
    expect([code, out]).toEqual([0, expect.stringMatching(/^1 visitor is .*\nthe server has ended\n$/)]);
    expect(await server.exited()).toEqual({ code: 0, signal: null });
    expect(server.events('stopping').map(({ fields }) => [fields.reason, fields.msg])).toEqual([
      ['drain-timeout', expect.stringContaining('SHUTDOWN_MAX_WAIT has passed')],
    ]);
    expect(await page.closed()).toBe(1012);
    await server.start();
    expect(await resumes(server, page)).toBe(true);
  });

  it('is ended by SIGTERM at once, and nobody is lost', async () => {
    const server = await runningServer();
    const page = await visit(server);
    await command(server, 'drain');
    expect((await server.kill('SIGTERM')).exit).toEqual({ code: 0, signal: null });
    expect(server.events('stopping').map(({ fields }) => fields.signal)).toEqual(['SIGTERM']);
    await server.start();
    expect(await resumes(server, page)).toBe(true);
  });

  it('is over where the server is killed in it: the next one takes everybody, and nobody is lost', async () => {
    const server = await runningServer();
    const page = await visit(server);
    await command(server, 'drain');
    expect(await server.isReady()).toBe(false);
    await server.restart(0);
    const late = await visit(server);
    late.close();
    expect(await resumes(server, page)).toBe(true);
  });

  it('tells new visitors in words, and lets a page that lost its server for a moment come back', async () => {
    const broadcast = await prepareBroadcast({ browser: browser() });
    const first = await broadcast.open('first');
    await broadcast.waitConnected(first, 'broadcaster');
    await command(broadcast.server, 'drain');
    const late = await broadcast.open('late');
    const { text } = await late.waitForFacts('says why', ({ error }) => error === 'shutting-down');
    expect(text).toContain('takes nobody new');
    broadcast.tcp.cut();
    await until('the first one is back', () => broadcast.server.events('session-resumed').length === 1);
    expect((await first.facts()).connections).toBe(1);
  });
});

async function command(server: ServerProcess, ...argv: string[]): Promise<{ code: number; out: string }> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [BUILT_SERVER, ...argv], {
      env: { ...server.env },
    });
    return { code: 0, out: stdout };
  } catch (error) {
    return { code: Number((error as { code?: unknown }).code), out: '' };
  }
}

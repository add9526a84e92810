import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { runKeys } from '../../src/cli/keys.ts';
import { runSnapshot } from '../../src/cli/snapshot.ts';
import { ASK_INTERVAL, HANGS_AFTER } from '../../src/server/workers/watchdog.ts';
import { toHex } from '../../src/util/bytes.ts';
import { ran } from '../support/command.ts';
import { OpenPage } from '../support/open-page.ts';
import { makePipe } from '../support/pipe.ts';
import { freePorts } from '../support/ports.ts';
import { ServerProcess } from '../support/process.ts';
import { testDirectory } from '../support/test-directory.ts';
import { elapse, until } from '../support/wait.ts';

interface Status {
  readonly sessions: number;
  readonly facts: {
    readonly sessions: { readonly groups: readonly { readonly role: string; readonly count: number }[] };
    readonly workers?: readonly {
      readonly number: number;
      readonly udpPort: number;
      readonly sessions: number;
      readonly silentMs: number;
    }[];
  };
}

const root = testDirectory();
const DYING = new URL('../support/dying-worker.mjs', import.meta.url).href;

async function startServer(
  workers: number,
  env: Readonly<Record<string, string>> = {},
): Promise<ServerProcess> {
  const server = await ServerProcess.prepare({
    udpPort: await freePorts(workers + 1),
    env: { WORKERS: String(workers), ...env },
  });
  onTestFinished(() => server.dispose());
  await server.start();
  return server;
}

async function openPage(server: ServerProcess, number: number): Promise<OpenPage> {
  const page = await OpenPage.open({ name: `page ${number}`, seed: 900 + number, url: server.url });
  onTestFinished(() => page.close());
  return page;
}

/** A broadcaster and so many viewers who see it. */
async function broadcasting(server: ServerProcess, viewers: number): Promise<OpenPage[]> {
  const pages = [await openPage(server, 0)];
  await pages[0]!.onAir(1);
  for (let i = 1; i <= viewers; i++) pages.push(await openPage(server, i));
  for (const page of pages) await page.onAir(1);
  return pages;
}

async function comeBack(pages: readonly OpenPage[], associations: number): Promise<void> {
  for (const page of pages) await page.comeBack();
  for (const page of pages) await page.onAir(associations);
}

async function statusOf(server: ServerProcess): Promise<Status> {
  const answer = await askServer(server.adminSocket, { command: 'status' });
  if (answer.kind !== 'answer' || !answer.response.ok) throw new Error(JSON.stringify(answer));
  return answer.response as unknown as Status;
}

/** All under keys of their own, on the connection that they have had from the beginning. */
function expectSameConnections(pages: readonly OpenPage[], associations: number): void {
  for (const { browser, refusals } of pages) {
    expect(browser.made).toBe(1);
    expect(refusals).toEqual([]);
    const keys = browser.associations.map(({ keys }) => toHex(keys.remote.key.bytes));
    expect(new Set(keys).size).toBe(associations);
  }
}

describe('a server with WORKERS=2', { timeout: 180_000 }, () => {
  it('spreads viewers over UDP ports, counts all of them, and has them back after kill -9 on the same connections', async () => {
    const server = await startServer(2);
    const pages = await broadcasting(server, 4);
    const { udpPort } = server;
    expect(pages.map((page) => page.udpPort)).toEqual([
      udpPort,
      ...[udpPort + 1, udpPort + 2, udpPort + 1, udpPort + 2],
    ]);
    const before = await statusOf(server);
    expect(before.sessions).toBe(5);
    expect(before.facts.workers).toEqual([
      expect.objectContaining({ number: 1, udpPort: udpPort + 1, sessions: 2 }),
      expect.objectContaining({ number: 2, udpPort: udpPort + 2, sessions: 2 }),
    ]);
    expect(pages[1]!.browser.room?.viewers).toBe(4);

    await server.restart(300);
    await comeBack(pages, 2);
    expectSameConnections(pages, 2);
    expect((await statusOf(server)).sessions).toBe(5);

    // And after a planned stop.
    const { exit } = await server.kill('SIGTERM');
    expect(exit).toEqual({ code: 0, signal: null });
    await server.start();
    await comeBack(pages, 3);
    expectSameConnections(pages, 3);
  });

  it('forwards on stale contexts before any page is back', async () => {
    const server = await startServer(2);
    const pages = await broadcasting(server, 2);
    await server.kill();
    const viewers = pages.slice(1).map(({ browser }) => browser.current!);
    await server.start();
    const seen = viewers.map(({ received }) => received.size);
    await until('media goes on', () => viewers.every(({ received }, i) => received.size > seen[i]! + 3));
    expect(pages.map(({ browser }) => browser.associations.length)).toEqual([1, 1, 1]);
  });

  it('replaces keys, snapshot keys and the certificate in all of them', async () => {
    const server = await startServer(2);
    const pages = await broadcasting(server, 2);
    expect(await askServer(server.adminSocket, { command: 'rekey' })).toMatchObject({
      response: { ok: true, sessions: 3 },
    });
    for (const page of pages) await page.onAir(2);
    expect(await askServer(server.adminSocket, { command: 'reseal' })).toMatchObject({
      response: { ok: true },
    });
    const shown = pages.map(({ browser }) => toHex(browser.associations.at(-1)!.serverCertificate));
    expect(new Set(shown).size).toBe(1);
    expect(await askServer(server.adminSocket, { command: 'certificate' })).toMatchObject({
      response: { ok: true },
    });
    for (const page of pages) await page.onAir(3);
    const after = pages.map(({ browser }) => toHex(browser.associations.at(-1)!.serverCertificate));
    expect(new Set(after).size).toBe(1);
    expect(after[0]).not.toBe(shown[0]);
    expect(server.events('certificate-replaced').length).toBe(1);
    await server.restart(200);
    await comeBack(pages, 4);
    expect(toHex(pages[2]!.browser.associations.at(-1)!.serverCertificate)).toBe(after[0]);
  });

  it('has its snapshot keys replaced, while it runs and while it does not', async () => {
    const server = await startServer(2);
    const pages = await broadcasting(server, 2);
    const rotate = () => ran((io) => runKeys(['rotate'], server.env, io));
    expect(await rotate()).toMatchObject({ code: 0, err: '' });
    await server.kill();
    expect(await rotate()).toMatchObject({ code: 0, err: '' });
    expect(await ran((io) => runKeys(['verify'], server.env, io))).toMatchObject({
      code: 0,
      out: expect.stringMatching(/worker-1.*worker-2/s),
    });
    expect(await ran((io) => runSnapshot(['inspect'], server.env, io))).toMatchObject({
      code: 0,
      out: expect.stringMatching(/worker-1.*worker-2/s),
    });
    const viewers = pages.slice(1).map(({ browser }) => browser.current!);
    await server.start();
    const seen = viewers.map(({ received }) => received.size);
    await until('media goes on', () => viewers.every(({ received }, i) => received.size > seen[i]! + 3));
    await comeBack(pages, 2);
    expectSameConnections(pages, 2);
  });

  it('lets another server take over, which has all of them', async () => {
    const server = await startServer(2);
    const pages = await broadcasting(server, 2);
    server.spawnBeside(['serve', '--takeover']);
    await until('it has taken over', () => server.events('started').length === 2);
    await server.ready();
    await comeBack(pages, 2);
    expect((await statusOf(server)).sessions).toBe(3);
  });

  it('starts again without workers, and loses nobody: those that have viewers go on, and go when they have none', async () => {
    const server = await startServer(2);
    const pages = await broadcasting(server, 2);
    await server.kill();
    const folders = (): boolean[] =>
      [1, 2].map((number) => existsSync(join(server.directories.state, `worker-${number}`)));
    server.spawnBeside(['serve'], { WORKERS: '0' });
    await server.ready();
    await comeBack(pages, 2);
    expect((await statusOf(server)).facts.workers?.length).toBe(2);
    const next = await openPage(server, 9);
    await next.onAir(1);
    expect(next.udpPort).toBe(server.udpPort);
    for (const page of pages.slice(1)) page.leave();
    await until('they have left', async () => (await statusOf(server)).sessions === 2);
    await server.kill('SIGTERM');
    expect(folders()).toEqual([true, true]);
    server.spawnBeside(['serve'], { WORKERS: '0' });
    await server.ready();
    expect(folders()).toEqual([false, false]);
    expect((await statusOf(server)).facts.workers ?? []).toEqual([]);
  });

  it('ends when one of them does, and the next process has everybody', async () => {
    const fault = join(root.path, 'fault');
    const server = await startServer(2, { NODE_OPTIONS: `--import=${DYING}`, DIE_AT: fault });
    const pages = await broadcasting(server, 2);
    writeFileSync(fault, 'die');
    await server.exited();
    expect(server.run.exit?.code).not.toBe(0);
    expect(server.events('worker-lost').map(({ fields }) => fields.worker)).toEqual([1]);
    rmSync(fault);
    await server.start();
    await comeBack(pages, 2);
    expect((await statusOf(server)).sessions).toBe(3);
  });

  it.each(['turn in circles', 'wait in the kernel'])(
    'ends when one of them hangs (%s), says how long it has not answered until then, and the next process has everybody',
    async (how) => {
      const fault = join(root.path, 'fault');
      const pipe = join(root.path, 'pipe');
      const server = await startServer(2, { NODE_OPTIONS: `--import=${DYING}`, DIE_AT: fault });
      const pages = await broadcasting(server, 2);
      if (how !== 'turn in circles') makePipe(pipe);
      writeFileSync(fault, how === 'turn in circles' ? how : pipe);
      let silent: readonly number[] = [];
      await until('it owes an answer', async () => {
        silent = (await statusOf(server)).facts.workers!.map(({ silentMs }) => silentMs);
        return silent[0]! > 2_000;
      });
      expect(silent[1]).toBeLessThan(silent[0]!);
      await server.exited();
      expect(server.run.exit).not.toMatchObject({ code: 0 });
      expect(server.events('worker-hangs').map(({ fields }) => fields.worker)).toEqual([1]);
      expect(server.events('worker-lost')).toEqual([]);
      rmSync(fault);
      await server.start();
      await comeBack(pages, 2);
      expect((await statusOf(server)).sessions).toBe(3);
    },
  );

  it('goes on where the whole process was stopped for a while', async () => {
    const server = await startServer(1);
    const pages = await broadcasting(server, 1);
    server.signal('SIGSTOP');
    await elapse(HANGS_AFTER + 3 * ASK_INTERVAL);
    server.signal('SIGCONT');
    // So many looks after it, nobody is taken for one who hangs.
    const from = performance.now();
    await until('it has gone on', () => performance.now() > from + 3 * ASK_INTERVAL || !server.running);
    expect(server.running).toBe(true);
    expect(server.events('worker-hangs')).toEqual([]);
    for (const page of pages) await page.onAir(1);
  });

  it('does not start where a worker’s port is taken, and has lost nothing', async () => {
    const server = await startServer(1);
    const pages = await broadcasting(server, 1);
    await server.kill();
    const { createSocket } = await import('node:dgram');
    const taken = createSocket('udp4');
    await new Promise<void>((resolve) => taken.bind(server.udpPort + 1, '127.0.0.1', resolve));
    const run = server.spawn();
    await server.exited();
    expect(run.exit?.code).toBe(1);
    expect(run.stderr).toContain('PORT_IN_USE');
    await new Promise<void>((resolve) => taken.close(() => resolve()));
    await server.start();
    await comeBack(pages, 2);
    expectSameConnections(pages, 2);
  });
});

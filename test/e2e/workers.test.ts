import { createSocket } from 'node:dgram';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { runKeys } from '../../src/cli/keys.ts';
import { runSnapshot } from '../../src/cli/snapshot.ts';
import { toHex } from '../../src/util/bytes.ts';
import { ran } from '../support/command.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';
import {
  broadcasting,
  comeBack,
  expectSameConnections,
  FAULTY_WORKER,
  openPage,
  startServer,
  statusOf,
} from '../support/worker-server.ts';

const root = testDirectory();

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

  it('is taken over from by one with more workers, and then by one with fewer, which have all of them', async () => {
    const server = await startServer(2, {}, 5);
    const pages = await broadcasting(server, 2);
    const takeOver = async (workers: number): Promise<void> => {
      const before = server.events('started').length;
      server.spawnBeside(['serve', '--takeover'], { WORKERS: String(workers) });
      await until('it has taken over', () => server.events('started').length === before + 1);
      await server.ready();
    };
    const ports = (from: number): readonly number[] =>
      pages.slice(from).map(({ udpPort }) => udpPort - server.udpPort);
    await takeOver(4);
    await comeBack(pages, 2);
    for (const number of [3, 4]) pages.push(await openPage(server, number));
    for (const page of pages.slice(3)) await page.onAir(1);
    expect(ports(1)).toEqual([1, 2, 3, 4]);
    await takeOver(1);
    for (const page of pages) await page.comeBack();
    for (const [i, page] of pages.entries()) await page.onAir(i < 3 ? 3 : 2);
    pages.push(await openPage(server, 5));
    await pages[5]!.onAir(1);
    expect(ports(5)).toEqual([1]);
    expect(pages.flatMap(({ refusals }) => refusals)).toEqual([]);
    expect((await statusOf(server)).sessions).toBe(6);
  });

  it('goes on where one with more workers was to take over, and a port of those is somebody else’s', async () => {
    const server = await startServer(1, {}, 3);
    const pages = await broadcasting(server, 1);
    const other = createSocket('udp4');
    onTestFinished(() => void other.close());
    await new Promise<void>((resolve) => other.bind(server.udpPort + 2, '127.0.0.1', resolve));
    const { before, run } = server.spawnBeside(['serve', '--takeover'], { WORKERS: '2' });
    await server.fallBack(before);
    expect(run.exit?.code).toBe(1);
    expect(run.stderr).toContain('PORT_IN_USE');
    expect(server.events('handing-over')).toEqual([]);
    for (const page of pages) await page.onAir(1);
    expect((await statusOf(server)).sessions).toBe(2);
  });

  it('drains: nobody new comes in, and it ends when the last viewer of a worker has left', async () => {
    const server = await startServer(1);
    const pages = await broadcasting(server, 1);
    expect(await askServer(server.adminSocket, { command: 'drain' })).toMatchObject({
      response: { ok: true },
    });
    pages[0]!.leave();
    await until('one is left', async () => (await statusOf(server)).sessions === 1);
    expect(server.running).toBe(true);
    pages[1]!.leave();
    expect(await server.exited()).toEqual({ code: 0, signal: null });
    expect(server.events('stopping').map(({ fields }) => fields.reason)).toEqual(['drained']);
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
    const server = await startServer(2, { NODE_OPTIONS: `--import=${FAULTY_WORKER}`, FAULT_AT: fault });
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

  it('goes on where the files of one worker cannot be written, does what is ordered, and says whose they are', async () => {
    const server = await startServer(2);
    const pages = await broadcasting(server, 2);
    const full = join(server.directories.state, 'worker-1', `identity.sealed.${server.run.pid}.tmp`);
    mkdirSync(full);
    const failures = (): unknown[] =>
      server.events('identity-not-written').map(({ fields }) => fields.worker);
    // The third viewer is in the first worker, and the fourth is not.
    for (const number of [3, 4]) pages.push(await openPage(server, number));
    for (const page of pages) await page.onAir(1);
    await until('it is said', () => failures().length > 0);
    const shown = pages.map(({ browser }) => toHex(browser.associations.at(-1)!.serverCertificate));
    expect(await askServer(server.adminSocket, { command: 'certificate' })).toMatchObject({
      response: { ok: true },
    });
    for (const page of pages) await page.onAir(2);
    for (const { browser } of pages)
      expect(toHex(browser.associations.at(-1)!.serverCertificate)).not.toBe(shown[0]);
    // Who rotates keys has to know: those files need the old one.
    expect(await askServer(server.adminSocket, { command: 'reseal' })).toMatchObject({
      response: { ok: false, error: expect.stringContaining('worker-1') },
    });
    expect(new Set(failures())).toEqual(new Set([1]));
    rmSync(full, { recursive: true });
    expect(await askServer(server.adminSocket, { command: 'reseal' })).toMatchObject({
      response: { ok: true },
    });
    await server.restart(200);
    await comeBack(pages, 3);
    expect(pages.flatMap(({ refusals }) => refusals)).toEqual([]);
    expect((await statusOf(server)).sessions).toBe(5);
  });

  it('starts no thread for a folder that is no worker’s, and leaves it as it is; for one that may be, it does, once', async () => {
    const server = await startServer(0, {}, 4);
    await server.kill('SIGTERM');
    const plant = (number: number): string => {
      const folder = join(server.directories.state, `worker-${number}`);
      mkdirSync(folder, { mode: 0o700 });
      writeFileSync(join(folder, 'identity.sealed'), 'planted');
      return folder;
    };
    const [foreign, own] = [[65, 999, 1_000].map(plant), plant(3)];
    await server.start();
    const [said, ...more] = server.events('worker-folders-ignored');
    expect(more).toEqual([]);
    expect([said?.fields.count, said?.fields.folders]).toEqual([
      3,
      ['worker-1000', 'worker-65', 'worker-999'],
    ]);
    for (const folder of foreign) {
      expect(readdirSync(folder)).toEqual(['identity.sealed']);
      expect(readFileSync(join(folder, 'identity.sealed'), 'utf8')).toBe('planted');
    }
    // It was looked at, put aside, and its worker let go: nobody is in it.
    expect(readdirSync(own).filter((name) => !/^identity\.sealed\.(damaged|refused)-/.test(name))).toEqual(
      [],
    );
    expect((await statusOf(server)).facts.workers ?? []).toEqual([]);
    expect(server.events('started').at(-1)?.fields.workers).toBe(0);
    await server.kill('SIGTERM');
    await server.start();
    expect(server.events('started').at(-1)?.fields.workers).toBeUndefined();
  });

  it('does not start where a worker’s port is taken, and has lost nothing', async () => {
    const server = await startServer(1);
    const pages = await broadcasting(server, 1);
    await server.kill();
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

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import type { Logger, RunningServer } from '../../src/index.ts';
import { readRunFile } from '../../src/snapshot/run-file.ts';
import { memoryStore } from '../support/memory-store.ts';
import { LOOPBACK } from '../support/ports.ts';
import { ROOT } from '../support/process.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';
import { WsClient } from '../support/ws-client.ts';

type Library = typeof import('../../src/index.ts');

const library = (await import(pathToFileURL(join(ROOT, 'dist/index.js')).href)) as Library;
const directory = testDirectory();

const fails = (): never => {
  throw new Error('it broke');
};
const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const broken: Logger = { debug: fails, info: fails, warn: fails, error: fails };

const config = () =>
  library.readConfig({
    HOST: LOOPBACK,
    PORT: '0',
    RESUME: 'strict',
    STATE_DIR: join(directory.path, 'state'),
    KEYS_DIR: join(directory.path, 'keys'),
    RUNTIME_DIR: join(directory.path, 'runtime'),
  });

const start: Library['startServer'] = async (...args) => {
  const server = await library.startServer(...args);
  onTestFinished(() => server.shutdown());
  return server;
};

const urlOf = ({ port }: RunningServer): string => `http://${LOOPBACK}:${port}/`;

/** Gives the token of a new visitor, who has left the page open. */
async function visit(server: RunningServer): Promise<string> {
  const page = await WsClient.connect(urlOf(server));
  onTestFinished(() => page.close());
  page.say({ type: 'join', capabilities: { rekeyInPlace: true } });
  const { token } = await page.hear('welcome');
  page.say({ type: 'confirm' });
  return token;
}

async function resumes(server: RunningServer, token: string): Promise<boolean> {
  const page = await WsClient.connect(urlOf(server), { token });
  onTestFinished(() => page.close());
  return (await page.hear('welcome')).resumed;
}

describe('a server in somebody’s program', { timeout: 120_000 }, () => {
  it('does without a log that throws, and nobody is lost', async () => {
    const first = await start(config(), broken);
    const token = await visit(first);
    await first.shutdown();
    expect(await resumes(await start(config(), broken), token)).toBe(true);
  });

  it('opens the snapshots of a server of somebody else’s without it as well', async () => {
    await (await start(config(), quiet)).shutdown();
    const snapshots = await library.openSnapshots(config(), broken);
    expect(snapshots.identity).toBeDefined();
    await snapshots.close();
  });

  it.each([
    ['rejects', async () => fails()],
    ['throws', fails],
  ])('goes on where its store %s, and makes up for it when that does not', async (_how, write) => {
    let fault = true;
    const errors: unknown[] = [];
    const log: Logger = { ...quiet, error: (event) => errors.push(event) };
    const { store, kept } = memoryStore({
      writeIdentity: async (snapshot) => (fault ? write() : void kept.push(snapshot)),
    });
    const server = await start(config(), log, { store });
    const token = await visit(server);
    expect(errors).toContainEqual(expect.objectContaining({ event: 'identity-not-written' }));
    expect(kept).toEqual([]);
    fault = false;
    await server.shutdown();
    expect(await resumes(await start(config(), log, { store }), token)).toBe(true);
  });

  it('lets go of everything at its end where its store throws then, and says so', async () => {
    const errors: unknown[] = [];
    const log: Logger = { ...quiet, error: (event) => errors.push(event) };
    const { store, kept } = memoryStore({ close: fails });
    const first = await start(config(), log, { store });
    const token = await visit(first);
    await first.shutdown();
    expect(errors).toEqual([expect.objectContaining({ event: 'store-failed' })]);
    await expect(fetch(urlOf(first))).rejects.toThrow();
    // The lock is free, and what the store had is there.
    const next = await start(config(), log, { store: memoryStore({}, kept).store });
    expect(await resumes(next, token)).toBe(true);
  });

  it('tells the operator of a key source that throws, and goes on', async () => {
    let fault = false;
    const keySource = library.fetchedKeys('a vault', async () =>
      fault ? fails() : library.Secret.take(Uint8Array.from({ length: 32 }, (_, i) => i * 7 + 1)),
    );
    const server = await start(config(), quiet, { keySource });
    const token = await visit(server);
    fault = true;
    const { adminSocket } = readRunFile(join(directory.path, 'state'))!;
    expect(await askServer(adminSocket, { command: 'reseal' })).toMatchObject({
      kind: 'answer',
      response: { ok: false, error: expect.stringContaining('it broke') },
    });
    fault = false;
    expect(await askServer(adminSocket, { command: 'reseal' })).toMatchObject({ response: { ok: true } });
    expect(await resumes(server, token)).toBe(true);
  });

  it('is not started where what lets the one before go throws, and leaves nothing behind', async () => {
    const first = await start(config(), quiet);
    const token = await visit(first);
    const port = first.port;
    await expect(start(config(), quiet, { takeOver: async () => fails() })).rejects.toThrow('it broke');
    await until('the first one serves', async () => (await fetch(`${urlOf(first)}readyz`)).status === 200);
    expect(first.port).toBe(port);
    expect(await resumes(first, token)).toBe(true);
  });

  it('has no buttons left hanging where those who work them throw', async () => {
    const works = { ask: fails, die: fails };
    const server = await start(config(), quiet, { demo: works });
    const page = await WsClient.connect(urlOf(server));
    onTestFinished(() => page.close());
    page.say({ type: 'join', capabilities: { rekeyInPlace: true } });
    await page.hear('demo');
    page.say({ type: 'demo', action: 'kill' });
    expect(await page.hear('demo-outcome')).toMatchObject({ action: 'kill', done: false });
    expect((await fetch(`${urlOf(server)}readyz`)).status).toBe(200);
  });
});

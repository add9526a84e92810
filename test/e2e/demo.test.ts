import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runKeys } from '../../src/cli/keys.ts';
import { SHOW_OVER } from '../../src/client/demo-words.ts';
import type { Broadcast } from '../support/broadcast.ts';
import { ran } from '../support/command.ts';
import { prepareServer, sharedBrowser, startBroadcast } from '../support/fixture.ts';
import type { ServerProcess } from '../support/process.ts';
import type { PageFacts, TestPage } from '../support/test-page.ts';
import { resumes, visit } from '../support/visitor.ts';
import { until } from '../support/wait.ts';

const DEMO = { DEMO_CONTROLS: '1' };
/** Longer than the page itself waits for a server that does not come back. */
const OUTCOME_TIMEOUT_MS = 45_000;
/** Three of them, with time to read. */
const SHOW_TIMEOUT_MS = 150_000;
const browser = sharedBrowser();

describe('the page of a demonstration', { timeout: 180_000 }, () => {
  it.each([
    [/^Kill the server$/, 'The server was killed, and another one has taken its place.', 'server-ended'],
    [/^Deploy a new one$/, 'A new server has taken over, and the old one is gone.', 'deployed'],
  ])(
    'has a button %s: the picture goes on, on the same connection with new keys',
    async (button, words, event) => {
      const broadcast = await startBroadcast({ browser: browser(), viewers: 1, env: DEMO });
      const { server, pages } = broadcast;
      const viewer = broadcast.viewers[0]!;
      const before = await Promise.all(pages.map((page) => page.facts()));
      await viewer.click(button);
      const { text } = await viewer.waitForFacts('says what came of it', says(words), OUTCOME_TIMEOUT_MS);
      expect(text).toContain('It is the same connection, and every key is new');
      expect(server.events(event).length).toBe(1);
      await expectOnAnotherServer(broadcast, before);
      // The next server offers them again, and to the others as well.
      for (const page of pages) await page.click(/^Rotate the keys$/);
      await viewer.waitForFacts('has its keys rotated', says('has taken the place of the one before'));
    },
  );

  it('has a button that rotates the keys: another one is primary, and nothing else changes', async () => {
    const broadcast = await startBroadcast({ browser: browser(), viewers: 1, env: DEMO });
    const viewer = broadcast.viewers[0]!;
    const [primary, { epoch, instance }] = [await primaryKey(broadcast.server), await viewer.facts()];
    await viewer.click(/^Rotate the keys$/);
    const { text } = await viewer.waitForFacts(
      'says what came of it',
      says('has taken the place of the one before'),
      OUTCOME_TIMEOUT_MS,
    );
    const next = await primaryKey(broadcast.server);
    expect(next).not.toBe(primary);
    expect(text).toContain(`Key ${next} `);
    await viewer.waitPlaying();
    expect(await viewer.facts()).toMatchObject({ epoch, instance, connections: 1 });
    const audit = readFileSync(join(broadcast.server.directories.state, 'audit.log'), 'utf8');
    expect(audit).toContain('"event":"demo-ordered","by":"server","action":"rotate"');
  });

  it('shows all of it, one after another, by itself', async () => {
    const broadcast = await startBroadcast({ browser: browser(), viewers: 1, env: DEMO });
    const { server, viewers } = broadcast;
    const primary = await primaryKey(server);
    const before = await viewers[0]!.facts();
    await viewers[0]!.click(/^Show me$/);
    const after = await viewers[0]!.waitForFacts('has shown all', says(SHOW_OVER), SHOW_TIMEOUT_MS);
    expect(after).toMatchObject({ restarts: 2, connections: 1, error: '' });
    expect(after.epoch).toBeGreaterThanOrEqual(before.epoch + 2);
    expect(after.certificateSha256).toBe(before.certificateSha256);
    expect(await primaryKey(server)).not.toBe(primary);
    expect(await viewers[0]!.violations()).toEqual([]);
  });

  it('has no buttons where the server does not know that the visitor is on its machine', async () => {
    // A proxy of the server's own machine, by its settings, that does not say for whom it asks.
    const env = { ...DEMO, TRUST_PROXY: '127.0.0.1' };
    const { viewers } = await startBroadcast({ browser: browser(), viewers: 1, env });
    expect(await isOffered(viewers[0]!)).toBe(false);
  });

  it('has no buttons without the setting', async () => {
    const { viewers } = await startBroadcast({ browser: browser(), viewers: 1 });
    expect(await isOffered(viewers[0]!)).toBe(false);
  });
});

describe('the supervisor of a demonstration', { timeout: 120_000 }, () => {
  it('starts the server again that somebody kills, and nobody is lost', async () => {
    const server = await supervised();
    const page = await visit(server);
    process.kill(pidOf(server), 'SIGKILL');
    await until('another one serves', () => server.events('started').length === 2);
    await server.ready();
    expect(await resumes(server, page)).toBe(true);
  });

  it('passes SIGTERM on, and ends as the server does', async () => {
    const server = await supervised();
    const pid = pidOf(server);
    expect((await server.kill('SIGTERM')).exit).toEqual({ code: 0, signal: null });
    expect(server.events('stopping').map(({ fields }) => [fields.pid, fields.signal])).toEqual([
      [pid, 'SIGTERM'],
    ]);
  });

  it('takes its server with it where it is killed itself', async () => {
    const server = await supervised();
    // Its end is the end of all who write to its standard output.
    await server.kill('SIGKILL');
    expect(server.events('stopping').map(({ fields }) => fields.reason)).toEqual(['supervisor-gone']);
    await server.start();
  });

  it('ends at once where the first server cannot start, with its words and its code', async () => {
    const server = await prepareServer({
      env: { ...DEMO, TLS_CERT: '/nonexistent', TLS_KEY: '/nonexistent' },
    });
    server.spawn();
    expect(await server.exited()).toEqual({ code: 1, signal: null });
    expect(server.run.stderr).toContain('[CONFIG_INVALID]');
    expect(server.events('server-ended')).toEqual([]);
  });

  it.each(['NOTIFY_SOCKET', 'LISTEN_FDS'])('is refused where %s shows a service manager', async (name) => {
    const server = await prepareServer({ env: { ...DEMO, [name]: '1' } });
    server.spawn();
    expect(await server.exited()).toEqual({ code: 1, signal: null });
    expect(server.run.stderr).toContain(name);
    expect(server.run.stderr).toContain('[CONFIG_INVALID]');
  });
});

const says =
  (words: string) =>
  ({ text }: PageFacts): boolean =>
    text.includes(words);

/** Everybody who was there is, and sees pictures. */
async function expectOnAnotherServer(broadcast: Broadcast, before: readonly PageFacts[]): Promise<void> {
  for (const [i, page] of broadcast.pages.entries()) {
    const was = before[i]!;
    const now = await page.waitForFacts(
      'has new keys',
      ({ epoch, state }) => epoch > was.epoch && state === 'live',
    );
    expect(now).toMatchObject({ connections: 1, restarts: 1, certificateSha256: was.certificateSha256 });
    expect(now.instance).not.toBe(was.instance);
  }
  for (const viewer of broadcast.viewers) await viewer.waitPlaying();
}

async function primaryKey({ env }: ServerProcess): Promise<string> {
  const { out } = await ran((io) => runKeys(['status', '--json'], env, io));
  const { keys } = JSON.parse(out) as { keys: readonly { id: string; state: string }[] };
  return keys.find(({ state }) => state === 'primary')!.id;
}

const isOffered = (page: TestPage): Promise<boolean> =>
  page.driver.evaluate(() => document.getElementById('demo')?.checkVisibility() ?? false, undefined);

async function supervised(): Promise<ServerProcess> {
  const server = await prepareServer({ env: DEMO });
  await server.start();
  return server;
}

/** Of the server itself, which says so in each line of its log. */
const pidOf = (server: ServerProcess): number => Number(server.events('started').at(-1)!.fields.pid);

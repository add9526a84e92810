import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { prepareServer, runningServer, sharedBrowser, startBroadcast } from '../support/fixture.ts';
import { Strain } from '../support/strain.ts';
import { askedWhileStopped, expectUntouched, TAKEOVER } from '../support/takeover.ts';
import { testDirectory } from '../support/test-directory.ts';
import { resumes, visit } from '../support/visitor.ts';
import { until } from '../support/wait.ts';

const browser = sharedBrowser();
const root = testDirectory();
const CLEAN = { code: 0, signal: null };

describe('rekeycast serve --takeover', { timeout: 300_000 }, () => {
  it('takes over while everybody watches, on the same connections', async () => {
    const broadcast = await startBroadcast({ browser: browser(), viewers: 1 });
    const { server, viewers, pages } = broadcast;
    const strain = await Strain.begin(broadcast);
    const { before } = server.spawnBeside(TAKEOVER);
    await until('the first has ended', () => before.exit);
    expect(before.exit).toEqual(CLEAN);
    await server.ready();
    for (const page of pages) {
      const { connections } = await page.waitForFacts(
        'has new keys',
        ({ epoch, state }) => epoch >= 1 && state === 'live',
      );
      if (!(await strain.strained())) expect(connections).toBe(1);
    }
    await viewers[0]!.waitPlaying(Date.now());
    expect(server.events('stopping').map(({ fields }) => fields.reason)).toEqual(['handed-over']);
    // All of it: both sessions, and their media contexts.
    expect(server.events('started').at(-1)?.fields).toMatchObject({ sessions: 2, contexts: 2 });
    expect(existsSync(join(server.directories.state, 'server.json'))).toBe(true);
    expect((await server.kill('SIGTERM')).exit).toEqual(CLEAN);
  });

  it('takes over with keys that are new to both, where HANDOFF is fresh', async () => {
    const broadcast = await startBroadcast({ browser: browser(), viewers: 1 });
    const { server, viewers, pages } = broadcast;
    const strain = await Strain.begin(broadcast);
    const { before } = server.spawnBeside(TAKEOVER, { HANDOFF: 'fresh' });
    await until('the first has ended', () => before.exit);
    expect(before.exit).toEqual(CLEAN);
    await server.ready();
    expect(server.events('handing-over').map(({ fields }) => fields.fresh)).toEqual([true]);
    // Once from the one that hands over, beside the connection in use, and once from the next.
    for (const page of pages)
      await until(`${page.name} has new keys twice`, async () => {
        const { epoch, restarts, state } = await page.facts();
        // Who had no time to see the picture under the first before the next server came has them in their place.
        return epoch >= 2 || (epoch === 1 && restarts === 1 && state === 'live' && (await strain.strained()));
      });
    await viewers[0]!.waitPlaying(Date.now());
    expect(server.events('started').at(-1)?.fields).toMatchObject({ sessions: 2, contexts: 2 });
  });

  it('takes over again and again', async () => {
    const server = await runningServer();
    const page = await visit(server);
    for (let i = 0; i < 3; i++) {
      const { before } = server.spawnBeside(TAKEOVER);
      await until('the one before has ended', () => before.exit);
      expect(before.exit).toEqual(CLEAN);
      await server.ready();
    }
    expect(await resumes(server, page)).toBe(true);
  });

  it('starts as usual where no server runs', async () => {
    const server = await prepareServer();
    server.spawn(TAKEOVER);
    await server.ready();
    expect(server.events('nothing-to-take-over').length).toBe(1);
  });

  it.each([
    ['has other keys', () => ({ KEYS_DIR: join(root.path, 'other') }), 'KEY_MISSING'],
    ['has another RUNTIME_DIR', () => ({ RUNTIME_DIR: root.path }), 'CONFIG_INVALID'],
    ['has a wrong setting', () => ({ REKEY_INTERVAL: 'often' }), 'CONFIG_INVALID'],
    ['has no certificate where it looks for one', () => noCertificate(), 'CONFIG_INVALID'],
    ['cannot have its address', () => ({ HOST: '203.0.113.9' }), 'ADDRESS_UNAVAILABLE'],
  ])('leaves the one that runs alone where the new one %s', async (_what, env, code) => {
    const server = await runningServer();
    const page = await visit(server);
    const { before, run } = server.spawnBeside(TAKEOVER, env());
    expect(await server.fallBack(before)).toEqual({ code: 1, signal: null });
    expect(run.stderr).toContain(`[${code}]`);
    expect(server.events('handing-over')).toEqual([]);
    await expectUntouched(server, page);
  });

  it('leaves the one that runs alone where the new one goes before it has an answer', async () => {
    const server = await runningServer();
    const page = await visit(server);
    const before = await askedWhileStopped(server);
    server.signal('SIGTERM');
    expect(await server.fallBack(before)).toEqual(CLEAN);
    server.signal('SIGCONT');
    await until('it knows', () => server.events('handover-cancelled').length === 1);
    await expectUntouched(server, page);
  });

  it('goes on with what a server has left that crashes while it is asked', async () => {
    const server = await runningServer();
    const page = await visit(server);
    const before = await askedWhileStopped(server);
    process.kill(before.pid, 'SIGKILL');
    await server.ready();
    expect(await until('the first has ended', () => before.exit)).toEqual({ code: null, signal: 'SIGKILL' });
    expect(server.events('predecessor-gone').length).toBe(1);
    expect(await resumes(server, page)).toBe(true);
  });

  it('says what to do where it fails when the one before has ended, and nobody is lost', async () => {
    const server = await runningServer();
    const page = await visit(server);
    const other = await runningServer();
    const { before, run } = server.spawnBeside(TAKEOVER, { PORT: String(other.port) });
    expect(await server.exited()).toEqual({ code: 1, signal: null });
    await until('the first has ended', () => before.exit);
    expect(run.stderr).toContain('[PORT_IN_USE]');
    expect(run.stdout).toContain('Start a server again');
    await server.start();
    expect(await resumes(server, page)).toBe(true);
  });

  it('leaves one server of two that would take over at once, and nobody is lost', async () => {
    const server = await runningServer();
    const page = await visit(server);
    const { before, run: one } = server.spawnBeside(TAKEOVER);
    const { run: other } = server.spawnBeside(TAKEOVER);
    await until('the first has ended', () => before.exit);
    expect(before.exit).toEqual(CLEAN);
    // Refused while the first handed over, or taken over from by the other: one of them has to go.
    await until('one of them has ended', () => one.exit ?? other.exit);
    if (other.exit !== undefined) await server.fallBack(one);
    await server.ready();
    expect([one.exit, other.exit].filter((exit) => exit === undefined)).toHaveLength(1);
    expect(await resumes(server, page)).toBe(true);
  });

  it('is told how it is called', async () => {
    const server = await prepareServer();
    server.spawn(['serve', '--take-over']);
    expect(await server.exited()).toEqual({ code: 2, signal: null });
    expect(server.run.stderr).toContain('--takeover');
  });
});

/** Of a page that was served over HTTP so far. */
const noCertificate = () => ({
  TLS_CERT: join(root.path, 'missing.pem'),
  TLS_KEY: join(root.path, 'missing.pem'),
});

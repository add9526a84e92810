import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { CLOSE_CODE } from '../../src/signaling/protocol.ts';
import { prepareBroadcast, sharedBrowser } from '../support/fixture.ts';
import { ServerProcess } from '../support/process.ts';
import { expectMedia } from '../support/survival.ts';
import { testDirectory } from '../support/test-directory.ts';
import type { TestPage } from '../support/test-page.ts';
import { WsClient } from '../support/ws-client.ts';

/** As `openssl rand` makes them: a plus in a link is a plus. */
const PUBLISH = 'pu+lish/publish+publish==';
const VIEW = 'view-view-view-view-view';

const browser = sharedBrowser();
const directory = testDirectory();

async function enter(page: TestPage, token: string): Promise<void> {
  await page.driver.evaluate((text: string) => {
    const input = document.querySelector<HTMLInputElement>('#token')!;
    if (!input.checkVisibility()) throw new Error('no token is asked for');
    input.value = text;
  }, token);
  await page.click(/^enter$/);
}

describe('a server that asks for tokens', { timeout: 300_000 }, () => {
  it('is opened by a link or by hand, goes on over a kill, and writes no token down', async () => {
    const running = await prepareBroadcast({
      browser: browser(),
      env: { PUBLISH_TOKEN: PUBLISH, VIEW_TOKEN: VIEW },
    });
    const open = (fragment: string, name: string) =>
      browser().openPage(`${running.tcp.url}${fragment}`, name);

    const viewer = await open('', 'who has no token yet');
    const locked = await viewer.waitForFacts('is asked for a token', ({ state }) => state === 'locked');
    expect([locked.error, locked.role]).toEqual(['token-required', '']);
    await enter(viewer, 'not the right one');
    await viewer.waitForFacts('is told that it is wrong', ({ error }) => error === 'token-refused');
    await enter(viewer, VIEW);
    await viewer.waitForFacts('is in', ({ role }) => role === 'viewer');

    const broadcaster = await open(`#token=${PUBLISH}`, 'who has the link');
    running.setBroadcaster(broadcaster);
    await running.waitConnected(broadcaster, 'broadcaster');
    await expectMedia(viewer, Date.now());

    const { killedAtWall } = await running.server.restart(500);
    await expectMedia(viewer, killedAtWall + 500);
    for (const page of [viewer, broadcaster])
      await page.waitForFacts('has come back', ({ restarts, error }) => restarts === 1 && error === '');
    // The place becomes free, and it takes more than a token to watch to take it.
    await broadcaster.click(/stop/);
    await viewer.goLive();
    await viewer.waitForFacts('may not broadcast', ({ error }) => error === 'publish-forbidden');
    await enter(viewer, PUBLISH);
    await viewer.waitForFacts('is back', ({ state }) => state === 'waiting');
    await viewer.goLive();
    await viewer.waitForFacts('broadcasts', ({ role }) => role === 'broadcaster');

    const written = running.server.runs.map(({ stdout, stderr }) => stdout + stderr).join('');
    expect(written).toContain('"event":"session-resumed"');
    for (const token of [PUBLISH, VIEW])
      for (const form of [token, Buffer.from(token).toString('base64url')])
        expect(written).not.toContain(form);
    for (const page of [viewer, broadcaster]) {
      expect(await page.violations()).toEqual([]);
      // A server that is away is what the probes are for.
      expect(page.complaints.filter((one) => !one.startsWith('Failed to load resource'))).toEqual([]);
    }
  });
});

describe('a server that asks for signed tokens', { timeout: 300_000 }, () => {
  it('lets in who has one, says why to who has not, and keeps who is in when it has expired', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const file = join(directory.path, 'key.pem');
    writeFileSync(file, publicKey.export({ type: 'spki', format: 'pem' }));
    const server = await ServerProcess.start({ env: { AUTH_PUBLIC_KEY: file, AUTH_AUDIENCE: 'live' } });
    const sign = (aud: string, expiresIn: number): Promise<string> =>
      new SignJWT({ role: 'publish' })
        .setProtectedHeader({ alg: 'EdDSA' })
        .setAudience(aud)
        .setExpirationTime(Math.floor(Date.now() / 1_000) + expiresIn)
        .sign(privateKey);
    const clients: WsClient[] = [];
    const come = async (access: string | undefined, token?: string): Promise<WsClient> => {
      const client = await WsClient.connect(server.url, {
        ...(access === undefined ? {} : { access }),
        ...(token === undefined ? {} : { token }),
      });
      clients.push(client);
      if (token === undefined) client.say({ type: 'join', capabilities: { rekeyInPlace: true } });
      return client;
    };
    try {
      const good = await sign('live', 60);
      const { role, token } = await (await come(good)).hear('welcome');
      expect(role).toBe('broadcaster');
      expect(await (await come(undefined)).hear('error')).toMatchObject({ code: 'ACCESS_REQUIRED' });
      expect(await (await come(await sign('others', 60))).hear('error')).toMatchObject({
        code: 'ACCESS_REFUSED',
        message: expect.stringContaining('"aud"'),
      });
      const expired = await sign('live', -60);
      const late = await come(expired);
      expect(await late.hear('error')).toMatchObject({ code: 'ACCESS_EXPIRED' });
      expect(await late.closed()).toBe(CLOSE_CODE.locked);
      await server.restart(0);
      expect(await (await come(expired, token)).hear('welcome')).toMatchObject({
        resumed: true,
        role: 'broadcaster',
      });
      expect(server.runs.map(({ stdout, stderr }) => stdout + stderr).join('')).not.toContain(
        good.split('.')[2],
      );
    } finally {
      for (const client of clients) client.close();
      await server.dispose();
    }
  });
});

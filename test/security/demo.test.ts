import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import type { DemoAction } from '../../src/signaling/protocol.ts';
import { prepareServer } from '../support/fixture.ts';
import type { ServerProcess } from '../support/process.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';
import { WsClient } from '../support/ws-client.ts';

const root = testDirectory();
const PUBLISH_TOKEN = 'a-token-to-publish-with';
const STRANGER = { 'x-forwarded-for': '203.0.113.9' };
type Visitor = NonNullable<Parameters<typeof WsClient.connect>[1]>;

async function started(env: Readonly<Record<string, string>>): Promise<ServerProcess> {
  const server = await prepareServer({ env });
  await server.start();
  return server;
}

/** Somebody who has joined. */
async function joined(server: ServerProcess, visitor: Visitor): Promise<WsClient> {
  const page = await WsClient.connect(server.url, visitor);
  page.say({ type: 'join', capabilities: { rekeyInPlace: true } });
  await page.hear('welcome');
  return page;
}

/** Presses every button, without having been offered any. The server goes on as if nobody had spoken. */
async function expectDeaf(server: ServerProcess, visitor: Visitor): Promise<void> {
  const page = await joined(server, visitor);
  const starts = server.events('started').length;
  for (const action of ['kill', 'deploy', 'rotate'] satisfies DemoAction[])
    page.say({ type: 'demo', action });
  const refusals = () => page.messages.filter(({ type }) => type === 'error');
  await until('all are refused', () => refusals().length === 3);
  for (const refusal of refusals()) expect(refusal).toMatchObject({ code: 'MESSAGE_INVALID' });
  expect(page.messages.filter(({ type }) => type.startsWith('demo'))).toEqual([]);
  expect(page.closeCode).toBeUndefined();
  expect(server.events('demo-ordered')).toEqual([]);
  expect(server.events('started').length).toBe(starts);
  page.close();
}

async function expectObeyed(server: ServerProcess, visitor: Visitor): Promise<void> {
  const page = await joined(server, visitor);
  expect((await page.hear('demo')).actions).toEqual(['kill', 'deploy', 'rotate']);
  page.say({ type: 'demo', action: 'kill' });
  expect(await page.closed()).toBe(1006);
  await until('another one serves', () => server.events('started').length === 2);
}

describe('the buttons of a demonstration', { timeout: 120_000 }, () => {
  it('demo-strangers: are neither offered to a visitor from elsewhere nor work for one, also behind proxies and tunnels', async () => {
    const behindProxy = await started({ DEMO_CONTROLS: '1', TRUST_PROXY: '127.0.0.1' });
    await expectDeaf(behindProxy, { headers: STRANGER });
    await expectDeaf(behindProxy, { headers: { 'x-forwarded-for': '127.0.0.1, 203.0.113.9' } });
    // A proxy that does not say for whom it asks.
    await expectDeaf(behindProxy, {});
    await expectObeyed(behindProxy, { headers: { 'x-forwarded-for': '127.0.0.1' } });

    const unaware = await started({ DEMO_CONTROLS: '1', PUBLIC_ORIGIN: 'https://live.example.org' });
    await expectDeaf(unaware, { headers: STRANGER });
    await expectDeaf(unaware, { headers: { 'x-forwarded-for': '127.0.0.1' } });
    await expectDeaf(unaware, { headers: { host: 'live.example.org' }, origin: 'https://live.example.org' });
    // A proxy on this machine that says nothing of it, and asks for the name that it has for us: nginx, where nobody has set a header.
    await expectDeaf(unaware, { origin: 'https://live.example.org' });
    await expectDeaf(unaware, {});
    await expectObeyed(
      await started({ DEMO_CONTROLS: '1', PUBLIC_ORIGIN: 'http://demo.localhost:8080' }),
      {},
    );
  });

  it('demo-token: are for no visitor from elsewhere who may broadcast, unless by PUBLISH_TOKEN itself', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const keyFile = join(root.path, 'key.pem');
    writeFileSync(keyFile, publicKey.export({ type: 'spki', format: 'pem' }));
    const signed = await new SignJWT({ role: 'publish' })
      .setProtectedHeader({ alg: 'EdDSA' })
      .setAudience('rekeycast')
      .setExpirationTime('1h')
      .sign(privateKey);
    const server = await started({
      DEMO_CONTROLS: '1',
      TRUST_PROXY: '127.0.0.1',
      PUBLISH_TOKEN,
      AUTH_PUBLIC_KEY: keyFile,
    });
    await expectDeaf(server, { access: signed, headers: STRANGER });
    await expectObeyed(server, { access: PUBLISH_TOKEN, headers: STRANGER });
  });

  it("demo-unset: are nobody's without the setting", async () => {
    const server = await started({});
    await expectDeaf(server, {});
    // Nor where somebody sets the mark of a supervised server.
    await expectDeaf(await started({ REKEYCAST_SUPERVISED: '1' }), {});
  });

  it('demo-control: are those of a visitor on this machine', async () => {
    await expectObeyed(await started({ DEMO_CONTROLS: '1' }), {});
  });
});

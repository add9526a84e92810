import { describe, expect, it, onTestFinished } from 'vitest';
import { CLOSE_CODE } from '../../src/signaling/protocol.ts';
import { prepareServer } from '../support/fixture.ts';
import { LOOPBACK } from '../support/ports.ts';
import type { ServerProcess } from '../support/process.ts';
import { WsClient } from '../support/ws-client.ts';

const PUBLISH = 'Publish-publish-publish-1';
const VIEW = 'View-view-view-view-view-2';

async function started(env: Readonly<Record<string, string>>): Promise<ServerProcess> {
  const server = await prepareServer({ env });
  await server.start();
  return server;
}

/** Gives what a visitor becomes, or is told instead. */
async function comes(
  server: ServerProcess,
  options: NonNullable<Parameters<typeof WsClient.connect>[1]> = {},
): Promise<{ readonly page: WsClient; readonly told: string }> {
  const page = await WsClient.connect(server.url, options);
  onTestFinished(() => page.close());
  page.say({ type: 'join', capabilities: { rekeyInPlace: true } });
  const told = await Promise.race([
    page.hear('welcome').then(({ role }) => role),
    page.hear('error').then(({ code }) => code),
  ]);
  return { page, told };
}

/** One behind the other, each with this said of whom it comes for. */
async function allCome(server: ServerProcess, forwarded: readonly string[]): Promise<string[]> {
  const told: string[] = [];
  for (const value of forwarded)
    told.push((await comes(server, { headers: { 'X-Forwarded-For': value } })).told);
  return told;
}

describe('a server that counts visitors by their address', { timeout: 120_000 }, () => {
  const LIMIT = { MAX_SESSIONS_PER_ADDRESS: '1' };

  it('counts one who makes up addresses as one, and again when the page is back after kill -9', async () => {
    const server = await started(LIMIT);
    const headers = { 'X-Forwarded-For': '203.0.113.1' };
    const { page, told } = await comes(server, { headers });
    expect(told).toBe('broadcaster');
    const { token } = await page.hear('welcome');
    page.say({ type: 'confirm' });
    const lies = ['203.0.113.2', '203.0.113.3, 203.0.113.4', LOOPBACK];
    expect(await allCome(server, lies)).toEqual(Array(3).fill('TOO_MANY_VISITS'));
    await server.restart(0);
    const back = await WsClient.connect(server.url, { token, headers });
    onTestFinished(() => back.close());
    expect((await back.hear('welcome')).resumed).toBe(true);
    expect(await allCome(server, lies)).toEqual(Array(3).fill('TOO_MANY_VISITS'));
  });

  it('counts them apart whom a proxy names that it trusts, and believes nothing that stands before that', async () => {
    const server = await started({ ...LIMIT, TRUST_PROXY: LOOPBACK });
    const said = ['198.51.100.1', '198.51.100.2', '198.51.100.1', '203.0.113.9, 198.51.100.2'];
    expect(await allCome(server, said)).toEqual([
      'broadcaster',
      'viewer',
      'TOO_MANY_VISITS',
      'TOO_MANY_VISITS',
    ]);
  });

  it('believes a proxy of another address nothing', async () => {
    const server = await started({ ...LIMIT, TRUST_PROXY: '192.0.2.1' });
    expect(await allCome(server, ['198.51.100.1', '198.51.100.2'])).toEqual([
      'broadcaster',
      'TOO_MANY_VISITS',
    ]);
  });
});

describe('a server that is asked with wrong tokens', { timeout: 120_000 }, () => {
  it('lets in who has the right one and nobody else, says so in words, and shows none in its log', async () => {
    const server = await started({ PUBLISH_TOKEN: PUBLISH, VIEW_TOKEN: VIEW });
    const wrong = [PUBLISH, VIEW].flatMap((token) => [
      token.slice(0, -1),
      `${token}x`,
      `x${token.slice(1)}`,
      token.toLowerCase(),
      `${token} `,
    ]);
    for (const access of [...wrong, `${PUBLISH}${VIEW}`]) {
      const { page, told } = await comes(server, { access });
      expect([access, told]).toEqual([access, 'ACCESS_REFUSED']);
      expect(await page.closed()).toBe(CLOSE_CODE.locked);
    }
    const { page: viewer, told } = await comes(server, { access: VIEW });
    expect(told).toBe('viewer');
    viewer.say({ type: 'publish' });
    expect((await viewer.hear('error')).code).toBe('PUBLISH_FORBIDDEN');
    expect((await comes(server, { access: PUBLISH })).told).toBe('broadcaster');
    // Who was let in comes back with it, and with a wrong one not even that helps that the session is theirs.
    const { token } = await viewer.hear('welcome');
    viewer.say({ type: 'confirm' });
    await server.restart(0);
    const refused = await WsClient.connect(server.url, { token, access: `${VIEW}x` });
    onTestFinished(() => refused.close());
    expect((await refused.hear('error')).code).toBe('ACCESS_REFUSED');
    const back = await WsClient.connect(server.url, { token, access: VIEW });
    onTestFinished(() => back.close());
    expect(await back.hear('welcome')).toMatchObject({ resumed: true, role: 'viewer' });
    const written = server.runs.map(({ stdout, stderr }) => stdout + stderr).join('');
    for (const access of [PUBLISH, VIEW, ...wrong]) expect(written).not.toContain(access);
  });
});

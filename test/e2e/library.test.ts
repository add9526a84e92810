import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseRtp } from '../../src/rtp/packet.ts';
import { findNonceReuse } from '../support/capture.ts';
import { prepareServer, sharedBrowser } from '../support/fixture.ts';
import { libdatachannel } from '../support/foreign-stacks.ts';
import { memoryStore } from '../support/memory-store.ts';
import { freePort, LOOPBACK } from '../support/ports.ts';
import { ROOT, type ServerProcess } from '../support/process.ts';
import { UdpRelay } from '../support/relay.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';

type Library = typeof import('../../src/index.ts');

const library = (await import(pathToFileURL(join(ROOT, 'dist/index.js')).href)) as Library;
const CLOCK = [process.execPath, join(ROOT, 'examples/clock/server.mjs')];
const browser = sharedBrowser();

/** The example, with a relay in front that keeps what passes. */
async function startClock(): Promise<{ server: ServerProcess; udp: UdpRelay }> {
  const udpPort = await freePort();
  const udp = await UdpRelay.start({ serverPort: udpPort, address: LOOPBACK, delayMs: 0, record: true });
  onTestFinished(() => udp.close());
  const server = await prepareServer({ command: CLOCK, udpPort, announcedPort: udp.port });
  await server.start();
  return { server, udp };
}

describe('the example of a small server', { timeout: 300_000 }, () => {
  it('keeps a page over kill -9: the same connection, new keys, no nonce twice', async () => {
    const { server, udp } = await startClock();
    const page = await browser().openPage(server.url, 'viewer');
    await page.waitPlaying(0);
    const { run } = await server.restart(300);
    // Before the page is back: on the keys of the process before.
    expect(server.events('started').at(-1)?.fields).toMatchObject({ sessions: 1, contexts: 1 });
    const words = () => page.driver.evaluate(() => document.body.innerText, undefined);
    await until('the page has new keys', async () => (await words()).includes('key epoch 1'));
    await until('the server has new keys', () =>
      server.events('keyed').some(({ fields }) => fields.epoch === 1),
    );
    await page.waitPlaying(Date.now());
    expect(server.events('stale-keys-destroyed').map(({ fields }) => fields.by)).toContain('answer');
    expect((await page.connections()).map(({ connection }) => connection)).toEqual(['connected']);
    const frames = await page.frames();
    expect(frames.some((at) => at > run.spawnedAtWall)).toBe(true);

    const { reuses, keys } = findNonceReuse(udp.capture, () => 'viewer');
    expect(reuses).toEqual([]);
    expect(keys).toBeGreaterThanOrEqual(2);
  });

  it('goes on to another stack, on the old keys and on a new connection', async () => {
    const { server } = await startClock();
    const say = async (path: string, body: object) => {
      const response = await fetch(`${server.url}${path}`, { method: 'POST', body: JSON.stringify(body) });
      if (!response.ok) throw new Error(await response.text());
      return (await response.json()) as { token: string; sdp: string };
    };
    const join = async (numbers: number[]) => {
      const peer = libdatachannel('viewer', (bytes) => {
        const packet = parseRtp(bytes);
        if (packet?.payloadType === 96) numbers.push(packet.sequenceNumber);
      });
      onTestFinished(() => peer.close());
      const { token, sdp } = await say('offer', {});
      await say('answer', { token, sdp: await peer.answer(sdp) });
    };
    const first: number[] = [];
    await join(first);
    await until('packets arrive', () => first.length > 5);
    await server.kill('SIGKILL');
    const before = first.length;
    await server.start();
    await until('packets arrive on the old keys', () => first.length > before + 5);
    expect(new Set(first).size).toBe(first.length);
    const second: number[] = [];
    await join(second);
    await until('packets arrive on a new connection', () => second.length > 5);
  });

  it('takes no token that it has not given', async () => {
    const { server } = await startClock();
    const response = await fetch(`${server.url}answer`, {
      method: 'POST',
      body: JSON.stringify({ token: 'A'.repeat(43), sdp: 'v=0' }),
    });
    expect(response.status).toBe(400);
  });
});

describe('the library', { timeout: 300_000 }, () => {
  const directory = testDirectory();
  const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const configOf = (name: string) =>
    library.readConfig({
      HOST: LOOPBACK,
      PORT: '0',
      RESUME: 'strict',
      STATE_DIR: join(directory.path, name, 'state'),
      KEYS_DIR: join(directory.path, name, 'keys'),
      RUNTIME_DIR: join(directory.path, name, 'runtime'),
    });

  it('runs two servers in one process, which end one by one', async () => {
    const [one, other] = await Promise.all(
      ['one', 'other'].map((name) => library.startServer(configOf(name), quiet)),
    );
    const ready = async (port: number) => (await fetch(`http://${LOOPBACK}:${port}/readyz`)).status;
    expect([await ready(one!.port), await ready(other!.port)]).toEqual([200, 200]);
    await one!.shutdown();
    await expect(ready(one!.port)).rejects.toThrow();
    expect(await ready(other!.port)).toBe(200);
    await other!.shutdown();
  });

  it('refuses a second server on the same directories, in the same process', async () => {
    const first = await library.startServer(configOf('same'), quiet);
    onTestFinished(() => first.shutdown());
    const second = library.startServer(configOf('same'), quiet);
    await expect(second).rejects.toMatchObject({ name: 'RekeycastError', code: 'STATE_IN_USE' });
    await expect(second).rejects.toBeInstanceOf(library.RekeycastError);
  });

  it('takes keys from where it is told, and opens nothing with others', async () => {
    const config = configOf('keys');
    const key = (seed: number) =>
      library.Secret.take(Uint8Array.from({ length: 32 }, (_, i) => i * 7 + seed));
    const start = (seed: number) => {
      const keySource = library.fetchedKeys('a vault', async () => key(seed));
      return library.startServer(config, quiet, { keySource });
    };
    await (await start(1)).shutdown();
    expect(existsSync(config.keysDir)).toBe(false);
    await expect(start(2)).rejects.toMatchObject({ code: 'KEY_MISSING' });
    await (await start(1)).shutdown();
  });

  it('has workers where it keeps files, and refuses them where others keep what survives', async () => {
    const config = { ...configOf('workers'), workers: 1 };
    const server = await library.startServer(config, quiet);
    await server.shutdown();
    expect(existsSync(join(config.stateDir, 'worker-1', 'identity.sealed'))).toBe(true);
    const { store } = memoryStore();
    const refused = library.startServer(config, quiet, { store });
    await expect(refused).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('keeps what survives where it is told: nothing of it is in a file', async () => {
    const { store, kept } = memoryStore();
    const config = configOf('own');
    const server = await library.startServer(config, quiet, { store });
    await server.shutdown();
    const snapshots = await library.openSnapshots(config, quiet, { store });
    onTestFinished(() => snapshots.close());
    expect(snapshots.identity?.certificate.certificate).toEqual(kept[0]?.certificate.certificate);
    const files = await library.openSnapshots(configOf('files'), quiet);
    onTestFinished(() => files.close());
    expect(files.identity).toBeUndefined();
  });
});

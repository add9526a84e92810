import { once } from 'node:events';
import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { ChromiumBrowser } from '../support/chromium.ts';
import { LOOPBACK } from '../support/ports.ts';
import { ServerProcess } from '../support/process.ts';
import { expectMedia } from '../support/survival.ts';
import { testDirectory } from '../support/test-directory.ts';
import { certificatePair, type PemPair } from '../support/tls.ts';
import { until } from '../support/wait.ts';

const directory = testDirectory();

/** Puts a pair where the server looks, in one step, as Kubernetes does. */
async function turn(version: string, pair: PemPair): Promise<void> {
  await mkdir(join(directory.path, version));
  writeFileSync(join(directory.path, version, 'tls.crt'), pair.cert);
  writeFileSync(join(directory.path, version, 'tls.key'), pair.key);
  symlinkSync(version, join(directory.path, 'new'));
  renameSync(join(directory.path, 'new'), join(directory.path, 'current'));
}

/** Whether the server shows this certificate. */
async function shows(port: number, pair: PemPair): Promise<boolean> {
  const socket = connect({ host: LOOPBACK, port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { raw } = socket.getPeerCertificate();
  socket.destroy();
  return pair.cert.replace(/\s/g, '').includes(raw.toString('base64'));
}

describe('HTTPS', { timeout: 300_000 }, () => {
  it('brings camera and picture to Chromium, and goes on over a renewal and a kill', async () => {
    const [first, second, third] = [certificatePair(), certificatePair('ec'), certificatePair()];
    await turn('1', first);
    const server = await ServerProcess.prepare({
      env: {
        TLS_CERT: join(directory.path, 'current', 'tls.crt'),
        TLS_KEY: join(directory.path, 'current', 'tls.key'),
      },
    });
    const browser = await ChromiumBrowser.launch({ anyCertificate: true });
    try {
      server.spawn();
      await until('it listens', () => server.run.stdout.includes('Open https://'));
      const url = `https://${LOOPBACK}:${server.port}/`;
      const broadcaster = await browser.openPage(url, 'broadcaster');
      await broadcaster.waitForFacts(
        'broadcasts',
        ({ role, state }) => role === 'broadcaster' && state === 'live',
      );
      const viewer = await browser.openPage(url, 'viewer');
      await expectMedia(viewer, Date.now());
      expect(await viewer.violations()).toEqual([]);
      expect(await shows(server.port, first)).toBe(true);

      await turn('2', second);
      await until('the new certificate is shown', () => shows(server.port, second));
      await until('it was said once', () => server.events('tls-renewed').length === 1);
      expect((await viewer.facts()).state).toBe('live');
      // Two that do not belong together.
      await turn('3', { cert: third.cert, key: second.key });
      await until('it says so', () => server.events('tls-refused').length === 1);
      expect(String(server.events('tls-refused')[0]!.fields.problem)).toContain('another certificate');
      expect(await shows(server.port, second)).toBe(true);

      await turn('4', third);
      await server.kill();
      server.spawn();
      await viewer.waitForFacts('has come back', ({ restarts }) => restarts === 1);
      expect(await shows(server.port, third)).toBe(true);
      await expectMedia(viewer, Date.now());
    } finally {
      await browser.close();
      await server.dispose();
    }
  });

  it('is refused in words, before anything else is touched, where certificate and key do not belong together', async () => {
    await turn('1', { cert: certificatePair().cert, key: certificatePair().key });
    const files = {
      cert: join(directory.path, 'current', 'tls.crt'),
      key: join(directory.path, 'current', 'tls.key'),
    };
    const server = await ServerProcess.prepare({ env: { TLS_CERT: files.cert, TLS_KEY: files.key } });
    try {
      const run = server.spawn();
      expect((await server.exited()).code).toBe(1);
      expect(run.stderr).toBe(
        `rekeycast: TLS_CERT is "${files.cert}" and TLS_KEY "${files.key}": the key is of another certificate [CONFIG_INVALID]\n`,
      );
    } finally {
      await server.dispose();
    }
  });
});

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { Broadcast } from '../support/broadcast.ts';
import { sharedBrowser, startBroadcast } from '../support/fixture.ts';
import { BUILT_SERVER } from '../support/process.ts';
import { Strain } from '../support/strain.ts';
import { expectMedia, standing } from '../support/survival.ts';
import { until } from '../support/wait.ts';

const run = promisify(execFile);
const browser = sharedBrowser();

describe('another certificate in real browsers', { timeout: 300_000 }, () => {
  it('takes the place of the first while everybody watches on, and stays after kill -9', async () => {
    const running = await startBroadcast({ browser: browser(), record: true });
    const strain = await Strain.begin(running);
    const former = await Promise.all(running.pages.map(async (page) => (await standing(page)).facts));
    const { sha256, before } = await rotate(running);
    for (const [i, page] of running.pages.entries()) {
      expect(former[i]!.certificateSha256).toBe(before);
      await page.waitForFacts('has the new one', (facts) => facts.certificateSha256 === sha256);
    }
    for (const viewer of running.viewers) await expectMedia(viewer, Date.now());
    await running.server.restart(300);
    await expectCertificate(running, sha256, 2, strain);
    expect((await running.nonceReport()).reuses).toEqual([]);
    const isStrained = await strain.strained();
    await running.server.kill('SIGTERM');
    const lines = (await readFile(join(running.server.directories.state, 'audit.log'), 'utf8')).split('\n');
    const audited = (part: string): number => lines.filter((line) => line.includes(part)).length;
    expect(audited('"event":"certificate-replaced"')).toBe(1);
    // Who had to try again has had more keys.
    if (isStrained) return;
    expect(audited('"reason":"certificate","way":"replacement"')).toBe(running.pages.length);
    expect(audited('"event":"session-resumed"')).toBe(running.pages.length);
    expect(audited('"reason":"resume","way":"rekey"')).toBe(running.pages.length);
    expect(audited('"event":"keyed"')).toBe(3 * running.pages.length);
    expect(audited('"event":"stale-keys-destroyed"')).toBe(2 * running.pages.length);
  });

  it('that was made while the server was stopped is taken in place, on the same connection', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const strain = await Strain.begin(running);
    await running.server.kill('SIGTERM');
    // Until it is certain that nobody runs, it is refused.
    const { sha256 } = await until('the certificate can be replaced', () => rotate(running));
    await running.server.start();
    await expectCertificate(running, sha256, 1, strain);
  });
});

async function expectCertificate(
  running: Broadcast,
  sha256: string,
  connections: number,
  strain: Strain,
): Promise<void> {
  for (const page of running.pages) {
    await page.waitForFacts(
      'has keys of the next process under this certificate',
      (facts) => facts.restarts === 1 && facts.state === 'live' && facts.certificateSha256 === sha256,
    );
    expect(await page.facts()).toMatchObject({
      error: '',
      connections: (await strain.strained()) ? expect.any(Number) : connections,
    });
  }
  for (const viewer of running.viewers) await expectMedia(viewer, Date.now());
}

async function rotate({ server }: Broadcast): Promise<{ readonly sha256: string; readonly before: string }> {
  const { state: STATE_DIR, keys: KEYS_DIR, runtime: RUNTIME_DIR } = server.directories;
  const env = { ...process.env, STATE_DIR, KEYS_DIR, RUNTIME_DIR };
  const { stdout } = await run(process.execPath, [BUILT_SERVER, 'certificate', 'rotate', '--json'], { env });
  return JSON.parse(stdout) as { sha256: string; before: string };
}

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitConnected } from '../support/broadcast.ts';
import { ChromiumBrowser } from '../support/chromium.ts';
import { FirefoxBrowser } from '../support/firefox.ts';
import { prepareBroadcast, startBroadcast } from '../support/fixture.ts';
import { hostAddress } from '../support/ports.ts';
import { expectMedia, expectSurvival, standing } from '../support/survival.ts';
import type { TestPage } from '../support/test-page.ts';

const REPLACEMENT_TIMEOUT_MS = 45_000;

let chromium: ChromiumBrowser;
let firefox: FirefoxBrowser;
beforeAll(async () => {
  chromium = await ChromiumBrowser.launch();
  firefox = await FirefoxBrowser.launch();
}, 60_000);
afterAll(async () => {
  await firefox?.close();
  await chromium?.close();
});

describe('Firefox, which cannot take new keys on the same connection', { timeout: 120_000 }, () => {
  it('watches a Chromium broadcaster and goes on after kill -9 on a replacement connection', async () => {
    const running = await startBroadcast({ browser: chromium, viewers: 1, address: hostAddress() });
    const viewer = await running.open('Firefox viewer', firefox);
    await running.waitConnected(viewer, 'viewer');
    await expectMedia(viewer, Date.now());
    const before = await standing(viewer);
    await expectSurvival(running, () => running.server.restart(1_000));
    await expectReplaced(viewer, before.facts.epoch);
    await expectMedia(viewer, Date.now());
  });

  it('broadcasts to a Chromium viewer and goes on after kill -9 on a replacement connection', async () => {
    const running = await prepareBroadcast({ browser: chromium, address: hostAddress() });
    const broadcaster = await running.open('Firefox broadcaster', firefox);
    running.setBroadcaster(broadcaster);
    await running.waitConnected(broadcaster, 'broadcaster');
    const viewer = await running.openViewer('Chromium viewer');
    await expectMedia(viewer, Date.now());
    const before = await standing(broadcaster);
    const watched = await standing(viewer);
    await running.server.restart(1_000);
    await expectReplaced(broadcaster, before.facts.epoch);
    await viewer.waitForFacts('has new keys', (facts) => facts.epoch > watched.facts.epoch);
    await expectMedia(viewer, Date.now());
    expect(await viewer.facts()).toMatchObject({ connections: 1, certificate: 'same' });
  });
});

/** New keys came with a second connection; the first is closed. */
async function expectReplaced(page: TestPage, epochBefore: number): Promise<void> {
  await page.waitForFacts(
    'has new keys on another connection',
    (facts) => facts.epoch > epochBefore && facts.connections > 1,
    REPLACEMENT_TIMEOUT_MS,
  );
  await waitConnected(page, REPLACEMENT_TIMEOUT_MS);
  await page.waitForFacts('is content', (facts) => facts.error === '');
}

import { describe, expect, it } from 'vitest';
import type { Broadcast } from '../../support/broadcast.ts';
import { ThriftyChromium } from '../../support/chromium.ts';
import { prepareBroadcast, shared, sharedBrowser, sharedFirefox } from '../../support/fixture.ts';
import { hostAddress } from '../../support/ports.ts';
import { smallCamera } from '../../support/small-camera.ts';
import { expectMedia } from '../../support/survival.ts';
import type { TestPage } from '../../support/test-page.ts';
import { elapse } from '../../support/wait.ts';

const TIMEOUT_MS = 240_000;
/** Longer than consent lasts (RFC 7675 §5.1: 30 s). */
const ASLEEP_MS = 40_000;
const HIDDEN_MS = 20_000;

declare global {
  interface Window {
    /** The tab in front of this one. */
    cover: Window | null;
  }
}

const chromium = sharedBrowser();
const thrifty = shared(() => ThriftyChromium.launch());
const firefox = sharedFirefox();

describe('Chromium and Firefox that watch', { timeout: TIMEOUT_MS }, () => {
  it('keep their place in a tab behind another one, take new keys there, and play when they are looked at', async () => {
    const broadcast = await watched();
    const { viewers } = broadcast;
    for (const viewer of viewers) await cover(viewer);
    const before = await Promise.all(viewers.map((viewer) => viewer.facts()));
    await elapse(HIDDEN_MS / 2);
    await broadcast.onFile();
    await broadcast.server.restart(1_000);
    for (const [i, viewer] of viewers.entries())
      await viewer.waitForFacts('has new keys', ({ epoch }) => epoch > before[i]!.epoch, 60_000);
    await elapse(HIDDEN_MS / 2);
    const at = Date.now();
    for (const viewer of viewers) {
      expect(await viewer.driver.evaluate(() => document.visibilityState, undefined)).toBe('hidden');
      await viewer.driver.evaluate(() => window.cover?.close(), undefined);
    }
    for (const viewer of viewers) {
      await expectMedia(viewer, at);
      await viewer.waitForFacts('is content', ({ state, error }) => state === 'live' && error === '');
    }
  });

  it('come back by themselves when the computer was asleep for longer than consent lasts', async () => {
    const { viewers } = await watched();
    const browsers = [thrifty(), firefox()];
    try {
      for (const browser of browsers) browser.sleep();
      await elapse(ASLEEP_MS);
    } finally {
      for (const browser of browsers) browser.wake();
    }
    const at = Date.now();
    for (const viewer of viewers) {
      await expectMedia(viewer, at);
      await viewer.waitForFacts('is content', ({ state, error }) => state === 'live' && error === '');
    }
  });
});

async function watched(): Promise<Broadcast> {
  const broadcast = await prepareBroadcast({
    browser: chromium(),
    address: hostAddress(),
    prepare: smallCamera,
  });
  await broadcast.openBroadcaster();
  await broadcast.openViewer('Chromium viewer', thrifty());
  await broadcast.openViewer('Firefox viewer', firefox());
  return broadcast;
}

/** Opens another tab in front of the page. */
async function cover(page: TestPage): Promise<void> {
  await page.driver.evaluate(() => {
    window.cover = window.open('about:blank');
  }, undefined);
}

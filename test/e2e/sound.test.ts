import { expect, it } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { prepareBroadcast, sharedBrowser, sharedFirefox } from '../support/fixture.ts';
import { hostAddress } from '../support/ports.ts';
import { screenFlaws, watchScreen } from '../support/screen.ts';
import { smallCamera } from '../support/small-camera.ts';
import { expectHandover, expectMedia } from '../support/survival.ts';
import type { TestPage } from '../support/test-page.ts';
import { until } from '../support/wait.ts';

const TIMEOUT_MS = 180_000;

/** How loud the two videos are, the one in front first; 0 where muted. */
type Loudness = readonly [front: number, back: number];

declare global {
  interface Window {
    /** At each change of the video in front. */
    loudness: Loudness[];
  }
}

const chromium = sharedBrowser();
const firefox = sharedFirefox();

/** Runs in the page. */
function listen(): void {
  const loudnessOf = (one: HTMLVideoElement): number => (one.muted ? 0 : one.volume);
  window.loudness = [];
  const videos = [...document.querySelectorAll<HTMLVideoElement>('#video-a, #video-b')];
  let front = document.querySelector('video.front');
  new MutationObserver(() => {
    const now = videos.filter((one) => one.classList.contains('front'));
    const [first] = now;
    if (now.length !== 1 || first === undefined || first === front) return;
    front = first;
    const back = videos.find((one) => one !== first);
    window.loudness.push([loudnessOf(first), back === undefined ? 0 : loudnessOf(back)]);
  }).observe(document.getElementById('stage')!, { subtree: true, attributeFilter: ['class'] });
}

const loudestIs = (page: TestPage): Promise<boolean> =>
  page.driver.evaluate(() => {
    const sounding = [...document.querySelectorAll('video')].filter((one) => !one.muted && one.volume > 0);
    return sounding.length === 1 && sounding[0]!.classList.contains('front') && sounding[0]!.volume === 1;
  }, undefined);

it('ordered keys are not heard or seen in Chromium nor Firefox: the old sound plays until it is faded into the new one', {
  timeout: TIMEOUT_MS,
}, async () => {
  const running = await prepareBroadcast({
    browser: chromium(),
    address: hostAddress(),
    prepare: smallCamera,
  });
  await running.openBroadcaster();
  const viewers = [
    await running.openViewer('Chromium viewer', chromium()),
    await running.openViewer('Firefox viewer', firefox()),
  ];
  for (const viewer of viewers) {
    await viewer.click(/^unmute$/);
    await until(`${viewer.name} is heard`, () => loudestIs(viewer));
    await viewer.driver.evaluate(listen, undefined);
    await watchScreen(viewer);
  }
  const earlier = await Promise.all(viewers.map(async (viewer) => (await viewer.signals()).length));
  await askServer(running.server.adminSocket, { command: 'rekey' });
  for (const [i, viewer] of viewers.entries()) {
    await expectHandover(viewer, earlier[i]!);
    await expectMedia(viewer, Date.now());
    await until(`${viewer.name} is heard from the new connection alone`, () => loudestIs(viewer));
    const changes = await viewer.driver.evaluate(() => window.loudness, undefined);
    expect(changes.length).toBeGreaterThan(0);
    // The old sound is still there when the picture changes; the new one comes from silence.
    for (const [front, back] of changes) {
      expect(front).toBeLessThan(1);
      expect(back).toBeGreaterThan(0);
    }
    expect(await screenFlaws(viewer)).toEqual([]);
  }
});

import { describe, expect, it } from 'vitest';
import type { Broadcast } from '../support/broadcast.ts';
import { prepareBroadcast, sharedBrowser, sharedFirefox, startBroadcast } from '../support/fixture.ts';
import { hostAddress } from '../support/ports.ts';
import { smallCamera } from '../support/small-camera.ts';
import type { TestPage } from '../support/test-page.ts';
import { until } from '../support/wait.ts';

const browser = sharedBrowser();

/** As F5 does. */
const reload = (page: TestPage, { tcp }: Broadcast): Promise<unknown> => page.driver.goto(tcp.url);

/** Only who has kept its session counts its epochs on. */
async function expectBack(page: TestPage, role: string, epoch: number): Promise<void> {
  await page.waitForFacts(
    'is back in its place',
    (facts) => facts.role === role && facts.state === 'live' && facts.epoch > epoch,
    30_000,
  );
  await page.waitPlaying(0, 30_000);
  expect(page.complaints).toEqual([]);
}

const stored = (page: TestPage): Promise<number> =>
  page.driver.evaluate(() => sessionStorage.length, undefined);

describe('a page that is loaded again', { timeout: 120_000 }, () => {
  it('is the same viewer with other keys, each time, and has left nothing in the storage', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const viewer = running.viewers[0]!;
    for (let times = 0; times < 3; times++) {
      const { epoch } = await viewer.facts();
      await reload(viewer, running);
      await expectBack(viewer, 'viewer', epoch);
      expect(await stored(viewer)).toBe(0);
    }
    expect((await running.broadcaster.facts()).viewers).toBe(1);
  });

  it('is the same broadcaster, with its camera on, and the others watch on', async () => {
    const running = await startBroadcast({ browser: browser() });
    const { broadcaster, viewers } = running;
    const { epoch } = await broadcaster.facts();
    await reload(broadcaster, running);
    await expectBack(broadcaster, 'broadcaster', epoch);
    const back = Date.now();
    for (const viewer of viewers) {
      await viewer.waitPlaying(back, 30_000);
      expect(await viewer.facts()).toMatchObject({ role: 'viewer', state: 'live', connections: 1, epoch: 0 });
    }
  });

  it('is as silent a broadcaster as before', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const { broadcaster } = running;
    const { epoch } = await broadcaster.facts();
    await broadcaster.click(/^Mute microphone/, 30_000);
    await reload(broadcaster, running);
    await expectBack(broadcaster, 'broadcaster', epoch);
    expect(await stored(broadcaster)).toBe(0);
    await broadcaster.click(/^Unmute microphone/, 30_000);
  });

  it.each(['viewer', 'broadcaster'])('while the server is killed keeps the place of a %s', async (role) => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const page = role === 'viewer' ? running.viewers[0]! : running.broadcaster;
    const { epoch } = await page.facts();
    await page.driver.goto('about:blank');
    await running.server.restart(300);
    await reload(page, running);
    await expectBack(page, role, epoch);
    await running.viewers[0]!.waitPlaying(Date.now(), 30_000);
  });

  it('after it was away for long is another visit, and its place was free', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const viewer = running.viewers[0]!;
    await reload(viewer, running);
    await expectBack(viewer, 'viewer', 0);
    await viewer.driver.goto('about:blank');
    await until('its session is over', async () => running.server.events('session-closed').length > 0);
    await reload(viewer, running);
    await viewer.waitForFacts(
      'has joined anew',
      ({ state, epoch }) => state === 'live' && epoch === 0,
      30_000,
    );
  });

  it('is not its own duplicate: two tabs are two visits', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const viewer = running.viewers[0]!;
    const { epoch } = await viewer.facts();
    await reload(viewer, running);
    await expectBack(viewer, 'viewer', epoch);
    // The browser gives a tab that a page opens a copy of its storage.
    await viewer.driver.evaluate(() => void window.open(location.href), undefined);
    await running.broadcaster.waitForFacts('has two viewers', ({ viewers }) => viewers === 2, 30_000);
    const before = Date.now();
    await viewer.waitPlaying(before, 30_000);
    expect(await viewer.facts()).toMatchObject({ state: 'live', role: 'viewer', error: '' });
  });
});

describe('a page that is loaded again in Firefox', { timeout: 240_000 }, () => {
  const firefox = sharedFirefox();

  it('is in its place again, the broadcaster and a viewer, and the others watch on', async () => {
    const running = await prepareBroadcast({
      browser: browser(),
      address: hostAddress(),
      prepare: smallCamera,
    });
    const broadcaster = await running.openBroadcaster('broadcaster', firefox());
    const watching = await running.openViewer('Chromium viewer');
    const viewer = await running.openViewer('Firefox viewer', firefox());
    for (const [page, role] of [
      [viewer, 'viewer'],
      [broadcaster, 'broadcaster'],
    ] as const) {
      const { epoch } = await page.facts();
      await reload(page, running);
      await expectBack(page, role, epoch);
      await watching.waitPlaying();
    }
    await viewer.waitPlaying();
    await broadcaster.waitForFacts('has two viewers', ({ viewers }) => viewers === 2);
  });
});

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Broadcast } from '../support/broadcast.ts';
import { sharedBrowser, sharedFirefox, startBroadcast } from '../support/fixture.ts';
import { hostAddress } from '../support/ports.ts';
import { screenFlaws, watchScreen } from '../support/screen.ts';
import { smallCamera } from '../support/small-camera.ts';
import { Strain } from '../support/strain.ts';
import { expectSurvival } from '../support/survival.ts';

const OUTAGES_MS = [200, 1_000, 5_000, 15_000, 60_000];
const LAUNCH_TIMEOUT_MS = 240_000;

const chromium = sharedBrowser();
const firefox = sharedFirefox();

describe('Chromium and Firefox, each of which broadcasts to both', { timeout: 300_000 }, () => {
  const scenes: Broadcast[] = [];

  // Two servers at the same time: the minutes without one are waited once.
  beforeAll(async () => {
    for (const [name, browser] of Object.entries({ Chromium: chromium(), Firefox: firefox() })) {
      const scene = await Broadcast.prepare({
        browser: chromium(),
        address: hostAddress(),
        record: true,
        prepare: smallCamera,
      });
      scenes.push(scene);
      await scene.openBroadcaster(`${name} that broadcasts`, browser);
      await scene.openViewer(`Chromium that watches ${name}`, chromium());
      await scene.openViewer(`Firefox that watches ${name}`, firefox());
    }
    for (const page of scenes.flatMap(({ pages }) => pages)) await watchScreen(page);
  }, LAUNCH_TIMEOUT_MS);
  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail') return;
    for (const scene of scenes) console.error(await scene.describe());
  });
  afterAll(async () => {
    for (const scene of scenes) await scene.dispose();
  });

  it.each(OUTAGES_MS)(
    'go on after kill -9 and %i ms without a server, with the old picture until there is a new one',
    async (downMs) => {
      const ends = await Promise.allSettled(scenes.map((scene) => expectNothingSeen(scene, downMs)));
      expect(ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []))).toEqual([]);
    },
  );

  it('have never protected two packets alike', async () => {
    for (const scene of scenes) {
      const { reuses, keys } = await scene.nonceReport();
      expect(reuses).toEqual([]);
      // Media under the first keys and under each of the next ones, from the broadcaster and to each viewer.
      expect(keys).toBeGreaterThanOrEqual(scene.pages.length * (1 + OUTAGES_MS.length));
    }
  });
});

/** Everybody survives, and the screen of nobody shows that anything has happened but for a picture that stands still. */
async function expectNothingSeen(scene: Broadcast, downMs: number): Promise<void> {
  const strain = await Strain.begin(scene);
  await expectSurvival(
    scene,
    () => scene.server.restart(downMs),
    () => strain.strained(),
  );
  for (const page of scene.pages) {
    expect(await screenFlaws(page)).toEqual([]);
    await page.waitForFacts('is content', ({ error }) => error === '');
  }
}

describe('a broadcaster and two viewers', { timeout: 180_000 }, () => {
  it('go on after a planned stop, which ends the process cleanly', async () => {
    const running = await startBroadcast({ browser: chromium() });
    await expectSurvival(running, async () => {
      const { exit } = await running.server.kill('SIGTERM');
      expect(exit).toEqual({ code: 0, signal: null });
      await running.server.start();
    });
  });

  it('go on after ten restarts in a row', async () => {
    const running = await startBroadcast({ browser: chromium(), record: true });
    for (let i = 1; i <= 10; i++) {
      await expectSurvival(running, () => running.server.restart(200));
    }
    for (const page of running.pages)
      expect(await page.facts()).toMatchObject({ connections: 1, restarts: 10 });
    expect((await running.nonceReport()).reuses).toEqual([]);
  });
});

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Broadcast } from './broadcast.ts';
import { sharedBrowser, sharedFirefox } from './fixture.ts';
import { hostAddress } from './ports.ts';
import { screenFlaws, watchScreen } from './screen.ts';
import { smallCamera } from './small-camera.ts';
import { Strain } from './strain.ts';
import { expectSurvival } from './survival.ts';

const LAUNCH_TIMEOUT_MS = 240_000;

/** Tests of a kill and so many milliseconds without a server, one after the other, on the same pages. */
export function describeOutages(outagesMs: readonly number[]): void {
  describe('Chromium and Firefox, each of which broadcasts to both', { timeout: 300_000 }, () => {
    const chromium = sharedBrowser();
    const firefox = sharedFirefox();
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

    it.each(outagesMs)(
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
        expect(keys).toBeGreaterThanOrEqual(scene.pages.length * (1 + outagesMs.length));
      }
    });
  });
}

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

import { describe, expect, it } from 'vitest';
import { sharedBrowser, startBroadcast } from '../support/fixture.ts';
import { describeOutages } from '../support/outages.ts';
import { expectSurvival } from '../support/survival.ts';

describeOutages([200, 1_000, 5_000, 15_000]);

const chromium = sharedBrowser();

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

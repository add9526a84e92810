import { describe, expect, it } from 'vitest';
import { sharedBrowser, startBroadcast } from '../support/fixture.ts';
import { expectSurvival } from '../support/survival.ts';

const OUTAGES_MS = [200, 1_000, 5_000, 15_000, 60_000];

const browser = sharedBrowser();

describe('a broadcaster and two viewers', { timeout: 180_000 }, () => {
  it.each(OUTAGES_MS)(
    'go on with the same connections after kill -9 and %i ms without a server',
    async (downMs) => {
      const running = await startBroadcast({ browser: browser(), record: true });
      await expectSurvival(running, () => running.server.restart(downMs));
      for (const page of running.pages) {
        expect(await page.facts()).toMatchObject({ connections: 1, restarts: 1, error: '' });
      }
      const nonces = await running.nonceReport();
      expect(nonces.reuses).toEqual([]);
      // Media under the first keys and under the second ones, from the broadcaster and to each viewer; reports may not be due yet.
      expect(nonces.keys).toBeGreaterThanOrEqual(6);
    },
  );

  it('go on after a planned stop, which ends the process cleanly', async () => {
    const running = await startBroadcast({ browser: browser() });
    await expectSurvival(running, async () => {
      const { exit } = await running.server.kill('SIGTERM');
      expect(exit).toEqual({ code: 0, signal: null });
      await running.server.start();
    });
  });

  it('go on after ten restarts in a row', async () => {
    const running = await startBroadcast({ browser: browser(), record: true });
    for (let i = 1; i <= 10; i++) {
      await expectSurvival(running, () => running.server.restart(200));
    }
    for (const page of running.pages)
      expect(await page.facts()).toMatchObject({ connections: 1, restarts: 10 });
    expect((await running.nonceReport()).reuses).toEqual([]);
  });
});

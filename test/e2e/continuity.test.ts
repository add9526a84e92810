import { describe, expect, it } from 'vitest';
import { sharedBrowser, sharedFirefox, startBroadcast } from '../support/fixture.ts';
import { hostAddress } from '../support/ports.ts';
import { expectMedia, standing } from '../support/survival.ts';
import type { TestPage } from '../support/test-page.ts';
import { until } from '../support/wait.ts';

const BACK_TIMEOUT_MS = 60_000;
/** The probe puts two clocks together, and a busy machine may do something else between looking at the one and the other. */
const SLACK_MS = 250;

const chromium = sharedBrowser();
const firefox = sharedFirefox();

describe('the continuity panel', { timeout: 180_000 }, () => {
  it('of a Chromium and a Firefox viewer says of kill -9 what was seen from outside, and has the seal in both', async () => {
    const running = await startBroadcast({ browser: chromium(), viewers: 1, address: hostAddress() });
    running.viewers.push(await running.open('Firefox viewer', firefox()));
    const before = [];
    for (const viewer of running.viewers) {
      await running.waitConnected(viewer, 'viewer');
      await expectMedia(viewer, Date.now());
      const panel = await panelOf(viewer);
      before.push(await standing(viewer));
      // Where a slow machine has had a page ask for another connection, it has had second keys.
      if (before.at(-1)!.facts.epoch === 0)
        expect(panel).toMatchObject({ seal: 'not-yet', title: 'First keys' });
      expect(restartsOf(panel)).toEqual([]);
    }
    await running.onFile();
    const killedAt = Date.now();
    await running.server.kill('SIGKILL');
    for (const viewer of running.viewers)
      await viewer.waitForFacts('misses the server', ({ state }) => state === 'reconnecting');
    await running.server.start();
    for (const [i, viewer] of running.viewers.entries()) {
      const { facts, certificate } = before[i]!;
      await until(
        `${viewer.name} has a seal`,
        async () => {
          const panel = await panelOf(viewer);
          const row = restartsOf(panel)[0];
          return panel.seal === 'sealed' && row !== undefined && row.rekeyMs !== '';
        },
        BACK_TIMEOUT_MS,
      );
      const sealedAt = Date.now();
      await expectMedia(viewer, sealedAt);
      const panel = await panelOf(viewer);
      const { title, fingerprint, lastGapMs } = panel;
      const after = await viewer.facts();
      expect(title).toBe('Same server, new keys');
      expect(restartsOf(panel)).toHaveLength(1);
      const row = restartsOf(panel)[0]!;
      expect(Number(row.epochBefore)).toBeGreaterThanOrEqual(facts.epoch);
      expect(Number(row.epochAfter)).toBeGreaterThan(Number(row.epochBefore));
      expect(Number(row.epochAfter)).toBeLessThanOrEqual(after.epoch);
      if (after.connections === 1) expect(row.way).toBe('in-place');
      else if (facts.connections === 1 && i === 1) expect(row.way).toBe('second-connection');

      // What the browser itself says that it was shown, on both sides of the restart.
      expect(certificate).toMatch(/^30/);
      // A connection that is only being made has none yet.
      await until(
        `${viewer.name} is shown the same certificate`,
        async () => (await viewer.certificateDer()) === certificate,
        BACK_TIMEOUT_MS,
      );
      expect(after.certificateSha256).toBe(facts.certificateSha256);
      expect(fingerprint.replaceAll(':', '').toLowerCase()).toBe(facts.certificateSha256);

      // It cannot have missed the server for longer than the test did.
      expect(Number(row.downtimeMs)).toBeGreaterThan(0);
      expect(Number(row.downtimeMs)).toBeLessThanOrEqual(sealedAt - killedAt);
      expect(Number(row.rekeyMs)).toBeLessThanOrEqual(sealedAt - killedAt);
      // The picture stood as long as the probe has seen, and it is a gap between two frames that the probe has seen.
      const stood = Number(row.gapMs);
      if (row === panel.rows[0]) expect(stood).toBe(lastGapMs);
      expect(Number(row.beyondMs)).toBeLessThanOrEqual(stood);
      const back = (await viewer.signals()).find(
        ({ at, message }) => at > killedAt && message.type === 'welcome',
      );
      const seen = await viewer.longestGap(killedAt, back!.at);
      expect(stood).toBeGreaterThan(seen!.length - SLACK_MS);
      const gaps = (await viewer.frames()).map((at, frame, all) => at - (all[frame - 1] ?? at));
      expect(gaps.some((gap) => Math.abs(gap - stood) < SLACK_MS)).toBe(true);
      await expectPainted(viewer);
    }
  });
});

interface Panel {
  readonly seal: string;
  readonly title: string;
  readonly fingerprint: string;
  readonly lastGapMs: number;
  /** What each row says of itself, the newest first. */
  readonly rows: readonly Readonly<Record<string, string>>[];
}

const restartsOf = ({ rows }: Panel): Panel['rows'] => rows.filter(({ restarted }) => restarted === 'true');

function panelOf(page: TestPage): Promise<Panel> {
  return page.driver.evaluate(() => {
    const textOf = (id: string): string => document.getElementById(id)?.textContent ?? '';
    return {
      seal: document.getElementById('continuity')?.dataset.seal ?? '',
      title: textOf('continuity-seal-title'),
      fingerprint: textOf('continuity-whole'),
      lastGapMs: Number(document.getElementById('app')?.dataset.lastGapMs),
      rows: Array.from(
        document.querySelectorAll<HTMLTableRowElement>('#continuity-table tbody tr'),
        (row) => ({ ...row.dataset }) as Record<string, string>,
      ),
    };
  }, undefined);
}

/** Brings the timeline into view and waits until something is on it. */
async function expectPainted(page: TestPage): Promise<void> {
  const isPainted = (): Promise<boolean> =>
    page.driver.evaluate(() => {
      const canvas = document.getElementById('continuity-canvas') as HTMLCanvasElement;
      canvas.scrollIntoView();
      const copy = document.createElement('canvas');
      copy.width = canvas.width;
      copy.height = canvas.height;
      const context = copy.getContext('2d', { willReadFrequently: true });
      context?.drawImage(canvas, 0, 0);
      const pixels = context?.getImageData(0, 0, copy.width, copy.height).data ?? [];
      return pixels.some((value, i) => i % 4 === 3 && value > 0);
    }, undefined);
  await until(`${page.name} paints its timeline`, isPainted);
  expect(
    await page.driver.evaluate(() => document.getElementById('continuity-canvas')?.ariaLabel, undefined),
  ).toMatch(/The server was gone (once|\d+ times)\./);
}

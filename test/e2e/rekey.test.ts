import { describe, expect, it } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import type { Broadcast } from '../support/broadcast.ts';
import { sharedBrowser, startBroadcast } from '../support/fixture.ts';
import { expectHandover, expectMedia } from '../support/survival.ts';
import type { TestPage } from '../support/test-page.ts';

const INTERVAL_S = 10;

const browser = sharedBrowser();

describe('new keys while everything is well', { timeout: 300_000 }, () => {
  it('come at the interval, and the picture goes on', async () => {
    const running = await startBroadcast({
      browser: browser(),
      record: true,
      env: { REKEY_INTERVAL: `${INTERVAL_S}s` },
    });
    await expectSeamless(running, async () => undefined);
    await expectSeamless(running, async () => undefined);
    expect((await running.nonceReport()).reuses).toEqual([]);
  });

  it('come when the operator orders them, and the picture goes on', async () => {
    const running = await startBroadcast({ browser: browser(), record: true });
    for (let i = 0; i < 3; i++) {
      await expectSeamless(running, () => order(running));
    }
    expect((await running.nonceReport()).reuses).toEqual([]);
  });

  it('survive kill -9 right after the order', async () => {
    const running = await startBroadcast({ browser: browser(), record: true });
    const before = await Promise.all(running.pages.map((page) => page.facts()));
    await order(running);
    await running.server.restart(300);
    for (const [i, page] of running.pages.entries()) {
      await page.waitForFacts('has new keys', (facts) => facts.epoch > before[i]!.epoch);
    }
    for (const viewer of running.viewers) await expectMedia(viewer, Date.now());
    expect((await running.nonceReport()).reuses).toEqual([]);
  });
});

async function order(running: Broadcast): Promise<void> {
  const answer = await askServer(running.server.adminSocket, { command: 'rekey' });
  expect(answer).toMatchObject({ kind: 'answer', response: { ok: true } });
}

/** All pages get keys of a later epoch by a second connection, and leave the first only when the second plays. */
async function expectSeamless(running: Broadcast, cause: () => Promise<unknown>): Promise<void> {
  const before = await Promise.all(
    running.pages.map(async (page) => ({
      page,
      epoch: (await page.facts()).epoch,
      signals: (await page.signals()).length,
    })),
  );
  await cause();
  for (const { page, epoch } of before)
    await page.waitForFacts('has new keys', (facts) => facts.epoch > epoch);
  for (const { page, signals } of before) await expectSilentHandover(page, signals);
  for (const viewer of running.viewers) await expectMedia(viewer, Date.now());
}

/** The handover is in its order, with no complaint, and frames are shown all the while. */
async function expectSilentHandover(page: TestPage, earlier: number): Promise<void> {
  await expectHandover(page, earlier);
  const messages = (await page.signals()).slice(earlier);
  const of = (type: string) => messages.find(({ message }) => message.type === type);
  expect(of('stalled')).toBeUndefined();
  if ((await page.facts()).role !== 'viewer') return;
  const meanwhile = (await page.frames()).filter((at) => of('offer')!.at < at && at < of('close')!.at);
  expect(meanwhile, `frames of ${page.name} during the handover`).not.toEqual([]);
}

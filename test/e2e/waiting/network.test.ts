import { describe, expect, it } from 'vitest';
import type { Broadcast } from '../../support/broadcast.ts';
import { prepareBroadcast, sharedBrowser, sharedFirefox } from '../../support/fixture.ts';
import { hostAddress } from '../../support/ports.ts';
import { smallCamera } from '../../support/small-camera.ts';
import { expectMedia } from '../../support/survival.ts';
import type { TestPage } from '../../support/test-page.ts';
import { elapse } from '../../support/wait.ts';

const TIMEOUT_MS = 180_000;
/** Longer than consent lasts (RFC 7675 §5.1: 30 s). */
const LOST_MS = 40_000;

const chromium = sharedBrowser();
const firefox = sharedFirefox();

describe('Chromium and Firefox that watch', { timeout: TIMEOUT_MS }, () => {
  it('have their picture back by themselves when their address changes, with the WebSocket lost or not', async () => {
    const { broadcast, addresses } = await watched();
    for (const lost of [false, true]) {
      const pages = await Promise.all(broadcast.viewers.map(unloaded));
      const at = Date.now();
      for (const address of addresses()) broadcast.udp.rebind(address);
      if (lost) broadcast.tcp.cut();
      await Promise.all(pages.map((back) => back(at)));
    }
  });

  it('have their picture back by themselves when nothing gets through for longer than consent lasts', async () => {
    const { broadcast } = await watched();
    const pages = await Promise.all(broadcast.viewers.map(unloaded));
    broadcast.udp.onDatagram = () => false;
    broadcast.tcp.hold();
    await elapse(LOST_MS);
    broadcast.udp.onDatagram = undefined;
    broadcast.tcp.release();
    const at = Date.now();
    await Promise.all(pages.map((back) => back(at)));
  });
});

/** A broadcast to both browsers, and the addresses from which these get their media now. */
async function watched(): Promise<{ broadcast: Broadcast; addresses: () => readonly string[] }> {
  const broadcast = await prepareBroadcast({
    browser: chromium(),
    address: hostAddress(),
    prepare: smallCamera,
  });
  await broadcast.openBroadcaster();
  const ofBroadcaster = new Set(broadcast.udp.peers);
  await broadcast.openViewer('Chromium viewer', chromium());
  await broadcast.openViewer('Firefox viewer', firefox());
  return { broadcast, addresses: () => broadcast.udp.peers.filter((address) => !ofBroadcaster.has(address)) };
}

/** How the page stands. Expects later that it has its picture back, and that it is the same document in the same session. */
async function unloaded(page: TestPage): Promise<(at: number) => Promise<void>> {
  const loaded = (): Promise<number> => page.driver.evaluate(() => performance.timeOrigin, undefined);
  const session = async () =>
    (await page.signals()).findLast(({ message }) => message.type === 'welcome')?.message.session;
  const before = [await loaded(), await session()];
  return async (at) => {
    await expectMedia(page, at);
    await page.waitForFacts('is content', ({ state, error }) => state === 'live' && error === '');
    expect([await loaded(), await session()]).toEqual(before);
  };
}

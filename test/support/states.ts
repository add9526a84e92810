import { Broadcast, type Opens } from './broadcast.ts';
import { deniedCamera, drawnCamera, unansweredCamera } from './cameras.ts';
import type { ChromiumBrowser } from './chromium.ts';
import { hostAddress } from './ports.ts';
import type { TestPage } from './test-page.ts';
import { until } from './wait.ts';

/** Every state in which a visitor may find the page. */
export type VisitorState =
  | 'error'
  | 'waiting'
  | 'first-visit'
  | 'locked'
  | 'live'
  | 'devices'
  | 'watching'
  | 'help'
  | 'quality'
  | 'server-gone'
  | 'resumed';

type See = (state: VisitorState, page: TestPage) => Promise<void>;

/** Brings pages of `browser` into one state after the other, and has each of them looked at. */
export async function everyState(browser: Opens, host: ChromiumBrowser, see: See): Promise<void> {
  await withServer(host, {}, async ({ tcp }) => {
    const denied = await browser.openPage(tcp.url, 'page without a camera', deniedCamera);
    await denied.waitForFacts(
      'has no camera',
      ({ error, role }) => error === 'camera-denied' && role === 'viewer',
    );
    await see('error', denied);
    await denied.click(/^dismiss$/);
    await see('waiting', denied);
    const first = await browser.openPage(tcp.url, 'page that asks for the camera', unansweredCamera);
    await first.waitForFacts('asks for the camera', ({ state }) => state === 'camera');
    await see('first-visit', first);
    await first.close();
    await denied.close();
  });
  await withServer(host, { VIEW_TOKEN: 'only-those-who-know-this-token' }, async ({ tcp }) => {
    const locked = await browser.openPage(tcp.url, 'page without a token');
    await locked.waitForFacts('asks for a token', ({ state }) => state === 'locked');
    await see('locked', locked);
    await locked.close();
  });
  await withServer(host, {}, (broadcast) => onAir(broadcast, browser, see));
}

async function onAir(broadcast: Broadcast, browser: Opens, see: See): Promise<void> {
  const { server, tcp } = broadcast;
  const broadcaster = await browser.openPage(tcp.url, 'broadcaster', drawnCamera);
  const isLive = ({ state }: { state: string }): boolean => state === 'live';
  await broadcaster.waitForFacts('is live', isLive);
  const viewer = await browser.openPage(tcp.url, 'viewer', drawnCamera);
  await viewer.waitForFacts('watches', isLive);
  await viewer.waitPlaying(0);
  await broadcaster.waitForFacts('is watched', ({ viewers }) => viewers === 1);
  await see('live', broadcaster);
  await broadcaster.click(/camera and microphone/);
  await see('devices', broadcaster);
  await broadcaster.driver.press('Escape');
  await see('watching', viewer);
  await viewer.click(/^help/);
  await see('help', viewer);
  await viewer.driver.press('Escape');
  await viewer.click(/^quality$/);
  await see('quality', viewer);
  await viewer.click(/^quality$/);
  broadcast.setBroadcaster(broadcaster);
  broadcast.viewers.push(viewer);
  await broadcast.onFile();
  const { epoch } = await viewer.facts();
  await server.kill();
  await viewer.waitForFacts('has noticed', ({ state }) => state === 'reconnecting');
  await see('server-gone', viewer);
  await server.start();
  await viewer.waitForFacts('has new keys', (facts) => facts.epoch > epoch && isLive(facts));
  await viewer.waitPlaying();
  await until('the restart is in the table', () =>
    viewer.driver.evaluate(() => document.querySelector('#continuity-table tbody tr') !== null, undefined),
  );
  await see('resumed', viewer);
  await viewer.close();
  await broadcaster.close();
}

async function withServer(
  browser: ChromiumBrowser,
  env: Readonly<Record<string, string>>,
  visit: (broadcast: Broadcast) => Promise<void>,
): Promise<void> {
  const broadcast = await Broadcast.prepare({ browser, env, address: hostAddress() });
  try {
    await visit(broadcast);
  } finally {
    await broadcast.dispose();
  }
}

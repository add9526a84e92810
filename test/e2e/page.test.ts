import { describe, expect, it } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import type { Broadcast } from '../support/broadcast.ts';
import { prepareBroadcast, sharedBrowser, sharedFirefox, startBroadcast } from '../support/fixture.ts';
import { hostAddress } from '../support/ports.ts';
import { expectMedia } from '../support/survival.ts';
import type { TestPage } from '../support/test-page.ts';
import { until } from '../support/wait.ts';

const PHONE = { width: 360, height: 740 };
const DESK = { width: 1280, height: 800 };

/** The second of Chromium's fake cameras measures depth, which nobody can encode; the third is another one to be chosen. */
const browser = sharedBrowser({ cameras: 3 });

/** What a page sends on its newest connection. */
interface Sent {
  readonly kind: string;
  readonly enabled: boolean;
  readonly device: string;
  readonly surface: string;
}

function sent(page: TestPage, kind: 'audio' | 'video'): Promise<Sent | undefined> {
  return page.driver.evaluate((wanted: string) => {
    const pc = window.probe.connections.findLast((one) => one.connectionState !== 'closed');
    const track = pc?.getSenders().find((one) => one.track?.kind === wanted)?.track;
    if (!track) return undefined;
    const { deviceId = '', displaySurface = '' } = track.getSettings();
    return { kind: track.kind, enabled: track.enabled, device: deviceId, surface: displaySurface };
  }, kind);
}

function reachesSent(page: TestPage, kind: 'audio' | 'video', what: string, test: (one: Sent) => boolean) {
  return until(`${page.name} sends ${what}`, async () => {
    const one = await sent(page, kind);
    return one !== undefined && test(one) ? one : undefined;
  });
}

const isOpen = (page: TestPage, id: string): Promise<boolean> =>
  page.driver.evaluate((one: string) => document.querySelector(`dialog#${one}[open]`) !== null, id);

/** Chooses the last option of a list, which is not chosen, as a visitor does. Gives its value. */
const chooseOther = (page: TestPage, id: string): Promise<string> =>
  until(`${page.name} has another choice in ${id}`, () =>
    page.driver.evaluate((one: string) => {
      const list = document.getElementById(one) as HTMLSelectElement;
      const other = [...list.options].at(-1)?.value;
      if (other === undefined || other === list.value) return undefined;
      list.value = other;
      list.dispatchEvent(new Event('change'));
      return other;
    }, id),
  );

const offersTo = async (page: TestPage): Promise<number> =>
  (await page.signals()).filter(({ message }) => message.type === 'offer').length;

/** The viewer's one connection goes on, and nobody has had to agree on anything. */
async function expectUnnoticed(running: Broadcast, cause: () => Promise<unknown>): Promise<void> {
  const offers = await Promise.all(running.pages.map(offersTo));
  await cause();
  for (const viewer of running.viewers) await expectMedia(viewer, Date.now());
  expect(await Promise.all(running.pages.map(offersTo))).toEqual(offers);
  for (const page of running.pages) expect((await page.facts()).connections).toBe(1);
}

/** Everybody's connection is replaced by another one, as an order of new keys does. */
async function replaceConnections(running: Broadcast): Promise<void> {
  const before = await Promise.all(running.pages.map(async (page) => (await page.facts()).connections));
  await askServer(running.server.adminSocket, { command: 'rekey' });
  for (const [i, page] of running.pages.entries())
    await until(`${page.name} is on another connection only`, async () => {
      const open = (await page.connections()).filter(({ connection }) => connection !== 'closed');
      const { connections } = await page.facts();
      return connections > before[i]! && open.length === 1 && open[0]!.connection === 'connected';
    });
  for (const viewer of running.viewers) await expectMedia(viewer, Date.now());
}

describe('who broadcasts', { timeout: 300_000 }, () => {
  it('is live at once on a first visit, and is shown camera and microphone before going live again', async () => {
    const running = await prepareBroadcast({ browser: browser() });
    const page = await running.openBroadcaster();
    expect(await isOpen(page, 'devices')).toBe(false);
    const first = await reachesSent(page, 'video', 'a camera', ({ device }) => device !== '');

    await page.click(/^stop broadcasting$/);
    await page.waitForFacts('watches', ({ role }) => role === 'viewer');
    await page.click(/^broadcast$/);
    await until('the preview moves', () =>
      page.driver.evaluate(
        () => (document.getElementById('preview') as HTMLVideoElement).currentTime > 0,
        undefined,
      ),
    );
    await until('the microphone is heard', () =>
      page.driver.evaluate(() => (document.getElementById('level') as HTMLMeterElement).value > 0, undefined),
    );
    expect((await page.facts()).role).toBe('viewer');
    const other = await chooseOther(page, 'camera-list');
    expect(other).not.toBe(first.device);
    await page.click(/^go live$/);
    await page.waitForFacts('broadcasts', ({ role, state }) => role === 'broadcaster' && state === 'live');
    expect(await isOpen(page, 'devices')).toBe(false);
    await reachesSent(page, 'video', 'the camera that was chosen', ({ device }) => device === other);
    // No other tab, nor the next visit, is asked again.
    const kept = await page.driver.evaluate(() => localStorage.getItem('rekeycast.devices'), undefined);
    expect(JSON.parse(kept ?? '{}')).toMatchObject({ camera: other });
  });

  it('and thinks better of it has the camera closed, and is not live', async () => {
    const running = await prepareBroadcast({ browser: browser() });
    const page = await running.openBroadcaster();
    await page.click(/^stop broadcasting$/);
    await page.click(/^broadcast$/);
    const live = (): Promise<boolean | undefined> =>
      page.driver.evaluate(() => {
        const stream = (document.getElementById('preview') as HTMLVideoElement).srcObject;
        if (!(stream instanceof MediaStream)) return undefined;
        (window as { preview?: MediaStream }).preview = stream;
        return stream.getTracks().every(({ readyState }) => readyState === 'live');
      }, undefined);
    await until('the preview is there', live);
    await page.click(/^cancel$/);
    await until('camera and microphone are off', () =>
      page.driver.evaluate(
        () =>
          (window as { preview?: MediaStream }).preview
            ?.getTracks()
            .every(({ readyState }) => readyState === 'ended'),
        undefined,
      ),
    );
    expect(await page.facts()).toMatchObject({ role: 'viewer', error: '' });
  });

  it('changes the camera without anybody’s connection noticing, and keeps it over kill -9', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const page = running.broadcaster;
    let chosen = '';
    await expectUnnoticed(running, async () => {
      await page.click(/^camera and microphone$/);
      chosen = await chooseOther(page, 'camera-list');
      await reachesSent(page, 'video', 'the camera that was chosen', ({ device }) => device === chosen);
      await page.click(/^done$/);
    });
    const { epoch } = await page.facts();
    await running.server.restart(300);
    await page.waitForFacts('has new keys', (facts) => facts.epoch > epoch, 30_000);
    await expectMedia(running.viewers[0]!, Date.now());
    expect(await sent(page, 'video')).toMatchObject({ device: chosen });
    // Nor does another connection bring the first camera back.
    await replaceConnections(running);
    await reachesSent(page, 'video', 'the chosen camera still', ({ device }) => device === chosen);
  });

  it('mutes the microphone and turns the camera off and on, and viewers go on', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const page = running.broadcaster;
    await expectUnnoticed(running, async () => {
      await page.click(/^mute microphone$/);
      await reachesSent(page, 'audio', 'silence', ({ enabled }) => !enabled);
      await page.driver.press('m');
      await reachesSent(page, 'audio', 'sound', ({ enabled }) => enabled);
      await page.click(/^camera off$/);
      await reachesSent(page, 'video', 'black', ({ enabled }) => !enabled);
      await expectMedia(running.viewers[0]!, Date.now());
      await page.click(/^camera on$/);
      await reachesSent(page, 'video', 'a picture', ({ enabled }) => enabled);
    });
  });

  it('shows the screen, and the camera again when the browser’s own button ends that', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const page = running.broadcaster;
    const camera = await reachesSent(page, 'video', 'a camera', ({ surface }) => surface === '');
    await expectUnnoticed(running, async () => {
      await page.click(/^share screen$/);
      await reachesSent(page, 'video', 'a screen', ({ surface }) => surface !== '');
      await expectMedia(running.viewers[0]!, Date.now());
      await page.driver.evaluate(() => {
        const pc = window.probe.connections.at(-1);
        const track = pc?.getSenders().find((one) => one.track?.kind === 'video')?.track;
        track?.dispatchEvent(new Event('ended'));
      }, undefined);
      await reachesSent(page, 'video', 'the camera', ({ device }) => device === camera.device);
      await page.click(/^share screen$/);
      await reachesSent(page, 'video', 'a screen again', ({ surface }) => surface !== '');
      await page.click(/^stop sharing$/);
      await reachesSent(page, 'video', 'the camera again', ({ device }) => device === camera.device);
    });
    expect((await page.facts()).error).toBe('');
  });

  it('chooses how fine the picture is', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    await running.broadcaster.driver.evaluate(() => {
      const list = document.getElementById('picture-height') as HTMLSelectElement;
      list.value = '360';
      list.dispatchEvent(new Event('change'));
    }, undefined);
    const viewer = running.viewers[0]!;
    await until(
      'the viewer gets 360 lines',
      async () => Number((await viewer.stat('inbound-rtp', 'video')).frameHeight) <= 360,
    );
    await viewer.click(/^quality$/);
    await until(
      'the viewer reads the numbers',
      async () =>
        /\d+ × (360|180|270)/.test((await viewer.facts()).text) &&
        /\d kbit\/s/.test((await viewer.facts()).text),
    );
  });
});

describe('who watches', { timeout: 300_000 }, () => {
  it('keeps the full screen, and then picture in picture, through another connection', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const viewer = running.viewers[0]!;
    await viewer.click(/^unmute$/);
    await viewer.click(/^full screen$/);
    const full = (): Promise<string> =>
      viewer.driver.evaluate(() => document.fullscreenElement?.id ?? '', undefined);
    await until('the stage has the full screen', async () => (await full()) === 'stage');
    await replaceConnections(running);
    expect(await full()).toBe('stage');
    await until('one video is heard as loud as it was, and the other is not', async () => {
      const videos = await viewer.driver.evaluate(
        () =>
          [...document.querySelectorAll<HTMLVideoElement>('.stage > video')].map((one) => ({
            front: one.classList.contains('front'),
            muted: one.muted,
            volume: one.volume,
          })),
        undefined,
      );
      const [front, back] = videos.toSorted((a, b) => Number(b.front) - Number(a.front));
      return front?.muted === false && front.volume === 1 && back?.muted === true && back.volume === 0;
    });
    await viewer.click(/^leave full screen$/);
    await until('the page is back', async () => (await full()) === '');

    await viewer.click(/^picture in picture$/);
    const small = (): Promise<{ readonly there: boolean; readonly fed: boolean }> =>
      viewer.driver.evaluate(() => {
        const element = document.pictureInPictureElement as HTMLVideoElement | null;
        const front = document.querySelector<HTMLVideoElement>('video.front');
        return { there: element !== null, fed: element !== null && element.srcObject === front?.srcObject };
      }, undefined);
    await until('picture in picture is there', async () => (await small()).there);
    await replaceConnections(running);
    await until('it shows the new connection', async () => (await small()).fed);
  });

  it('steers by keyboard, but not while typing', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const viewer = running.viewers[0]!;
    const says = (words: RegExp): Promise<boolean> =>
      until(`the button says ${words}`, () =>
        viewer.driver.evaluate(
          (source: string) =>
            new RegExp(source).test(document.getElementById('sound')?.textContent.trim() ?? ''),
          words.source,
        ),
      );
    await says(/^Unmute$/);
    await viewer.driver.press('m');
    await says(/^Mute$/);
    await viewer.driver.press('Space');
    await says(/^Unmute$/);
    await viewer.driver.press('f');
    await until('it fills the screen', () =>
      viewer.driver.evaluate(() => document.fullscreenElement?.id === 'stage', undefined),
    );
    await viewer.driver.press('?');
    await until('help is there', () => isOpen(viewer, 'help-dialog'));
    await viewer.driver.press('m');
    await viewer.driver.press('Escape');
    await until('help is gone', async () => !(await isOpen(viewer, 'help-dialog')));
    await says(/^Unmute$/);
    // One of our own, since nobody is asked for a token, and on the stage: in full screen nothing else has the focus.
    await viewer.driver.evaluate(() => {
      const field = document.createElement('input');
      field.id = 'typed';
      document.getElementById('stage')?.append(field);
      field.focus();
    }, undefined);
    await viewer.driver.press('m');
    expect(
      await viewer.driver.evaluate(
        () => (document.getElementById('typed') as HTMLInputElement).value,
        undefined,
      ),
    ).toBe('m');
    await says(/^Unmute$/);
  });

  it('is offered the place when it becomes free', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const viewer = running.viewers[0]!;
    await running.broadcaster.click(/^stop broadcasting$/);
    await viewer.click(/^be the next broadcaster$/);
    await viewer.click(/^go live$/);
    await viewer.waitForFacts('broadcasts', ({ role, state }) => role === 'broadcaster' && state === 'live');
    await expectMedia(running.broadcaster, Date.now());
  });
});

describe('Firefox', { timeout: 300_000 }, () => {
  const firefox = sharedFirefox();

  it('shows the devices before going live, and its viewers go on while it mutes and darkens', async () => {
    const running = await prepareBroadcast({ browser: browser(), address: hostAddress() });
    const page = await running.open('Firefox broadcaster', firefox());
    running.setBroadcaster(page);
    await running.waitConnected(page, 'broadcaster');
    const viewer = await running.openViewer('Chromium viewer');
    await page.click(/^stop broadcasting$/);
    await page.waitForFacts('watches', ({ role }) => role === 'viewer');
    await page.goLive();
    await page.waitForFacts('broadcasts', ({ role, state }) => role === 'broadcaster' && state === 'live');
    await expectMedia(viewer, Date.now());
    await page.driver.press('m');
    await reachesSent(page, 'audio', 'silence', ({ enabled }) => !enabled);
    await page.click(/^unmute microphone$/);
    await reachesSent(page, 'audio', 'sound', ({ enabled }) => enabled);
    await page.click(/^camera off$/);
    await reachesSent(page, 'video', 'black', ({ enabled }) => !enabled);
    await page.click(/^camera on$/);
    await reachesSent(page, 'video', 'a picture', ({ enabled }) => enabled);
    await expectMedia(viewer, Date.now());
    await page.click(/^quality$/);
    await until('it reads the numbers', async () => /\d kbit\/s/.test((await page.facts()).text));
    await page.driver.resize(PHONE.width, PHONE.height);
    await expectFitting(page);
    expect((await page.facts()).error).toBe('');
    expect(await page.violations()).toEqual([]);
  });
});

describe('the layout', { timeout: 300_000 }, () => {
  it.each([
    ['a phone', PHONE],
    ['a desk', DESK],
  ])(
    'of %s does not jump through a restart and has nothing beside the screen',
    async (_where, { width, height }) => {
      const running = await startBroadcast({ browser: browser(), viewers: 1 });
      for (const page of running.pages) {
        await page.driver.resize(width, height);
        await page.driver.evaluate(() => {
          const shifts: string[] = [];
          (window as { shifts?: string[] }).shifts = shifts;
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries() as (PerformanceEntry & LayoutShift)[])
              if (!entry.hadRecentInput)
                shifts.push(
                  `${entry.value} ${entry.sources.map(({ node }) => (node as Element | null)?.outerHTML?.slice(0, 200) ?? node?.textContent).join(' | ')}`,
                );
          }).observe({ type: 'layout-shift' });
        }, undefined);
      }
      const { epoch } = await running.viewers[0]!.facts();
      await running.server.restart(1_000);
      await running.viewers[0]!.waitForFacts('has new keys', (facts) => facts.epoch > epoch, 30_000);
      await expectMedia(running.viewers[0]!, Date.now());
      for (const page of running.pages) {
        const shifts = (): Promise<readonly string[] | undefined> =>
          page.driver.evaluate(() => (window as { shifts?: string[] }).shifts, undefined);
        expect(await shifts()).toEqual([]);
        await expectFitting(page);
        // The observer sees what jumps.
        await page.driver.evaluate(() => {
          document.getElementById('state')!.hidden = true;
        }, undefined);
        await until('a jump is seen', async () => (await shifts())?.length !== 0);
      }
    },
  );

  it('fits a phone in every state', async () => {
    const running = await prepareBroadcast({ browser: browser() });
    const page = await running.openBroadcaster();
    await page.driver.resize(PHONE.width, PHONE.height);
    await expectFitting(page);
    await page.click(/^quality$/);
    await expectFitting(page);
    await page.click(/^camera and microphone$/);
    await expectFitting(page);
    await page.click(/^done$/);
    await page.click(/^help/);
    await expectFitting(page);
    await page.click(/^close$/);
    await page.click(/^stop broadcasting$/);
    await page.waitForFacts('waits', ({ state }) => state === 'waiting');
    await expectFitting(page);
    await running.server.kill();
    await page.waitForFacts('knows', ({ state }) => state === 'reconnecting');
    await expectFitting(page);
  });
});

describe('a browser that is too old', { timeout: 300_000 }, () => {
  it.each([
    ['no connections', () => Reflect.deleteProperty(window, 'RTCPeerConnection')],
    ['no frames', () => Reflect.deleteProperty(HTMLVideoElement.prototype, 'requestVideoFrameCallback')],
  ])('with %s is told so, and nothing is tried', async (_what, remove) => {
    const running = await prepareBroadcast({ browser: browser() });
    const page = await browser().openPage(running.tcp.url, 'old browser', remove as () => void);
    await until('it says so', async () => /too old/.test((await page.facts()).text));
    expect((await page.signals()).length).toBe(0);
    expect((await page.facts()).state).toBe('connecting');
    const current = await running.open('current browser');
    await current.waitForFacts('is in', ({ role }) => role !== '');
    expect((await current.facts()).text).not.toMatch(/too old/);
    await page.close();
  });
});

/** As the specification has it, and TypeScript not. */
interface LayoutShift {
  readonly value: number;
  readonly hadRecentInput: boolean;
  readonly sources: readonly { readonly node: Node | null }[];
}

/** Nothing is wider than the screen, and no control lies outside of it. */
async function expectFitting(page: TestPage): Promise<void> {
  const outside = await page.driver.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    const wide = scrollWidth > clientWidth ? [`the page is ${scrollWidth} wide`] : [];
    const out = [...document.querySelectorAll<HTMLElement>('button, select, input, dialog, .popover')]
      .filter((one) => one.checkVisibility())
      .filter((one) => {
        const { left, right } = one.getBoundingClientRect();
        return left < 0 || right > clientWidth;
      });
    return [...wide, ...out.map(({ id }) => id)];
  }, undefined);
  expect(outside).toEqual([]);
}

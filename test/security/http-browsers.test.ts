import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Broadcast } from '../support/broadcast.ts';
import { ChromiumBrowser } from '../support/chromium.ts';
import { FirefoxBrowser } from '../support/firefox.ts';
import { hostAddress, LOOPBACK } from '../support/ports.ts';
import type { TestPage } from '../support/test-page.ts';
import { until } from '../support/wait.ts';

declare global {
  interface Window {
    injected?: string[];
  }
}

let chromium: ChromiumBrowser;
let firefox: FirefoxBrowser;
let broadcast: Broadcast;
let foreign: Server;
let foreignUrl: string;
/** What the foreign site was asked for. */
const asked: string[] = [];
/** By the page that this address was made for: what another sends on its way out is that one's. */
const askedBy = (elsewhere: string): readonly string[] => {
  const { pathname } = new URL(elsewhere);
  return asked.flatMap((path) => (path.startsWith(pathname) ? [path.slice(pathname.length)] : []));
};

beforeAll(async () => {
  [chromium, firefox] = await Promise.all([ChromiumBrowser.launch(), FirefoxBrowser.launch()]);
  broadcast = await Broadcast.prepare({ browser: chromium, address: hostAddress() });
  await broadcast.openBroadcaster();
  foreign = createServer((request, response) => {
    asked.push(request.url ?? '');
    const script = request.url?.endsWith('.js') === true;
    response.setHeader('Content-Type', script ? 'text/javascript' : 'text/html');
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.end(
      script ? "(window.injected ??= []).push('remote script')" : '<!doctype html><title>x</title><p>x',
    );
  });
  foreign.listen(0, LOOPBACK);
  await once(foreign, 'listening');
  foreignUrl = `http://${LOOPBACK}:${(foreign.address() as { port: number }).port}/`;
}, 300_000);

afterAll(async () => {
  await broadcast?.dispose();
  foreign?.close();
  await firefox?.close();
  await chromium?.close();
});

/** Of the directives by which the page's policy keeps it from what is injected, those that both browsers name alike. */
const BLOCKED = ['connect-src', 'form-action', 'frame-src', 'img-src', 'script-src-attr', 'script-src-elem'];

/** Does to a page what somebody would who has got a string of theirs into it; each says so where it has worked. */
async function inject(page: TestPage, elsewhere: string): Promise<void> {
  await page.driver.evaluate((url: string) => {
    const make = (tag: string, attributes: Record<string, string>, text = ''): HTMLElement => {
      const element = document.createElement(tag);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      element.textContent = text;
      document.body.append(element);
      return element;
    };
    make('script', {}, "(window.injected ??= []).push('inline script')");
    make('script', { src: `${url}evil.js` });
    make('script', { src: "data:text/javascript,(window.injected ??= []).push('data script')" });
    make(
      'button',
      { type: 'button', onclick: "(window.injected ??= []).push('inline handler')" },
      'x',
    ).click();
    make('a', { href: "javascript:(window.injected ??= []).push('javascript link')" }, 'x').click();
    make('iframe', { src: `${url}frame` });
    make('object', { data: `${url}object`, type: 'text/html' });
    make('img', { src: `${url}image` });
    make('link', { rel: 'stylesheet', href: `${url}style` });
    void fetch(`${url}fetch`).catch(() => undefined);
    navigator.sendBeacon(`${url}beacon`, 'x');
    const form = make('form', { action: `${url}form`, method: 'get', target: 'nowhere' }) as HTMLFormElement;
    try {
      form.submit();
    } catch {
      // Firefox says so in this way too.
    }
  }, elsewhere);
}

const injected = (page: TestPage): Promise<string[]> =>
  page.driver.evaluate(() => window.injected ?? [], undefined);

/** Whether a page may open the broadcast's WebSocket and read what the server says over HTTP. */
function reaches(page: TestPage): Promise<{ socket: boolean; text: string }> {
  return page.driver.evaluate(async (url: string) => {
    const socket = await new Promise<boolean>((resolve) => {
      const opening = new WebSocket(`${url.replace('http', 'ws')}ws`, ['rekeycast.v1']);
      opening.onopen = () => {
        opening.close();
        resolve(true);
      };
      opening.onerror = () => resolve(false);
    });
    const text = await fetch(`${url}readyz`).then(
      (answer) => answer.text(),
      () => 'refused',
    );
    return { socket, text };
  }, broadcast.tcp.url);
}

const browsers = () => [
  { name: 'Chromium', browser: chromium },
  { name: 'Firefox', browser: firefox },
];

it('csp-kept: the page plays in both browsers without a violation of its policy or a word of complaint', async () => {
  for (const { name, browser } of browsers()) {
    const viewer = await broadcast.open(`${name} viewer`, browser);
    await broadcast.waitConnected(viewer, 'viewer');
    await viewer.waitPlaying(0);
    expect([name, await viewer.violations(), viewer.complaints]).toEqual([name, [], []]);
    await viewer.close();
  }
  expect([await broadcast.broadcaster.violations(), broadcast.broadcaster.complaints]).toEqual([[], []]);
}, 300_000);

it('csp-injected: what somebody has got into the page neither runs nor speaks to anybody, and elsewhere it does both', async () => {
  for (const { name, browser } of browsers()) {
    const page = await broadcast.open(`${name} injected`, browser);
    const elsewhere = `${foreignUrl}from-${name}/`;
    await inject(page, elsewhere);
    await until('the browser has said what it blocked', async () => {
      const directives = new Set((await page.violations()).map((violation) => violation.split(' ')[0]!));
      return directives.size >= 8 && BLOCKED.every((directive) => directives.has(directive));
    });
    expect([name, await injected(page), askedBy(elsewhere)]).toEqual([name, [], []]);
    await page.close();

    const open = await browser.openPage(foreignUrl, `${name} elsewhere`);
    const anywhere = `${foreignUrl}openly-from-${name}/`;
    await inject(open, anywhere);
    await until(
      'the attack works where nothing is in its way',
      async () => (await injected(open)).length === 5,
    );
    await until('and speaks', () =>
      ['evil.js', 'fetch', 'image', 'frame'].every((path) => askedBy(anywhere).includes(path)),
    );
    await open.close();
  }
}, 300_000);

it('csp-foreign: a page of another site can neither frame this one, nor open its WebSocket, nor read its answers', async () => {
  for (const { name, browser } of browsers()) {
    const page = await browser.openPage(foreignUrl, `${name} foreign`);
    expect([name, await reaches(page)]).toEqual([name, { socket: false, text: 'refused' }]);

    const requests: string[] = [];
    broadcast.tcp.onBytes = (direction, bytes) => {
      const path = /^GET (\S+)/.exec(bytes.toString('latin1'))?.[1];
      if (direction === 'up' && path !== undefined) requests.push(path);
    };
    await page.driver.evaluate(
      (url: string) =>
        new Promise<void>((resolve) => {
          const frame = document.createElement('iframe');
          frame.onload = () => resolve();
          frame.src = `${url}?framed`;
          document.body.append(frame);
        }),
      broadcast.tcp.url,
    );
    expect([name, requests]).toEqual([name, ['/?framed']]);
    // In a tab of its own it does.
    const tab = await broadcast.open(`${name} tab`, browser);
    expect([name, await reaches(tab)]).toEqual([name, { socket: true, text: 'ready\n' }]);
    await until('the parts of the page are asked for', () => requests.includes('/client.js'));
    broadcast.tcp.onBytes = undefined;
    await Promise.all([page.close(), tab.close()]);
  }
}, 300_000);

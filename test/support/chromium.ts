import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { installProbe } from './page-probe.ts';
import { TestPage } from './test-page.ts';

const EXECUTABLE = '/usr/bin/chromium';

const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const MEDIA = [
  '--allow-loopback-in-peer-connection',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--autoplay-policy=no-user-gesture-required',
  '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
];
const FAKE_CAMERA = ['--use-fake-device-for-media-stream=fps=30', '--use-fake-ui-for-media-stream'];

export interface ChromiumOptions {
  /** `fake`: a camera that is always allowed. `denied`: the visitor says no. */
  readonly camera?: 'fake' | 'denied';
}

/** Debian's Chromium, headless. Each page has a context of its own, as a visitor has. */
export class ChromiumBrowser {
  readonly #browser: Browser;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async launch(options: ChromiumOptions = {}): Promise<ChromiumBrowser> {
    if (!existsSync(EXECUTABLE)) {
      throw new Error(`${EXECUTABLE} is missing: install the Debian package chromium`);
    }
    const camera = options.camera === 'denied' ? ['--deny-permission-prompts'] : FAKE_CAMERA;
    const browser = await chromium.launch({
      executablePath: EXECUTABLE,
      headless: true,
      args: [...QUIET, ...MEDIA, ...camera],
    });
    return new ChromiumBrowser(browser);
  }

  get version(): string {
    return this.#browser.version();
  }

  async openPage(url: string, name = 'page'): Promise<TestPage> {
    const context = await this.#browser.newContext();
    await context.addInitScript(installProbe);
    const page = await context.newPage();
    const testPage = new TestPage(name, {
      goto: (target) => page.goto(target),
      evaluate: (run, argument) => page.evaluate(run as never, argument as never),
      close: () => context.close(),
    });
    await page.goto(url);
    return testPage;
  }

  close(): Promise<void> {
    return this.#browser.close();
  }
}

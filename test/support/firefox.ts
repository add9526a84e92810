import { existsSync } from 'node:fs';
import { type Browser, type KeyInput, launch } from 'puppeteer-core';
import { installProbe } from './page-probe.ts';
import { BROWSER_PATIENCE_MS, GRAVE, type PageDriver, TestPage } from './test-page.ts';

const EXECUTABLE = '/usr/bin/firefox-esr';

/** Debian's Firefox ESR, headless, with its built-in fake camera. */
export class FirefoxBrowser {
  readonly #browser: Browser;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async launch(): Promise<FirefoxBrowser> {
    if (!existsSync(EXECUTABLE)) {
      throw new Error(`${EXECUTABLE} is missing: install the Debian package firefox-esr`);
    }
    const browser = await launch({
      browser: 'firefox',
      executablePath: EXECUTABLE,
      headless: true,
      timeout: BROWSER_PATIENCE_MS,
      extraPrefsFirefox: {
        'media.navigator.streams.fake': true,
        'media.navigator.permission.disabled': true,
        'media.peerconnection.ice.loopback': true,
        'media.peerconnection.ice.obfuscate_host_addresses': false,
        'media.autoplay.default': 0,
      },
    });
    return new FirefoxBrowser(browser);
  }

  /** In a window of its own: a tab behind others shows no frames. */
  async openPage(url: string, name = 'page', prepare?: () => void): Promise<TestPage> {
    const page = await this.#browser.newPage({ type: 'window' });
    page.setDefaultTimeout(BROWSER_PATIENCE_MS);
    await page.evaluateOnNewDocument(installProbe);
    if (prepare !== undefined) await page.evaluateOnNewDocument(prepare);
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (GRAVE.has(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    const driver: PageDriver = {
      browser: 'firefox',
      goto: (target) => page.goto(target),
      evaluate: (run, argument) => page.evaluate(run as never, argument as never),
      press: (key) => page.keyboard.press(key as KeyInput),
      resize: (width, height) => page.setViewport({ width, height }),
      close: () => page.close(),
    };
    await page.goto(url);
    return new TestPage(name, driver, complaints);
  }

  close(): Promise<void> {
    return this.#browser.close();
  }
}

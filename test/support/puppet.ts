import { existsSync } from 'node:fs';
import { type Browser, type KeyInput, type LaunchOptions, launch } from 'puppeteer-core';
import { installProbe } from './page-probe.ts';
import { signalTree } from './process-tree.ts';
import { BROWSER_PATIENCE_MS, GRAVE, type PageDriver, TestPage } from './test-page.ts';

/**
 * A browser as its makers ship it but for its fake camera: tabs behind others are hidden and have slow timers there, and it can be put to sleep.
 */
export class PuppetBrowser {
  readonly #browser: Browser;
  readonly #kind: PageDriver['browser'];

  protected constructor(browser: Browser, kind: PageDriver['browser']) {
    this.#browser = browser;
    this.#kind = kind;
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
      browser: this.#kind,
      goto: (target) => page.goto(target),
      evaluate: (run, argument) => page.evaluate(run as never, argument as never),
      press: (key) => page.keyboard.press(key as KeyInput),
      resize: (width, height) => page.setViewport({ width, height }),
      inject: (source) => page.evaluate(source),
      scheme: (value) => page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value }]),
      screenshot: (fullPage) => page.screenshot({ fullPage }),
      close: () => page.close(),
    };
    await page.goto(url);
    return new TestPage(name, driver, complaints);
  }

  /** As on a computer that is put to sleep: everything that the browser is made of stands still. */
  sleep(): void {
    this.#signal('SIGSTOP');
  }

  wake(): void {
    this.#signal('SIGCONT');
  }

  close(): Promise<void> {
    return this.#browser.close();
  }

  #signal(signal: NodeJS.Signals): void {
    const pid = this.#browser.process()?.pid;
    if (pid === undefined) throw new Error('the browser has ended');
    signalTree(pid, signal);
  }
}

export function launchPuppet(executable: string, options: LaunchOptions): Promise<Browser> {
  if (!existsSync(executable)) throw new Error(`${executable} is missing: install the Debian package of it`);
  return launch({
    ...options,
    executablePath: executable,
    headless: true,
    timeout: BROWSER_PATIENCE_MS,
  });
}

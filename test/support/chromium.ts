import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { installProbe } from './page-probe.ts';
import { launchPuppet, PuppetBrowser } from './puppet.ts';
import { BROWSER_PATIENCE_MS, GRAVE, type PageDriver, TestPage } from './test-page.ts';

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
];
/** Pages that nobody looks at are as lively as the others. */
const LIVELY = [
  '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
];
const fakeCameras = (count: number): string[] => [
  `--use-fake-device-for-media-stream=fps=30,device-count=${count}`,
  '--use-fake-ui-for-media-stream',
];

/** Without a graphics card each pixel of the video costs the machine, and it runs a whole broadcast besides. */
const VIEWPORT = { width: 720, height: 480 };

export interface ChromiumOptions {
  /** `fake`: a camera that is always allowed. `denied`: the visitor says no. */
  readonly camera?: 'fake' | 'denied';
  /** How many fake cameras there are; one unless told otherwise. */
  readonly cameras?: number;
  /** Takes whatever certificate an HTTPS server shows. */
  readonly anyCertificate?: boolean;
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
    const camera =
      options.camera === 'denied' ? ['--deny-permission-prompts'] : fakeCameras(options.cameras ?? 1);
    const browser = await chromium.launch({
      executablePath: EXECUTABLE,
      headless: true,
      timeout: BROWSER_PATIENCE_MS,
      args: [
        ...QUIET,
        ...MEDIA,
        ...LIVELY,
        ...camera,
        ...(options.anyCertificate ? ['--ignore-certificate-errors'] : []),
      ],
    });
    return new ChromiumBrowser(browser);
  }

  get version(): string {
    return this.#browser.version();
  }

  /** @param prepare runs in the page before the page's own program, as source text */
  async openPage(url: string, name = 'page', prepare?: () => void): Promise<TestPage> {
    const context = await this.#browser.newContext({ viewport: VIEWPORT });
    context.setDefaultTimeout(BROWSER_PATIENCE_MS);
    await context.addInitScript(installProbe);
    if (prepare !== undefined) await context.addInitScript(prepare);
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (GRAVE.has(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    const driver: PageDriver = {
      browser: 'chromium',
      goto: (target) => page.goto(target),
      evaluate: (run, argument) => page.evaluate(run as never, argument as never),
      press: (key) => page.keyboard.press(key),
      resize: (width, height) => page.setViewportSize({ width, height }),
      inject: (source) => page.evaluate(source),
      scheme: (colorScheme) => page.emulateMedia({ colorScheme, reducedMotion: 'reduce' }),
      screenshot: (fullPage) => page.screenshot({ fullPage }),
      close: () => context.close(),
    };
    await page.goto(url);
    return new TestPage(name, driver, complaints);
  }

  close(): Promise<void> {
    return this.#browser.close();
  }
}

/** Debian's Chromium, headless, with what makes it save time in the background. */
export class ThriftyChromium extends PuppetBrowser {
  static async launch(): Promise<ThriftyChromium> {
    const browser = await launchPuppet(EXECUTABLE, {
      browser: 'chrome',
      args: [...QUIET, ...MEDIA, ...fakeCameras(1), '--disable-popup-blocking'],
      ignoreDefaultArgs: LIVELY,
    });
    return new ThriftyChromium(browser, 'chromium');
  }
}

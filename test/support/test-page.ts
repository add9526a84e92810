import { type Gap, gapAround, longestGap } from './gaps.ts';
import type { Signal } from './page-probe.ts';
import { until } from './wait.ts';

const PLAYING_FRAMES = 5;
/** How long a browser may take to start, and to load a page. */
export const BROWSER_PATIENCE_MS = 120_000;

/** Kinds of console messages that an honest page does not cause. */
export const GRAVE: ReadonlySet<string> = new Set(['error', 'warn', 'warning', 'assert']);

/** What a browser driver must be able to do; Playwright's and Puppeteer's pages both can. */
export interface PageDriver {
  readonly browser: 'chromium' | 'firefox';
  goto(url: string): Promise<unknown>;
  evaluate<Argument, Result>(
    run: (argument: Argument) => Result,
    argument: Argument,
  ): Promise<Awaited<Result>>;
  /** A key, as somebody presses it on a keyboard: `m`, `?`, `Escape`. */
  press(key: string): Promise<void>;
  resize(width: number, height: number): Promise<void>;
  /** Runs source text in the page, whatever its content security policy says. */
  inject(source: string): Promise<unknown>;
  /** As for a visitor who likes it so; Firefox is told when it is launched. */
  scheme(scheme: 'light' | 'dark'): Promise<unknown>;
  /** What is in the window, or the whole page, as a PNG. */
  screenshot(whole: boolean): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** The page's own words about itself: the data attributes of `<main id="app">`. */
export interface PageFacts {
  readonly role: string;
  readonly state: string;
  readonly epoch: number;
  readonly viewers: number;
  readonly restarts: number;
  readonly connections: number;
  readonly certificate: string;
  readonly certificateSha256: string;
  readonly lastGapMs: number;
  readonly frames: number;
  readonly instance: string;
  readonly error: string;
  /** All text on the page. */
  readonly text: string;
}

export type StatsReport = Readonly<Record<string, unknown>> & { readonly type: string };

/** A page of ours in some browser, with the probe inside. */
export class TestPage {
  readonly name: string;
  readonly driver: PageDriver;
  /** Warnings, errors and uncaught exceptions of the page's console. */
  readonly complaints: readonly string[];

  constructor(name: string, driver: PageDriver, complaints: readonly string[]) {
    this.name = name;
    this.driver = driver;
    this.complaints = complaints;
  }

  async facts(): Promise<PageFacts> {
    const { data, text } = await this.driver.evaluate(() => {
      const app = document.getElementById('app');
      // Not textContent: hidden words are not shown to anybody, so they do not count.
      return { data: { ...app?.dataset } as Record<string, string | undefined>, text: app?.innerText ?? '' };
    }, undefined);
    return {
      role: data.role ?? '',
      state: data.state ?? '',
      epoch: Number(data.epoch ?? Number.NaN),
      viewers: Number(data.viewers ?? Number.NaN),
      restarts: Number(data.restarts ?? Number.NaN),
      connections: Number(data.connections ?? Number.NaN),
      certificate: data.certificate ?? '',
      certificateSha256: data.certificateSha256 ?? '',
      lastGapMs: Number(data.lastGapMs ?? Number.NaN),
      frames: Number(data.frames ?? Number.NaN),
      instance: data.instance ?? '',
      error: data.error ?? '',
      text,
    };
  }

  /** When each frame was shown, milliseconds since 1970. */
  frames(): Promise<number[]> {
    return this.driver.evaluate(() => window.probe.frames, undefined);
  }

  violations(): Promise<string[]> {
    return this.driver.evaluate(() => window.probe.violations, undefined);
  }

  signals(): Promise<Signal[]> {
    return this.driver.evaluate(() => window.probe.signals, undefined);
  }

  async longestGap(from: number, to: number): Promise<Gap | undefined> {
    return longestGap(await this.frames(), from, to);
  }

  async gapAround(at: number): Promise<Gap | undefined> {
    return gapAround(await this.frames(), at);
  }

  /** The connections the page has made and what they say of themselves, oldest first. */
  connections(): Promise<{ connection: string; dtls: string[]; signaling: string }[]> {
    return this.driver.evaluate(
      () =>
        window.probe.connections.map((pc) => ({
          connection: pc.connectionState as string,
          signaling: pc.signalingState as string,
          dtls: pc.getTransceivers().map((one) => one.receiver.transport?.state ?? 'none'),
        })),
      undefined,
    );
  }

  /** The reports of the newest connection that is not closed. */
  stats(): Promise<StatsReport[]> {
    return this.driver.evaluate(async () => {
      const pc = window.probe.connections.findLast((one) => one.connectionState !== 'closed');
      const reports: StatsReport[] = [];
      (await pc?.getStats())?.forEach((report: StatsReport) => {
        reports.push({ ...report });
      });
      return reports;
    }, undefined);
  }

  /** The one report of this type (and kind). Throws where there is none. */
  async stat(type: string, kind?: 'audio' | 'video'): Promise<StatsReport> {
    const all = await this.stats();
    const found = all.find((report) => report.type === type && (kind === undefined || report.kind === kind));
    if (found === undefined) throw new Error(`${this.name} has no ${kind ?? ''} ${type} statistics`);
    return found;
  }

  /** The certificate the server has shown on the connection in use, DER as hex. `undefined` where the browser does not tell. */
  certificateDer(): Promise<string | undefined> {
    return this.driver.evaluate(() => {
      const pc = window.probe.connections.findLast((one) => one.connectionState !== 'closed');
      const transport = pc?.getTransceivers()[0]?.receiver.transport;
      const der = transport?.getRemoteCertificates?.()[0];
      if (der === undefined) return undefined;
      return Array.from(new Uint8Array(der), (byte) => byte.toString(16).padStart(2, '0')).join('');
    }, undefined);
  }

  /** Clicks the button with this text. */
  async click(label: RegExp, timeoutMs?: number): Promise<void> {
    const find = (): Promise<boolean> =>
      this.driver.evaluate((source: string) => {
        const button = [...document.querySelectorAll('button')].find(
          (one) =>
            one.checkVisibility() && !one.disabled && new RegExp(source, 'i').test(one.textContent.trim()),
        );
        button?.click();
        return button !== undefined;
      }, label.source);
    await until(`${this.name} has a button ${label}`, find, timeoutMs);
  }

  /** Asks for the broadcast, which the visitor sees a preview of first. */
  async goLive(timeoutMs?: number): Promise<void> {
    await this.click(/^(broadcast|be the next broadcaster)$/, timeoutMs);
    await this.click(/^go live$/, timeoutMs);
  }

  async waitForFacts(
    what: string,
    test: (facts: PageFacts) => boolean,
    timeoutMs?: number,
  ): Promise<PageFacts> {
    let last: PageFacts | undefined;
    try {
      return await until(
        `${this.name} ${what}`,
        async () => {
          last = await this.facts();
          return test(last) ? last : undefined;
        },
        timeoutMs,
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}; the page says ${JSON.stringify(last)}`, { cause: error });
    }
  }

  /** Waits until frames newer than `since` (milliseconds since 1970) are shown, several in a row. */
  async waitPlaying(since = Date.now(), timeoutMs?: number): Promise<void> {
    await until(
      `${this.name} shows frames`,
      async () => (await this.frames()).filter((at) => at > since).length >= PLAYING_FRAMES,
      timeoutMs,
    );
  }

  close(): Promise<void> {
    return this.driver.close();
  }
}

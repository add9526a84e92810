import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Broadcast, type Opens } from './support/broadcast.ts';
import { drawnCamera } from './support/cameras.ts';
import { ChromiumBrowser } from './support/chromium.ts';
import { FirefoxBrowser } from './support/firefox.ts';
import { everyState, type VisitorState } from './support/states.ts';
import type { TestPage } from './support/test-page.ts';
import { elapse, until } from './support/wait.ts';

/**
 * Makes docs/screens: the page in every state, in both browsers, on a phone and on a desktop, light and dark, and a restart that moves. Needs
 * Debian's `pngquant` and `webp`. With parts of names only the pictures that have one of them.
 */
const FOLDER = 'docs/screens';
const SIZES = { phone: { width: 390, height: 780 }, desktop: { width: 1280, height: 860 } };
const SCHEMES = ['light', 'dark'] as const;
const COLOURS = 128;
const TAKEN: ReadonlySet<VisitorState> = new Set([
  'first-visit',
  'live',
  'watching',
  'server-gone',
  'resumed',
  'error',
]);
/** The restart that moves. */
const CLIP = { width: 760, height: 900, frames: 64, everyMs: 125, killAt: 14, startAt: 28 };

mkdirSync(FOLDER, { recursive: true });
const wanted = process.argv.slice(2);
const isWanted = (name: string): boolean => wanted.length === 0 || wanted.some((one) => name.includes(one));
const nameOf = (...parts: readonly string[]): string => parts.join('-');
/** Whether any picture of this browser is to be made. */
const isWantedOf = (browser: string, schemes: readonly string[]): boolean =>
  [...TAKEN].some((state) =>
    Object.keys(SIZES).some((size) =>
      schemes.some((scheme) => isWanted(nameOf(state, size, scheme, browser))),
    ),
  );

const chromium = await ChromiumBrowser.launch();
try {
  if (isWantedOf('chromium', SCHEMES)) await shoot('chromium', chromium, SCHEMES);
  for (const scheme of SCHEMES) {
    if (!isWantedOf('firefox', [scheme])) continue;
    const firefox = await FirefoxBrowser.launch({ scheme });
    await shoot('firefox', firefox, [scheme]);
    await firefox.close();
  }
  if (isWanted('restart')) await clip();
} finally {
  await chromium.close();
}
const bytes = readdirSync(FOLDER).reduce((sum, name) => sum + statSync(join(FOLDER, name)).size, 0);
console.log(`${readdirSync(FOLDER).length} files, ${Math.round(bytes / 1_000)} kB`);

async function shoot(name: string, browser: Opens, schemes: readonly ('light' | 'dark')[]): Promise<void> {
  await everyState(browser, chromium, async (state, page) => {
    if (!TAKEN.has(state)) return;
    for (const scheme of schemes) {
      if (name === 'chromium') await page.driver.scheme(scheme);
      for (const [size, { width, height }] of Object.entries(SIZES)) {
        if (!isWanted(nameOf(state, size, scheme, name))) continue;
        await page.driver.resize(width, height);
        await settle(page);
        const file = join(FOLDER, `${nameOf(state, size, scheme, name)}.png`);
        writeFileSync(file, await page.driver.screenshot(true));
        execFileSync('pngquant', [String(COLOURS), '--force', '--nofs', '--strip', '--ext', '.png', file]);
        console.log(file, statSync(file).size);
      }
    }
  });
}

/** The timeline, which is drawn while it is seen only, has the size of the window, and whatever fades is over. */
async function settle(page: TestPage): Promise<void> {
  await page.driver.evaluate(() => document.getElementById('continuity-canvas')?.scrollIntoView(), undefined);
  await until('the timeline is drawn', () =>
    page.driver.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>('#continuity-canvas');
      return Math.abs((canvas?.width ?? 0) - (canvas?.clientWidth ?? 0) * devicePixelRatio) < 2;
    }, undefined),
  );
  await elapse(1_500);
  await page.driver.evaluate(() => scrollTo(0, 0), undefined);
}

async function clip(): Promise<void> {
  const broadcast = await Broadcast.prepare({ browser: chromium, prepare: drawnCamera });
  const frames = mkdtempSync(join(tmpdir(), 'rekeycast-clip-'));
  try {
    await broadcast.openBroadcaster();
    const viewer = await broadcast.openViewer('viewer');
    await viewer.driver.scheme('dark');
    await viewer.driver.resize(CLIP.width, CLIP.height);
    await broadcast.onFile();
    const files: string[] = [];
    let next = performance.now();
    for (let i = 0; i < CLIP.frames; i++) {
      if (i === CLIP.killAt) await broadcast.server.kill();
      if (i === CLIP.startAt) broadcast.server.spawn();
      const file = join(frames, `${String(i).padStart(3, '0')}.png`);
      writeFileSync(file, await viewer.driver.screenshot(false));
      files.push(file);
      next = Math.max(next + CLIP.everyMs, performance.now());
      await elapse(next - performance.now());
    }
    const options = [
      '-loop',
      '0',
      '-mixed',
      '-min_size',
      '-d',
      String(CLIP.everyMs),
      '-lossy',
      '-q',
      '60',
      '-m',
      '4',
    ];
    execFileSync('img2webp', [...options, ...files, '-o', join(FOLDER, 'restart.webp')]);
  } finally {
    await broadcast.dispose();
    rmSync(frames, { recursive: true });
  }
}

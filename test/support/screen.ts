import type { TestPage } from './test-page.ts';
import { until } from './wait.ts';

/** What a visitor should not have seen. */
interface Flaw {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly what: string;
}

/** What the page keeps while its screen is watched. */
interface ScreenWatch {
  /** How often it was looked at. */
  looks: number;
  /** The longest time between two looks, in milliseconds. */
  slowest: number;
  readonly flaws: Flaw[];
  /** Where everything was that moved. */
  readonly moves: string[];
}

declare global {
  interface Window {
    screenWatch?: ScreenWatch;
  }
}

/**
 * Looks at the page at each animation frame from now on, as a visitor would: the picture in front is bright (both browsers' fake cameras are), and
 * nothing moves. It is sent as source text, so it may use only what is inside it.
 */
function beginWatch(): void {
  const DARK = 24;
  const SIDE = 8;
  const KEPT = 50;
  const watch: ScreenWatch = { looks: 0, slowest: 0, flaws: [], moves: [] };
  window.screenWatch = watch;
  const canvas = document.createElement('canvas');
  canvas.width = SIDE;
  canvas.height = SIDE;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (context === null) throw new TypeError('this browser has no canvas');

  const brightness = (video: HTMLVideoElement): number => {
    context.fillStyle = '#000';
    context.fillRect(0, 0, SIDE, SIDE);
    context.drawImage(video, 0, 0, SIDE, SIDE);
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    let sum = 0;
    for (let i = 0; i < data.length; i += 4)
      sum += Math.max(data[i] ?? 0, data[i + 1] ?? 0, data[i + 2] ?? 0);
    return sum / (SIDE * SIDE);
  };
  const flawOf = (): string | undefined => {
    const front = document.querySelectorAll<HTMLVideoElement>('video.front');
    const video = front[0];
    if (video === undefined || front.length !== 1) return `${front.length} videos in front`;
    if (!video.checkVisibility({ opacityProperty: true })) return 'the video in front cannot be seen';
    if (document.getElementById('curtain')?.checkVisibility()) return 'the curtain is drawn';
    if (video.videoWidth === 0 || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA)
      return `the video in front is empty (${video.readyState})`;
    const light = brightness(video);
    return light < DARK ? `the video in front is dark (${Math.round(light)})` : undefined;
  };
  const boxes = (): Map<string, string> => {
    const found = new Map<string, string>();
    for (const one of document.querySelectorAll('.stage, button')) {
      if (!one.checkVisibility()) continue;
      const { x, y, width, height } = one.getBoundingClientRect();
      found.set(one.id || one.className, [x, y, width, height].map(Math.round).join(' '));
    }
    return found;
  };
  let before = boxes();
  let looked = performance.now();
  const look = (): void => {
    requestAnimationFrame(look);
    watch.looks++;
    watch.slowest = Math.max(watch.slowest, performance.now() - looked);
    looked = performance.now();
    const flaw = flawOf();
    if (flaw !== undefined && watch.flaws.length < KEPT) watch.flaws.push({ at: Date.now(), what: flaw });
    const now = boxes();
    for (const [name, box] of now) {
      const last = before.get(name);
      if (last !== undefined && last !== box && watch.moves.length < KEPT)
        watch.moves.push(`${name}: ${last} -> ${box}`);
    }
    before = now;
  };
  look();
}

/** Watches the screen of a page that shows its picture, from now on. */
export async function watchScreen(page: TestPage): Promise<void> {
  await page.driver.evaluate(beginWatch, undefined);
}

/** What was wrong with what the page has shown since {@link watchScreen}, `[]` where nothing was, after one more look. */
export async function screenFlaws(page: TestPage): Promise<readonly string[]> {
  const read = async (): Promise<ScreenWatch> => {
    const watch = await page.driver.evaluate(() => window.screenWatch, undefined);
    if (watch === undefined) throw new Error(`nobody watches the screen of ${page.name}`);
    return watch;
  };
  const { looks } = await read();
  const { flaws, moves } = await until(`${page.name} is looked at once more`, async () => {
    const watch = await read();
    return watch.looks > looks ? watch : undefined;
  });
  return [
    ...flaws.map(({ at, what }) => `${page.name} at ${at}: ${what}`),
    ...moves.map((move) => `${page.name} moved ${move}`),
  ];
}

import { expect } from 'vitest';
import { randomUint32 } from '../../src/util/rng.ts';
import { seededRandom } from './seeded-rng.ts';
import type { VirtualBrowser } from './virtual-browser.ts';
import type { VirtualWorld } from './virtual-world.ts';

const STEPS = 24;
/** All of them together are shorter than a page that goes is waited for. */
const LONGEST_STEP = 350;
const SETTLING = 40_000;
/** Kill, reload with and without a word, lost link, other capabilities, stalled. */
const ACTIONS = 6;

export interface WalkOptions {
  readonly world: VirtualWorld;
  readonly browsers: readonly VirtualBrowser[];
  readonly seed: number;
  /** What pages and operators do besides. */
  readonly more?: readonly ((browser: VirtualBrowser) => void)[];
  /** Nothing is as likely as so many of these together. */
  readonly idle: number;
}

/** Pages that are loaded again, lose their link and report what they like, and a server that is killed, in any order, until all have to be back. */
export async function walkInAnyOrder(options: WalkOptions): Promise<void> {
  const { world, browsers, seed, more = [], idle } = options;
  const rng = seededRandom(seed);
  const below = (limit: number): number => randomUint32(rng) % limit;
  const gone = new Set<number>();
  const goes = (which: number): void => {
    world.drop(browsers[which]!);
    gone.add(which);
  };
  for (let step = 0; step < STEPS; step++) {
    const which = below(browsers.length);
    const browser = browsers[which]!;
    const isUp = world.broadcast !== undefined;
    const action = below(ACTIONS + more.length + idle);
    if (action === 0 && isUp) {
      world.kill();
      for (const each of browsers.keys()) goes(each);
    } else if (!isUp) {
      if (action < 4) await world.start();
    } else if (gone.has(which)) {
      world.open(browser);
      gone.delete(which);
      await world.run(50);
    } else if (action <= 2) {
      // Its word that it goes may get lost.
      if (action === 1) world.say(browser, { type: 'away' });
      else world.drop(browser);
      gone.add(which);
      browser.reload();
    } else if (action === 3) goes(which);
    else if (action === 4)
      world.say(browser, { type: 'capabilities', capabilities: { rekeyInPlace: below(2) === 0 } });
    else if (action === 5) world.say(browser, { type: 'stalled', connection: browser.inUse });
    else more[action - ACTIONS]?.(browser);
    await world.run(below(LONGEST_STEP));
  }
  if (world.broadcast === undefined) await world.start();
  for (const which of gone) world.open(browsers[which]!);
  const all = () => browsers.every(({ current }) => current?.connected === true);
  expect(await world.run(SETTLING, all)).toBe(true);
}

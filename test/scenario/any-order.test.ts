import { expect, it, onTestFinished } from 'vitest';
import { randomUint32 } from '../../src/util/rng.ts';
import { onAir } from '../support/on-air.ts';
import { seededRandom } from '../support/seeded-rng.ts';

const STEPS = 24;
/** All of them together are shorter than a page that goes is waited for. */
const LONGEST_STEP = 350;
const SETTLING = 40_000;

it.each(Array.from({ length: 12 }, (_, seed) => seed + 1))(
  'pages that are loaded again, lose their link and report what they like, and a server that is killed, in any order: all come back, and no nonce is used twice (%i)',
  { timeout: 60_000 },
  async (seed) => {
    const rng = seededRandom(seed);
    const below = (limit: number): number => randomUint32(rng) % limit;
    const { world, browsers } = await onAir();
    onTestFinished(() => world.dispose());
    const gone = new Set<number>();
    const goes = (which: number): void => {
      world.drop(browsers[which]!);
      gone.add(which);
    };
    for (let step = 0; step < STEPS; step++) {
      const which = below(browsers.length);
      const browser = browsers[which]!;
      const isUp = world.broadcast !== undefined;
      const action = below(8);
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
      await world.run(below(LONGEST_STEP));
    }
    if (world.broadcast === undefined) await world.start();
    for (const which of gone) world.open(browsers[which]!);
    const all = () => browsers.every(({ current }) => current?.connected === true);
    expect(await world.run(SETTLING, all)).toBe(true);
    expect(browsers.map(({ role, errors }) => [role, errors])).toEqual([
      ['broadcaster', []],
      ['viewer', []],
      ['viewer', []],
    ]);
    expect(world.audit().reused).toEqual([]);
  },
);

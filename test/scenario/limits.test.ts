import { afterEach, describe, expect, it } from 'vitest';
import type { BroadcastOptions } from '../../src/server/broadcast-io.ts';
import { expectSeen, type OnAir, onAir } from '../support/on-air.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';

/** The operator changes them between two runs. */
type Settings = { -readonly [Key in keyof BroadcastOptions]?: BroadcastOptions[Key] };

let scene: OnAir;
afterEach(() => scene.world.dispose());

const sessions = (): number => [...scene.world.broadcast!.sessions].length;

/** Somebody new comes, from an address of their own unless told otherwise. */
async function come(): Promise<VirtualBrowser> {
  const browser = scene.world.addBrowser();
  scene.world.open(browser);
  await scene.world.run(1_000, () => browser.errors.length > 0 || browser.current !== undefined);
  return browser;
}

describe('limits', () => {
  it('that were lowered over a restart put nobody out, and let nobody in until there is a place', async () => {
    const settings: Settings = { maxSessions: 4 };
    scene = await onAir({ viewers: 2, broadcast: settings });
    const { world, browsers, viewers } = scene;
    world.kill();
    settings.maxSessions = 2;
    await world.start();
    for (const browser of browsers) world.open(browser);
    await expectSeen(world, viewers);
    expect(sessions()).toBe(3);
    expect((await come()).errors).toEqual(['ROOM_FULL']);
    for (const viewer of viewers) world.say(viewer, { type: 'leave' });
    expect(await world.run(1_000, () => sessions() === 1)).toBe(true);
    expect((await come()).errors).toEqual([]);
    expect(browsers.flatMap(({ errors }) => errors)).toEqual([]);
  });

  it('count those who were here at the end of the last run, whose pages are still away', async () => {
    const settings: Settings = { maxSessions: 4 };
    scene = await onAir({ viewers: 2, broadcast: settings });
    const { world, broadcaster } = scene;
    world.kill();
    settings.maxSessions = 2;
    await world.start();
    world.open(broadcaster);
    await world.run(500);
    world.say(broadcaster, { type: 'leave' });
    expect(await world.run(1_000, () => sessions() === 2)).toBe(true);
    expect((await come()).errors).toEqual(['ROOM_FULL']);
    expect(sessions()).toBe(2);
  });

  it('of an address refuse one more visit in words of their own, also to somebody who has come back', async () => {
    const settings: Settings = { maxSessionsPerOwner: 1 };
    scene = await onAir({ viewers: 1, broadcast: settings });
    const { world, browsers, viewers } = scene;
    world.kill();
    await world.start();
    for (const browser of browsers) world.open(browser);
    await expectSeen(world, viewers);
    const again = { id: 77, owner: viewers[0]!.name };
    const told: unknown[] = [];
    const join = () => {
      const broadcast = world.broadcast!;
      broadcast.openPage(again, undefined, undefined, world.now);
      broadcast.handleMessage(again.id, { type: 'join', capabilities: { rekeyInPlace: true } }, world.now);
      for (let output = broadcast.pollOutput(); output !== undefined; output = broadcast.pollOutput())
        if (output.kind === 'message' && output.page === again.id && output.message.type !== 'room')
          told.push(output.message.type === 'error' ? output.message.code : output.message.type);
    };
    join();
    expect(told).toEqual(['TOO_MANY_VISITS']);
    expect((await come()).errors).toEqual([]);
    await expectSeen(world, viewers);
    world.say(viewers[0]!, { type: 'leave' });
    await world.run(100);
    join();
    expect(told.slice(1)).toEqual(['welcome', 'offer']);
  });
});

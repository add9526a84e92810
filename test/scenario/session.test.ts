import { afterEach, describe, expect, it } from 'vitest';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import { VirtualWorld, type WorldOptions } from '../support/virtual-world.ts';

let world: VirtualWorld;
afterEach(() => world.dispose());

/** A broadcaster and two viewers who see it. */
async function onAir(
  options: Partial<WorldOptions> = {},
): Promise<[VirtualBrowser, VirtualBrowser, VirtualBrowser]> {
  world = await VirtualWorld.create({ seed: 5, ...options });
  await world.start();
  const browsers = [world.addBrowser(), world.addBrowser(), world.addBrowser()] as const;
  for (const browser of browsers) {
    world.open(browser);
    expect(await world.run(10_000, () => browser.current?.connected === true)).toBe(true);
  }
  await playOn(browsers.slice(1));
  return [...browsers];
}

const seen = (viewer: VirtualBrowser): number => viewer.current?.received.size ?? 0;

async function playOn(viewers: readonly VirtualBrowser[], within = 20_000): Promise<void> {
  const before = viewers.map(({ current }) => ({ current, seen: current?.received.size ?? 0 }));
  const more = () =>
    viewers.every((viewer, i) => {
      const from = viewer.current === before[i]!.current ? before[i]!.seen : 0;
      return seen(viewer) > from + 60 && viewer.current?.connected === true;
    });
  expect(await world.run(within, more)).toBe(true);
}

/** The producers the room has had while time passed. */
async function producersWhile(duration: number): Promise<string[]> {
  const producers: string[] = [];
  await world.run(duration, () => {
    const { producer } = world.broadcast!.captureIdentity().room;
    if (producers.at(-1) !== producer) producers.push(producer);
    return false;
  });
  return producers;
}

describe('new keys on order', () => {
  it('go to everybody over second connections, and the room changes over once', async () => {
    // Both connections of the broadcaster carry media until its word arrives that the second plays.
    const browsers = await onAir({ jitter: 30, signalingOneWay: 200 });
    world.broadcast!.rekeyAll(world.now);
    const producers = await producersWhile(3_000);
    expect(producers.map((producer) => producer.split('/')[1])).toEqual(['1', '2']);
    await playOn(browsers.slice(1));
    for (const browser of browsers) {
      expect(browser.made).toBe(2);
      expect([...browser.connections.keys()]).toEqual([2]);
    }
    expect(world.audit().reused).toEqual([]);
  });

  it('leave no gap at the viewers longer than a keyframe takes', async () => {
    const [, viewer] = await onAir();
    const before = new Set(viewer.current!.received.keys());
    world.broadcast!.rekeyAll(world.now);
    let silent = 0;
    let longest = 0;
    let last = viewer.current!.receivedAt!;
    await world.run(3_000, () => {
      const at = Math.max(...[...viewer.connections.values()].map(({ receivedAt }) => receivedAt ?? 0));
      silent = world.now - last;
      longest = Math.max(longest, silent);
      last = Math.max(last, at);
      return false;
    });
    expect(longest).toBeLessThan(150);
    expect(before.size).toBeGreaterThan(0);
  });

  it('come by age too, for as long as the page is there', async () => {
    const browsers = await onAir({ broadcast: { rekeyInterval: 2_000 } });
    await world.run(9_000);
    for (const browser of browsers) {
      expect(browser.associations.length).toBeGreaterThanOrEqual(4);
      expect(browser.connections.size).toBeLessThanOrEqual(2);
    }
    await playOn(browsers.slice(1));
    expect(world.audit().reused).toEqual([]);
  });
});

describe('a path that is lost', () => {
  it.each([
    ['viewer', 1],
    ['broadcaster', 0],
  ])('for 40 s and found again brings the %s back, with a keyframe', async (_role, which) => {
    const browsers = await onAir();
    world.isolate(browsers[which]!, true);
    await world.run(40_000);
    expect(world.events.some(({ event }) => event === 'consent-lost')).toBe(true);
    world.isolate(browsers[which]!, false);
    await playOn(browsers.slice(1), 40_000);
    const viewer = browsers[1]!.current!;
    const newest = Math.max(...[...viewer.received.keys()].map((key) => Number(key.split('/')[1])));
    // Only whom the room knows is heard when it misses something.
    const { retransmitted } = world.broadcast!.roomStats;
    viewer.report([newest], Number([...viewer.received.keys()].at(-1)!.split('/')[0]));
    await world.run(200);
    expect(world.broadcast!.roomStats.retransmitted).toBe(retransmitted + 1);
    expect(world.broadcast!.roomStats.drops.unknownConsumer).toBeUndefined();
    expect(world.audit().reused).toEqual([]);
  });
});

describe('a change of role', () => {
  it('hands the room over: the broadcaster declines, a viewer publishes, and both go on', async () => {
    const [first, second, third] = await onAir();
    world.say(first, { type: 'decline', reason: 'stopped' });
    await world.run(500);
    world.say(second, { type: 'publish' });
    await playOn([first, third]);
    expect([first, second, third].map(({ role }) => role)).toEqual(['viewer', 'broadcaster', 'viewer']);
    expect(world.audit().reused).toEqual([]);
  });

  it('is refused while somebody else broadcasts', async () => {
    const [, second, third] = await onAir();
    world.say(second, { type: 'publish' });
    await playOn([second, third]);
    expect(second.errors).toEqual(['BROADCASTER_PRESENT']);
    expect(second.role).toBe('viewer');
  });

  it.each([5, 30, 45, 60, 80, 120, 300])('survives a kill %d ms into it', async (delay) => {
    const browsers = await onAir();
    const [first, second, third] = browsers;
    world.say(first, { type: 'decline', reason: 'stopped' });
    await world.run(100);
    world.say(second, { type: 'publish' });
    await world.run(delay);
    world.kill();
    await world.run(500);
    await world.start();
    for (const browser of browsers) world.open(browser);
    await world.run(500);
    if (second.role !== 'broadcaster') world.say(second, { type: 'publish' });
    await playOn([first, third], 30_000);
    expect(second.role).toBe('broadcaster');
    expect(second.current?.role).toBe('broadcaster');
    expect(world.audit().reused).toEqual([]);
  });

  it("survives the loss of the page's link in the middle of it", async () => {
    const [first, second, third] = await onAir();
    world.say(first, { type: 'decline', reason: 'stopped' });
    await world.run(100);
    world.say(second, { type: 'publish' });
    await world.run(25);
    world.drop(second);
    await world.run(200);
    world.open(second);
    await playOn([first, third]);
    expect(second.current?.role).toBe('broadcaster');
  });
});

import { afterEach, describe, expect, it } from 'vitest';
import { expectSeen, type OnAirOptions, onAir, type Three } from '../support/on-air.ts';
import type { VirtualWorld } from '../support/virtual-world.ts';

let world: VirtualWorld;
afterEach(() => world.dispose());

/** A broadcaster and two viewers who see it. */
async function broadcasting(options?: OnAirOptions): Promise<Three> {
  const all = await onAir(options);
  world = all.world;
  return all.browsers as Three;
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
    const browsers = await broadcasting({ jitter: 30, signalingOneWay: 200 });
    world.broadcast!.rekeyAll(world.now);
    const producers = await producersWhile(3_000);
    expect(producers.map((producer) => producer.split('/')[1])).toEqual(['1', '2']);
    await expectSeen(world, browsers.slice(1));
    for (const browser of browsers) {
      expect(browser.made).toBe(2);
      expect([...browser.connections.keys()]).toEqual([2]);
    }
    expect(world.audit().reused).toEqual([]);
  });

  it('leave no gap at the viewers longer than a keyframe takes', async () => {
    const [, viewer] = await broadcasting();
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
    const browsers = await broadcasting({ broadcast: { rekeyInterval: 2_000 } });
    await world.run(9_000);
    for (const browser of browsers) {
      expect(browser.associations.length).toBeGreaterThanOrEqual(4);
      expect(browser.connections.size).toBeLessThanOrEqual(2);
    }
    await expectSeen(world, browsers.slice(1));
    expect(world.audit().reused).toEqual([]);
  });
});

describe('a path that is lost', () => {
  it.each([
    ['viewer', 1],
    ['broadcaster', 0],
  ])('for 40 s and found again brings the %s back, with a keyframe', async (_role, which) => {
    const browsers = await broadcasting();
    world.isolate(browsers[which]!, true);
    await world.run(40_000);
    expect(world.events.some(({ event }) => event === 'consent-lost')).toBe(true);
    world.isolate(browsers[which]!, false);
    await expectSeen(world, browsers.slice(1), 40_000);
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
    const [first, second, third] = await broadcasting();
    world.say(first, { type: 'decline', reason: 'stopped' });
    await world.run(500);
    world.say(second, { type: 'publish' });
    await expectSeen(world, [first, third]);
    expect([first, second, third].map(({ role }) => role)).toEqual(['viewer', 'broadcaster', 'viewer']);
    expect(world.audit().reused).toEqual([]);
  });

  it('is refused while somebody else broadcasts', async () => {
    const [, second, third] = await broadcasting();
    world.say(second, { type: 'publish' });
    await expectSeen(world, [second, third]);
    expect(second.errors).toEqual(['BROADCASTER_PRESENT']);
    expect(second.role).toBe('viewer');
  });

  it.each([5, 30, 45, 60, 80, 120, 300])('survives a kill %d ms into it', async (delay) => {
    const browsers = await broadcasting();
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
    await expectSeen(world, [first, third], 30_000);
    expect(second.role).toBe('broadcaster');
    expect(second.current?.role).toBe('broadcaster');
    expect(world.audit().reused).toEqual([]);
  });

  it("survives the loss of the page's link in the middle of it", async () => {
    const [first, second, third] = await broadcasting();
    world.say(first, { type: 'decline', reason: 'stopped' });
    await world.run(100);
    world.say(second, { type: 'publish' });
    await world.run(25);
    world.drop(second);
    await world.run(200);
    world.open(second);
    await expectSeen(world, [first, third]);
    expect(second.current?.role).toBe('broadcaster');
  });
});

it('a page that asks whether anybody is there is told so, and nothing else comes of it', async () => {
  const [, viewer] = await broadcasting();
  const before = world.events.length;
  for (let times = 0; times < 3; times++) world.say(viewer, { type: 'ping' });
  await world.run(200);
  expect([viewer.pongs, viewer.errors, world.events.length]).toEqual([3, [], before]);
  await expectSeen(world, [viewer]);
  expect(viewer.made).toBe(1);
});

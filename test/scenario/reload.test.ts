import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/util/bytes.ts';
import { expectSeen, type OnAirOptions, onAir, seenBy, type Three } from '../support/on-air.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import type { VirtualWorld } from '../support/virtual-world.ts';

let world: VirtualWorld;
afterEach(() => world.dispose());

/** A broadcaster and two viewers who see it. */
async function broadcasting(options?: OnAirOptions): Promise<Three> {
  const all = await onAir(options);
  world = all.world;
  return all.browsers as Three;
}

/** The document goes; its word that it does may get lost. */
function goAway(browser: VirtualBrowser, said = true): void {
  if (said) world.say(browser, { type: 'away' });
  else world.drop(browser);
  browser.reload();
}

const eventsOf = (name: string): number => world.events.filter(({ event }) => event === name).length;
const epochOf = (browser: VirtualBrowser): number => browser.associations.at(-1)!.epoch;
const keysOf = ({ associations }: VirtualBrowser): string[] =>
  associations.map(({ keys }) => toHex(keys.local.key.bytes));

/** Who is in its place again, with the same role and new keys. */
async function expectBack(browser: VirtualBrowser, role: string, epoch: number): Promise<void> {
  expect(await world.run(10_000, () => browser.current?.connected === true)).toBe(true);
  expect([browser.role, browser.errors]).toEqual([role, []]);
  expect(epochOf(browser)).toBeGreaterThan(epoch);
  expect(new Set(keysOf(browser)).size).toBe(keysOf(browser).length);
  expect([eventsOf('session-opened'), eventsOf('session-closed')]).toEqual([3, 0]);
}

describe('a page that is loaded again', () => {
  it.each([
    ['viewer', 1, true],
    ['broadcaster', 0, true],
    ['viewer', 1, false],
    ['broadcaster', 0, false],
  ] as const)('keeps its place as %s', async (role, which, said) => {
    const browsers = await broadcasting();
    const browser = browsers[which];
    const epoch = epochOf(browser);
    goAway(browser, said);
    await world.run(1_200);
    expect(eventsOf('stale-keys-destroyed')).toBe(said ? 1 : 0);
    world.open(browser);
    await world.run(50);
    expect(eventsOf('stale-keys-destroyed')).toBe(1);
    await expectBack(browser, role, epoch);
    await expectSeen(world, browsers.slice(1));
    expect(browsers.map(({ made }) => made)).toEqual(browsers.map((one) => (one === browser ? 2 : 1)));
    expect(world.broadcast!.captureMedia().peers.length).toBe(3);
    expect(world.audit().reused).toEqual([]);
  });

  it('is a short gap for those who watch it: one broadcast and one stream', async () => {
    const [broadcaster, viewer] = await broadcasting();
    goAway(broadcaster);
    const onAirs = new Set<boolean | undefined>();
    await world.run(3_000, () => {
      onAirs.add(viewer.room?.onAir);
      return false;
    });
    world.open(broadcaster);
    await expectSeen(world, [viewer]);
    expect([...onAirs]).toEqual([true]);
    const heard = [...viewer.current!.received.keys()].map((key) => key.split('/').map(Number));
    expect(new Set(heard.map(([ssrc]) => ssrc)).size).toBe(1);
    const numbers = heard.map(([, number]) => number!).sort((a, b) => a - b);
    expect(numbers.at(-1)! - numbers[0]! + 1).toBe(numbers.length);
    expect(viewer.connections.size).toBe(1);
  });

  it('again and again keeps its place each time', async () => {
    const [broadcaster, viewer] = await broadcasting();
    for (let times = 0; times < 5; times++) {
      const epoch = epochOf(viewer);
      goAway(viewer);
      await world.run(100 + 40 * times);
      world.open(viewer);
      await world.run(20 * times);
      if (times % 2 === 1) {
        // Before it was welcomed: the token of before is good still.
        goAway(viewer, times === 3);
        await world.run(100);
        world.open(viewer);
      }
      await expectBack(viewer, 'viewer', epoch);
    }
    await expectSeen(world, [viewer]);
    expect(broadcaster.made).toBe(1);
    expect(world.audit().reused).toEqual([]);
  });

  it('that had stopped broadcasting is a viewer still, though nobody broadcasts', async () => {
    const [broadcaster] = await broadcasting();
    world.say(broadcaster, { type: 'decline', reason: 'stopped' });
    await world.run(500);
    goAway(broadcaster);
    await world.run(500);
    world.open(broadcaster);
    await world.run(1_000);
    expect([broadcaster.role, broadcaster.errors]).toEqual(['viewer', []]);
  });
});

describe('a page that does not come back', () => {
  it('has left after ten seconds, and its token is good for nothing', async () => {
    const [, viewer, other] = await broadcasting();
    goAway(viewer);
    await world.run(9_900);
    expect(eventsOf('session-closed')).toBe(0);
    await world.run(200);
    expect([eventsOf('session-closed'), other.room?.viewers]).toEqual([1, 1]);
    world.open(viewer);
    await world.run(200);
    expect(viewer.errors).toEqual(['TOKEN_UNKNOWN']);
    expect(world.broadcast!.captureIdentity().sessions.length).toBe(2);
  });

  it('keeps the place of the broadcaster until then, and no longer', async () => {
    const [broadcaster, viewer, other] = await broadcasting();
    goAway(broadcaster);
    await world.run(5_000);
    world.say(viewer, { type: 'publish' });
    await world.run(100);
    expect([viewer.errors, viewer.role]).toEqual([['BROADCASTER_PRESENT'], 'viewer']);
    await world.run(5_000);
    expect(other.room).toMatchObject({ onAir: false, onAirSeconds: 0 });
    world.say(viewer, { type: 'publish' });
    await expectSeen(world, [other]);
    expect(viewer.role).toBe('broadcaster');
  });

  it('is heard no more, whatever it says', async () => {
    const [broadcaster, viewer] = await broadcasting();
    world.say(broadcaster, { type: 'decline', reason: 'stopped' });
    await world.run(100);
    world.say(viewer, { type: 'away' });
    world.say(viewer, { type: 'publish' });
    world.say(viewer, { type: 'stalled', connection: 1 });
    await world.run(200);
    expect([viewer.errors.length > 0, viewer.made]).toEqual([true, 1]);
    await world.run(10_000);
    expect(eventsOf('session-closed')).toBe(1);
  });

  it('does not keep its owner out of a full room', async () => {
    const [, viewer] = await broadcasting({ broadcast: { maxSessions: 3 } });
    goAway(viewer);
    await world.run(100);
    viewer.token = undefined;
    world.open(viewer);
    await expectSeen(world, [viewer]);
    expect([eventsOf('session-opened'), eventsOf('session-closed'), viewer.errors]).toEqual([4, 1, []]);
  });
});

describe('a server that is killed while a page is loaded again', () => {
  it.each([
    ['viewer', 1, 5],
    ['viewer', 1, 1_000],
    ['broadcaster', 0, 5],
    ['broadcaster', 0, 1_000],
  ] as const)('keeps the place of a %s', async (role, which, after) => {
    const browsers = await broadcasting();
    const browser = browsers[which];
    const epoch = epochOf(browser);
    goAway(browser);
    await world.run(after);
    world.kill();
    await world.run(20_000);
    await world.start();
    await world.run(8_000);
    for (const one of browsers) world.open(one);
    await expectBack(browser, role, epoch);
    await expectSeen(world, browsers.slice(1), 40_000);
    expect(world.audit().reused).toEqual([]);
  });

  it('keeps it when it is killed again before there are new keys', async () => {
    const browsers = await broadcasting();
    const [, viewer] = browsers;
    goAway(viewer);
    await world.run(1_000);
    world.open(viewer);
    await world.run(15);
    world.kill();
    await world.start();
    viewer.reload();
    for (const one of browsers) world.open(one);
    await expectBack(viewer, 'viewer', 0);
    await expectSeen(world, browsers.slice(1));
    expect(world.audit().reused).toEqual([]);
  });

  it('does not keep it for ever, however often it is killed', async () => {
    const [, viewer] = await broadcasting({ broadcast: { sessionTtl: 20_000 } });
    goAway(viewer);
    await world.run(1_000);
    world.kill();
    await world.start();
    await world.run(9_900);
    expect(eventsOf('session-closed')).toBe(0);
    await world.run(200);
    expect(eventsOf('session-closed')).toBe(1);
    expect(seenBy(viewer)).toBe(0);
  });
});

it('tells for how long the broadcast is on air, through a kill -9 too', async () => {
  const browsers = await broadcasting();
  const [, viewer] = browsers;
  await world.run(30_000);
  world.kill();
  await world.run(5_000);
  await world.start();
  await world.run(1_000);
  for (const one of browsers) world.open(one);
  await expectSeen(world, [viewer]);
  const { onAirSeconds } = viewer.room!;
  expect(onAirSeconds).toBeGreaterThanOrEqual(35);
  expect(onAirSeconds).toBeLessThan(world.now / 1_000);
});

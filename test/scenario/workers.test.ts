import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { toHex } from '../../src/util/bytes.ts';
import { walkInAnyOrder } from '../support/any-order.ts';
import { expectSeen, type OnAir, type OnAirOptions, onAir, seenBy } from '../support/on-air.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import type { VirtualWorld } from '../support/virtual-world.ts';

let world: VirtualWorld;
afterEach(() => world.dispose());

/** A broadcaster in the engine that leads, and viewers in two that follow. */
async function broadcasting(options?: OnAirOptions): Promise<OnAir> {
  const scene = await onAir({ followers: 2, viewers: 4, ...options });
  world = scene.world;
  return scene;
}

async function restart(downtime: number, browsers: readonly VirtualBrowser[]): Promise<void> {
  world.kill();
  await world.run(downtime);
  await world.start();
  await world.run(50);
  for (const browser of browsers) world.open(browser);
}

const countOf = (engine: number): number =>
  [...(world.followers.get(engine)?.broadcast.sessions ?? [])].length;
const countOfLead = (): number => [...(world.broadcast?.sessions ?? [])].length;

describe('viewers in engines of their own', () => {
  it('are shared out, see the picture, and are one room', async () => {
    const { browsers } = await broadcasting();
    expect([countOfLead(), countOf(1), countOf(2)]).toEqual([1, 2, 2]);
    await world.run(1_000);
    expect(browsers.map(({ room }) => room)).toEqual(
      browsers.map(() => expect.objectContaining({ viewers: 4, onAir: true })),
    );
    expect(new Set(browsers.map(({ token }) => token!.length))).toEqual(new Set([43, 45]));
  });

  it.each([200, 1_000, 15_000, 60_000])(
    'go on after kill -9 and %d ms, on the same connections and new keys',
    async (downtime) => {
      const { browsers, viewers } = await broadcasting();
      await restart(downtime, browsers);
      await expectSeen(world, viewers);
      for (const browser of browsers) {
        expect(browser.made).toBe(1);
        expect(browser.associations.length).toBe(2);
        const [before, after] = browser.associations.map(({ keys }) =>
          [keys.local.key, keys.remote.key].map((key) => toHex(key.bytes)),
        );
        expect(before!.some((key) => after!.includes(key))).toBe(false);
      }
      expect([countOfLead(), countOf(1), countOf(2)]).toEqual([1, 2, 2]);
      expect(world.audit()).toMatchObject({ reused: [], unexplained: 0, acceptedAgain: 0 });
    },
  );

  it('are sent media on the stale contexts before any page is back', async () => {
    const { viewers } = await broadcasting();
    world.kill();
    await world.run(1_000);
    const before = viewers.map(seenBy);
    await world.start();
    await world.run(500);
    for (const [i, viewer] of viewers.entries()) expect(seenBy(viewer)).toBeGreaterThan(before[i]! + 10);
  });

  it('get new keys by order, and see nothing of it', async () => {
    const { browsers, viewers } = await broadcasting();
    world.rekeyAll();
    await world.run(3_000);
    for (const browser of browsers) expect(browser.associations.length).toBe(2);
    await expectSeen(world, viewers);
    expect(world.audit().reused).toEqual([]);
  });

  it('are asked after by one of them: a keyframe comes from the broadcaster', async () => {
    const { broadcaster } = await broadcasting();
    await world.run(2_000);
    const before = broadcaster.current!.plis;
    const late = world.addBrowser();
    world.open(late);
    expect(await world.run(5_000, () => seenBy(late) > 30)).toBe(true);
    expect(broadcaster.current!.plis).toBeGreaterThan(before);
  });

  it('leave, and the count is of those who are left', async () => {
    const { viewers, broadcaster } = await broadcasting();
    world.say(viewers[0]!, { type: 'leave' });
    await world.run(500);
    expect(broadcaster.room?.viewers).toBe(3);
    expect([countOf(1), countOf(2)].sort()).toEqual([1, 2]);
    const next = world.addBrowser();
    world.open(next);
    await world.run(2_000);
    expect([countOf(1), countOf(2)]).toEqual([2, 2]);
  });

  it('are loaded again and keep their places', async () => {
    const { viewers } = await broadcasting();
    const [viewer] = viewers;
    world.say(viewer!, { type: 'away' });
    world.drop(viewer!);
    viewer!.reload();
    world.open(viewer!);
    await expectSeen(world, viewers);
    expect(countOf(1) + countOf(2)).toBe(4);
    expect(viewer!.errors).toEqual([]);
  });

  it('are one page each: who comes with the token of another has its session, and the other is told', async () => {
    const { viewers } = await broadcasting();
    const [viewer, ...others] = viewers;
    const thief = world.addBrowser();
    thief.token = viewer!.token;
    world.open(thief);
    expect(await world.run(5_000, () => seenBy(thief) > 30)).toBe(true);
    expect(viewer!.errors).toEqual(['SUPERSEDED']);
    await expectSeen(world, others);
    expect(countOf(1) + countOf(2)).toBe(4);
  });

  it.each(['', '9-', '1-', '01-', 'x-'])(
    'are nobody by a token that is none of theirs (%j)',
    async (head) => {
      await broadcasting();
      const stranger = world.addBrowser();
      stranger.token = `${head}${'A'.repeat(43)}`;
      world.open(stranger);
      // It is told so, and joins anew.
      expect(await world.run(5_000, () => seenBy(stranger) > 30)).toBe(true);
      expect(stranger.errors).toEqual(['TOKEN_UNKNOWN']);
      expect(countOf(1) + countOf(2)).toBe(5);
      expect(world.broadcast!.sessionCount).toBe(6);
    },
  );

  it('are sent again what they ask for, each by the engine that it is in', async () => {
    const { viewers } = await broadcasting();
    for (const viewer of viewers) {
      const [ssrc, newest] = [...viewer.current!.received.keys()].at(-1)!.split('/').map(Number);
      viewer.current!.report([newest! - 1], ssrc!);
    }
    await world.run(200);
    const sent = [...world.followers.values()].map(({ broadcast }) => broadcast.roomStats.retransmitted);
    expect(sent).toEqual([2, 2]);
    expect(world.broadcast!.roomStats.retransmitted).toBe(0);
  });
});

describe('a viewer who wants to broadcast', () => {
  it('is refused while somebody else does, and stays where it is', async () => {
    const { viewers } = await broadcasting();
    world.say(viewers[0]!, { type: 'publish' });
    await world.run(500);
    expect(viewers[0]!.errors).toEqual(['BROADCASTER_PRESENT']);
    expect([countOfLead(), countOf(1), countOf(2)]).toEqual([1, 2, 2]);
    await expectSeen(world, viewers);
  });

  it('joins the engine that leads when the place is free, and all others see it', async () => {
    const { broadcaster, viewers } = await broadcasting();
    world.say(broadcaster, { type: 'decline', reason: 'stopped' });
    await world.run(500);
    const [next, ...others] = viewers;
    world.say(next!, { type: 'publish' });
    expect(
      await world.run(10_000, () => next!.role === 'broadcaster' && next!.current?.connected === true),
    ).toBe(true);
    await expectSeen(world, others);
    expect([countOfLead(), countOf(1) + countOf(2)]).toEqual([2, 3]);
    await restart(1_000, [broadcaster, ...viewers]);
    await expectSeen(world, [broadcaster, ...others]);
    expect(world.audit().reused).toEqual([]);
  });

  it('does so while the server drains, as who is in the one engine does', async () => {
    const { broadcaster, viewers } = await broadcasting();
    world.say(broadcaster, { type: 'decline', reason: 'stopped' });
    await world.run(500);
    world.broadcast!.refuseNew();
    const [next, ...others] = viewers;
    world.say(next!, { type: 'publish' });
    expect(await world.run(10_000, () => next!.role === 'broadcaster')).toBe(true);
    expect(next!.errors).toEqual(['TOKEN_UNKNOWN']);
    await expectSeen(world, others);
    expect(world.broadcast!.sessionCount).toBe(5);
  });

  it('keeps its place in a full room', async () => {
    const { broadcaster, viewers } = await broadcasting({ broadcast: { maxSessions: 5 } });
    world.say(broadcaster, { type: 'decline', reason: 'stopped' });
    await world.run(500);
    const [next] = viewers;
    world.say(next!, { type: 'publish' });
    const surplus = world.addBrowser();
    world.open(surplus);
    expect(await world.run(10_000, () => next!.role === 'broadcaster')).toBe(true);
    expect(surplus.errors).toEqual(['ROOM_FULL']);
    expect(world.broadcast!.sessionCount).toBe(5);
  });

  it('is refused where its token is for watching', async () => {
    const { broadcaster, viewers } = await broadcasting();
    const guest = world.addBrowser();
    guest.admission = { right: 'view', until: undefined };
    world.open(guest);
    await expectSeen(world, [...viewers, guest]);
    world.say(broadcaster, { type: 'decline', reason: 'stopped' });
    await world.run(500);
    world.say(guest, { type: 'publish' });
    await world.run(1_000);
    expect(guest.errors).toEqual(['PUBLISH_FORBIDDEN']);
    expect(guest.role).toBe('viewer');
  });
});

describe('limits hold over all engines', () => {
  it('as many visitors as there may be, and one more is turned away', async () => {
    const { viewers } = await broadcasting({ broadcast: { maxSessions: 5 } });
    const surplus = world.addBrowser();
    world.open(surplus);
    await world.run(1_000);
    expect(surplus.errors).toEqual(['ROOM_FULL']);
    expect(surplus.role).toBeUndefined();
    world.say(viewers[0]!, { type: 'leave' });
    await world.run(500);
    world.say(surplus, { type: 'join', capabilities: { rekeyInPlace: true } });
    expect(await world.run(5_000, () => seenBy(surplus) > 30)).toBe(true);
  });

  it('over a restart too', async () => {
    const { browsers } = await broadcasting({ broadcast: { maxSessions: 5 } });
    await restart(500, browsers);
    const surplus = world.addBrowser();
    world.open(surplus);
    await world.run(2_000);
    expect(surplus.errors).toEqual(['ROOM_FULL']);
  });

  it('and nobody new comes in while it drains', async () => {
    await broadcasting();
    world.broadcast!.refuseNew();
    const late = world.addBrowser();
    world.open(late);
    await world.run(1_000);
    expect(late.errors).toEqual(['SHUTTING_DOWN']);
    expect(world.broadcast!.sessionCount).toBe(5);
  });
});

describe('another number of engines', () => {
  it.each([0, 1])(
    '(%d after two) loses nobody: those that have viewers go on and take nobody new',
    async (count) => {
      const { browsers, viewers } = await broadcasting();
      world.setFollowers(count);
      await restart(1_000, browsers);
      await expectSeen(world, viewers);
      expect(browsers.map(({ made }) => made)).toEqual([1, 1, 1, 1, 1]);
      const next = world.addBrowser();
      world.open(next);
      await expectSeen(world, [next]);
      expect(countOf(2)).toBe(2);
      expect(world.audit().reused).toEqual([]);
    },
  );

  it('takes those who were in the one engine there was', async () => {
    const { browsers, viewers } = await broadcasting({ followers: 0 });
    world.setFollowers(2);
    await restart(1_000, browsers);
    await expectSeen(world, viewers);
    expect(countOfLead()).toBe(5);
    const next = world.addBrowser();
    world.open(next);
    await expectSeen(world, [next]);
    expect(countOf(1)).toBe(1);
  });
});

it.each(Array.from({ length: 12 }, (_, seed) => seed + 1))(
  'pages that come, go, publish and report what they like, and a server of three engines that is killed, in any order: all come back, and no nonce is used twice (%i)',
  { timeout: 60_000 },
  async (seed) => {
    const scene = await onAir({ followers: 2, viewers: 3, seed, loss: seed % 3 === 0 ? 0.05 : 0 });
    world = scene.world;
    onTestFinished(() => world.dispose());
    const { browsers } = scene;
    const more = [
      (browser: VirtualBrowser) => void world.say(browser, { type: 'publish' }),
      () => void world.rekeyAll(),
    ];
    await walkInAnyOrder({ world, browsers, seed, more, idle: 1 });
    const viewers = browsers.filter(({ role }) => role === 'viewer');
    expect(viewers.length).toBe(browsers.length - 1);
    await expectSeen(world, viewers);
    expect(world.audit()).toMatchObject({ reused: [], unexplained: 0, acceptedAgain: 0 });
  },
);

import { afterEach, describe, expect, it } from 'vitest';
import { countOf } from '../../src/util/histogram.ts';
import { expectSeen, onAir } from '../support/on-air.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import type { VirtualWorld } from '../support/virtual-world.ts';

let world: VirtualWorld;
afterEach(() => world.dispose());

async function broadcasting(options?: Parameters<typeof onAir>[0]): Promise<readonly VirtualBrowser[]> {
  const all = await onAir(options);
  world = all.world;
  return all.browsers;
}

const facts = () => world.broadcast!.facts(world.now);
const states = () =>
  Object.fromEntries(facts().sessions.groups.map(({ role, state, count }) => [`${role} ${state}`, count]));

describe('what the server says of itself', () => {
  it('is who is there, on which keys, and what came and went', async () => {
    await broadcasting();
    await world.run(70_000);
    expect(states()).toEqual({ 'broadcaster live': 1, 'viewer live': 2 });
    const { sessions, room, mediaOut, stale, resume } = facts();
    expect(sessions.groups.map(({ keyAge }) => keyAge)).toEqual(['under-10m', 'under-10m']);
    expect(sessions).toMatchObject({
      limit: 2_000,
      away: 0,
      highestEpoch: 0,
      byEpoch: { none: 0, '0': 3, '1': 0, '2-7': 0, '8-63': 0, '64-over': 0 },
      opened: { broadcaster: 1, viewer: 2 },
    });
    expect(sessions.oldestKeyMs).toBeGreaterThan(70_000);
    expect(room.onAir).toBe(true);
    expect(mediaOut).toBeGreaterThan(room.packetsOut);
    expect(stale).toEqual({ connections: 0, ageMs: 0 });
    expect(resume).toEqual({ found: 0, contexts: 0, present: 0, rekeyed: 0, gone: 0 });
  });

  it('follows a kill: stale keys with their age, then new ones, and how long nobody was served', async () => {
    const browsers = await broadcasting();
    world.kill();
    await world.run(2_000);
    await world.start();
    await world.run(1_000);
    expect(states()).toEqual({ 'broadcaster resumed': 1, 'viewer resumed': 2 });
    expect(facts().stale).toEqual({ connections: 3, ageMs: 1_000 });
    expect(facts().sessions.away).toBe(3);
    expect(facts().resume).toMatchObject({ found: 3, contexts: 3, present: 0, rekeyed: 0 });
    expect(facts().resume.gapMs).toBeGreaterThanOrEqual(2_000);
    expect(facts().resume.gapMs).toBeLessThan(2_400);

    for (const browser of browsers) world.open(browser);
    await expectSeen(world, browsers.slice(1));
    expect(states()).toEqual({ 'broadcaster live': 1, 'viewer live': 2 });
    expect(facts().stale).toEqual({ connections: 0, ageMs: 0 });
    expect(facts().resume).toMatchObject({ found: 3, present: 3, rekeyed: 3, gone: 0 });
    expect(facts().rekeys.started).toEqual({ 'resume in-place': 3 });
    expect(countOf(facts().rekeys.durationMs['in-place']!)).toBe(3);
    expect(facts().sessions).toMatchObject({
      highestEpoch: 1,
      byEpoch: { '0': 0, '1': 3 },
      resumed: { broadcaster: 1, viewer: 2 },
    });
  });

  it.each([20, 80])(
    'counts the round trips of a re-key, whatever one takes: %d ms one way',
    async (oneWay) => {
      const browsers = await broadcasting({ oneWay, signalingOneWay: oneWay });
      world.kill();
      await world.run(500);
      await world.start();
      for (const browser of browsers) world.open(browser);
      await expectSeen(world, browsers.slice(1));
      await world.run(1_000);
      const { roundTrips, durationMs } = facts().rekeys;
      expect(countOf(roundTrips['in-place']!)).toBe(3);
      expect(roundTrips['in-place']!.sum * 2 * oneWay).toBeCloseTo(durationMs['in-place']!.sum, -1);
      expect(roundTrips['in-place']!.sum / 3).toBeLessThan(3);
    },
  );

  it('tells those apart who have no keys and wait for their page', async () => {
    await broadcasting();
    world.kill();
    await world.run(60_000);
    await world.start();
    await world.run(1_000);
    expect(states()).toEqual({ 'broadcaster waiting': 1, 'viewer waiting': 2 });
    expect(facts().resume).toMatchObject({ found: 3, contexts: 0 });
    expect(facts().sessions.groups.every(({ keyAge }) => keyAge === 'none')).toBe(true);
  });

  it('counts losses on and on, over sources that follow each other', async () => {
    const [broadcaster, viewer] = await broadcasting({ loss: 0.05 });
    const begun = facts().room.lost;
    await world.run(6_000);
    const before = facts().room;
    const lost = before.lost - begun;
    expect(lost).toBeGreaterThan(20);
    expect(before.recovered).toBeGreaterThan(0);

    world.say(broadcaster!, { type: 'decline', reason: 'no camera' });
    await world.run(100);
    world.say(viewer!, { type: 'publish' });
    expect(await world.run(5_000, () => facts().room.packetsIn > before.packetsIn + 100)).toBe(true);
    await world.run(6_000);
    expect(facts().room.lost).toBeGreaterThan(before.lost + lost / 2);
    expect(facts().room.unrepaired).toBeGreaterThanOrEqual(before.unrepaired);
  });

  it('changes nothing by being asked: the same datagrams leave at the same times', async () => {
    const sentOver = async (ask: () => void): Promise<readonly string[]> => {
      const [, viewer] = await broadcasting({ loss: 0.05 });
      for (let step = 0; step < 100; step++) {
        if (step === 50) world.broadcast!.rekeyAll(world.now);
        await world.run(20);
        ask();
      }
      await expectSeen(world, [viewer!]);
      // Signatures are of one length or another by chance: what leaves is compared by time and address.
      return world.sent.map(({ at, to }) => `${at} ${to.ip}`);
    };
    const unasked = await sentOver(() => undefined);
    await world.dispose();
    const asked = await sentOver(() => void [facts(), world.broadcast!.dropCounts]);
    expect(asked).toEqual(unasked);
    expect(unasked.length).toBeGreaterThan(500);
  });
});

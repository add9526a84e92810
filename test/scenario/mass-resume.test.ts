import { afterEach, describe, expect, it } from 'vitest';
import { Link } from '../../src/client/link.ts';
import { FIRST_HANDSHAKES, MAX_HANDSHAKES } from '../../src/server/handshake-queue.ts';
import type { Millis } from '../../src/util/clock.ts';
import { expectSeen, onAir } from '../support/on-air.ts';
import { seededNumbers } from '../support/seeded-rng.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import type { VirtualWorld } from '../support/virtual-world.ts';

const VIEWERS = 200;
const DOWNTIME: Millis = 1_000;

let world: VirtualWorld;
afterEach(() => world.dispose());

/** Handshakes that wait for keys now. */
const underWay = (): number =>
  [...(world.broadcast?.sessions ?? [])].filter(({ connections }) =>
    connections.some(({ pending, keyedAt }) => pending !== undefined && keyedAt === undefined),
  ).length;

/** Kills the server, starts it again, and has all pages come back at these times. Gives who came and who got new keys in which order, and how many were at it at most. */
async function restart(browsers: readonly VirtualBrowser[], times: readonly number[]) {
  world.kill();
  await world.run(DOWNTIME);
  await world.start();
  const seen = world.events.length;
  const back = world.now;
  const coming = browsers
    .map((browser, i) => ({ browser, at: back + times[i]! }))
    .sort((a, b) => a.at - b.at);
  let most = 0;
  const all = await world.run(5_000, () => {
    while (coming.length > 0 && coming[0]!.at <= world.now) world.open(coming.shift()!.browser);
    most = Math.max(most, underWay());
    return coming.length === 0 && browsers.every(({ associations }) => associations.length === 2);
  });
  expect(all).toBe(true);
  const events = world.events.slice(seen);
  const of = (name: string): string[] =>
    events.flatMap((event) => {
      if (event.event !== name) return [];
      if ('session' in event) return [event.session];
      return 'connection' in event ? [event.connection.slice(0, event.connection.indexOf('/'))] : [];
    });
  return { came: of('session-resumed'), began: of('rekey-started'), keyed: of('keyed'), most };
}

describe('a restart with two hundred viewers', { timeout: 300_000 }, () => {
  it('gives all of them new keys on the connections they have, and nobody is overtaken by many', async () => {
    const all = await onAir({ viewers: VIEWERS });
    world = all.world;
    const { came, began, keyed, most } = await restart(all.browsers, returns(VIEWERS + 1, seededNumbers(7)));
    expect(all.browsers.every(({ made }) => made === 1)).toBe(true);
    expect(new Set(keyed).size).toBe(VIEWERS + 1);
    // The broadcaster waits for nobody, and so is one more.
    expect(most).toBeLessThanOrEqual(MAX_HANDSHAKES + 1);
    const broadcaster = [...world.broadcast!.sessions].find(({ role }) => role === 'broadcaster')!.id;
    const viewers = (ids: readonly string[]): string[] => ids.filter((id) => id !== broadcaster);
    expect(viewers(began)).toEqual(viewers(came));
    for (const [place, id] of viewers(keyed).entries())
      expect(Math.abs(place - viewers(came).indexOf(id))).toBeLessThanOrEqual(MAX_HANDSHAKES);
    await expectSeen(world, all.viewers);
  });

  it('has many at it where all come in one moment, and the broadcaster at once', async () => {
    const all = await onAir({ viewers: MAX_HANDSHAKES + 40 });
    world = all.world;
    // The broadcaster is the last to come.
    const times = all.browsers.map((browser) => (browser === all.broadcaster ? 5 : 0));
    const { came, began, most } = await restart(all.browsers, times);
    expect(most).toBeGreaterThanOrEqual(FIRST_HANDSHAKES);
    expect(most).toBeLessThanOrEqual(MAX_HANDSHAKES + 1);
    expect(came.at(-1)).toBe(began[FIRST_HANDSHAKES]);
  });

  it('tells all of them how many they are, and not each of them of each', async () => {
    const all = await onAir({ viewers: 120 });
    world = all.world;
    const before = all.browsers.map(({ roomsTold }) => roomsTold);
    await restart(
      all.browsers,
      all.browsers.map((_, i) => i),
    );
    const told = (): number[] => all.browsers.map(({ roomsTold }, i) => roomsTold - before[i]!);
    expect(await world.run(1_000, () => told().every((times) => times > 0))).toBe(true);
    expect(Math.max(...told())).toBeLessThan(10);
    expect(all.browsers.every(({ room }) => room?.viewers === 120)).toBe(true);
    // One who comes is news to everybody, and hears it as well.
    const late = world.addBrowser();
    world.open(late);
    const everybody = [...all.browsers, late];
    expect(await world.run(5_000, () => everybody.every(({ room }) => room?.viewers === 121))).toBe(true);
  });

  it('keeps nobody waiting for those who do not answer', async () => {
    const all = await onAir({ viewers: 2 * MAX_HANDSHAKES + 20 });
    world = all.world;
    const deaf = all.viewers.slice(0, 2 * MAX_HANDSHAKES);
    const others = all.viewers.slice(2 * MAX_HANDSHAKES);
    world.kill();
    await world.run(DOWNTIME);
    await world.start();
    for (const viewer of deaf) {
      world.isolate(viewer, true);
      world.open(viewer);
    }
    for (const viewer of others) world.open(viewer);
    const isKeyed = ({ associations }: VirtualBrowser): boolean => associations.length === 2;
    // Three rounds of those who do not answer, each of more than the one before, and one of their own.
    expect(await world.run(2_000, () => others.every(isKeyed))).toBe(true);
    expect(deaf.some(isKeyed)).toBe(false);
  });
});

describe('pages that look for their server', () => {
  const busiest = (times: readonly number[]): number =>
    Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + 10).length));

  it('come back spread over the time between two looks', () => {
    const times = returns(VIEWERS, seededNumbers(7));
    expect(Math.max(...times)).toBeLessThan(200);
    expect(busiest(times)).toBeLessThan(VIEWERS / 4);
  });

  it('would all come in one moment without jitter', () => {
    expect(busiest(returns(VIEWERS, () => 0.5))).toBe(VIEWERS);
  });
});

describe('a page whose signaling is lost', { timeout: 300_000 }, () => {
  it('keeps its media, and has its session back on the same connection', async () => {
    const all = await onAir();
    world = all.world;
    const [viewer] = all.viewers;
    world.drop(viewer!);
    await world.run(5_000);
    await expectSeen(world, [viewer!]);
    world.open(viewer!);
    await world.run(100);
    expect(viewer!.errors).toEqual([]);
    expect([viewer!.made, viewer!.associations.length]).toEqual([1, 1]);
    await expectSeen(world, [viewer!]);
  });

  it.each([
    { within: true, away: 9_000, errors: [] },
    { within: false, away: 11_000, errors: ['TOKEN_UNKNOWN'] },
  ])(
    'has it back within SESSION_TTL ($within), where its media is gone as well',
    async ({ away, errors }) => {
      const all = await onAir({ broadcast: { sessionTtl: 10_000 } });
      world = all.world;
      const [viewer, other] = all.viewers;
      world.drop(viewer!);
      world.isolate(viewer!, true);
      await world.run(away);
      world.isolate(viewer!, false);
      world.open(viewer!);
      await world.run(100);
      expect(viewer!.errors).toEqual(errors);
      await expectSeen(world, errors.length === 0 ? [viewer!, other!] : [other!]);
    },
  );
});

/** When each page opens its WebSocket, in milliseconds after the server is back: the page's own link, with these numbers as its jitter. */
function returns(count: number, jitter: () => number): number[] {
  return Array.from({ length: count }, () => {
    const link = new Link({ jitter, mediaAlive: () => true, position: () => undefined });
    let now: Millis = 0;
    link.start(now);
    link.pollOutput();
    link.handleOpen(1, now);
    link.established();
    link.handleClose(1, 1006, now);
    for (let looks = 0; looks < 100; looks++) {
      for (let output = link.pollOutput(); output !== undefined; output = link.pollOutput()) {
        if (output.kind === 'probe') link.handleProbe(output.attempt, now >= DOWNTIME, now);
        else if (output.kind === 'openSocket') return now - DOWNTIME;
      }
      now = link.nextTimeout() ?? now;
      link.handleTimeout(now);
    }
    throw new Error('the page does not come back');
  });
}

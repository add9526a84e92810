import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openTurn } from '../../src/server/turn.ts';
import type { ServerMessage } from '../../src/signaling/protocol.ts';
import { Secret } from '../../src/util/secret.ts';
import { expectSeen, type OnAir, onAir } from '../support/on-air.ts';

type Told = Extract<ServerMessage, { type: 'relays' | 'offer' }>;

let scene: OnAir;
afterEach(() => scene.world.dispose());

/** Notes what pages are told from now on. */
function listen(): Told[] {
  const told: Told[] = [];
  const broadcast = scene.world.broadcast!;
  const poll = broadcast.pollOutput.bind(broadcast);
  broadcast.pollOutput = () => {
    const output = poll();
    if (output?.kind === 'message' && (output.message.type === 'relays' || output.message.type === 'offer'))
      told.push(output.message);
    return output;
  };
  return told;
}

it('are told with every offer, to each session its own and good from then on', async () => {
  const relaysFor = (session: string, wall: number) => [
    { urls: ['turn:192.0.2.1'], username: `${wall}:${session}`, credential: 'c' },
  ];
  scene = await onAir({ seed: 5, viewers: 1, broadcast: { relaysFor } });
  const { world, viewers, browsers } = scene;
  const told = listen();
  world.broadcast!.rekeyAll(world.now);
  const ordered = world.wall;
  await world.run(3_000, () => told.length >= 4);
  await expectSeen(world, viewers);
  world.kill();
  await world.start();
  const after = listen();
  const back = world.wall;
  for (const browser of browsers) world.open(browser);
  await expectSeen(world, viewers);
  for (const [list, since] of [
    [told, ordered],
    [after, back],
  ] as const) {
    expect(list.map(({ type }) => type)).toEqual(list.map((_, i) => (i % 2 === 0 ? 'relays' : 'offer')));
    const names = list.flatMap((one) =>
      one.type === 'relays' ? one.servers.map(({ username }) => username) : [],
    );
    expect(new Set(names.map((name) => name.split(':')[1])).size).toBe(2);
    for (const name of names) expect(Number(name.split(':')[0])).toBeGreaterThanOrEqual(since);
  }
});

it('are told to who is in a worker by the engine that leads, to each session its own', async () => {
  const relaysFor = (session: string) => [{ urls: ['turn:192.0.2.1'], username: session, credential: 'c' }];
  scene = await onAir({ seed: 5, viewers: 2, followers: 2, broadcast: { relaysFor } });
  const { world, viewers, browsers } = scene;
  world.kill();
  await world.start();
  for (const browser of browsers) world.open(browser);
  await expectSeen(world, viewers);
  const ids = [...world.followers.values()].flatMap(({ broadcast }) =>
    [...broadcast.sessions].map(({ id }) => id),
  );
  expect(ids.length).toBe(2);
  for (const viewer of viewers) {
    const names = viewer.relays.map(({ username }) => username);
    // With the first offer, and with the one behind the restart.
    expect(names.length).toBe(2);
    expect(new Set(names).size).toBe(1);
    expect(ids).toContain(names[0]);
  }
});

it('are not told where there are none', async () => {
  scene = await onAir({ seed: 5, viewers: 1 });
  const told = listen();
  scene.world.broadcast!.rekeyAll(scene.world.now);
  await scene.world.run(3_000, () => told.length >= 2);
  expect(told.map(({ type }) => type)).toEqual(['offer', 'offer']);
});

describe('credentials of TURN', () => {
  const TTL = 60_000;
  const asked: string[] = [];
  const secret = { name: 'TURN_SECRET', value: Secret.copy(Buffer.from('north-north-north-north')) };
  const turn = openTurn({ urls: ['turn:192.0.2.1'], secret, ttl: TTL });
  const relaysFor: typeof turn = (session, wall) => {
    asked.push(session);
    return turn(session, wall);
  };
  /** Until when the names are good that pages were told. */
  const ends = (told: readonly Told[]): number[] =>
    told.flatMap((one) =>
      one.type === 'relays' ? one.servers.map(({ username }) => Number(username.split(':')[0]) * 1_000) : [],
    );

  beforeEach(async () => {
    asked.length = 0;
    scene = await onAir({ seed: 5, viewers: 1, broadcast: { relaysFor, maxSessions: 3 } });
  });

  it('are good for TURN_TTL from the offer on, and a later offer brings later ones', async () => {
    const { world, viewers } = scene;
    const told = listen();
    for (let round = 1; round <= 2; round++) {
      const since = world.wall;
      world.broadcast!.rekeyAll(world.now);
      expect(await world.run(3_000, () => ends(told).length >= 2 * round)).toBe(true);
      for (const end of ends(told).slice(-2)) {
        // In whole seconds, rounded down.
        expect(end).toBeGreaterThan(since + TTL - 1_000);
        expect(end).toBeLessThanOrEqual(world.wall + TTL);
      }
      await expectSeen(world, viewers);
      // Old ones end nothing: they are for what is begun.
      await world.run(TTL);
    }
    await expectSeen(world, viewers);
  });

  it.each([
    ['whose token has expired', 'ACCESS_EXPIRED'],
    ['who comes while the server drains', 'SHUTTING_DOWN'],
    ['for whom there is no room', 'ROOM_FULL'],
  ] as const)('are made for nobody %s', async (who, code) => {
    const { world } = scene;
    const late = world.addBrowser();
    if (code === 'ACCESS_EXPIRED') late.admission = { right: 'view', until: world.wall - 1 };
    if (code === 'SHUTTING_DOWN') world.broadcast!.refuseNew();
    if (code === 'ROOM_FULL') {
      const third = world.addBrowser();
      world.open(third);
      expect(await world.run(10_000, () => third.current?.connected === true)).toBe(true);
    }
    const before = asked.length;
    const told = listen();
    world.open(late);
    expect(await world.run(5_000, () => late.errors.length > 0), who).toBe(true);
    await world.run(3_000);
    expect([late.errors[0], told, asked.length - before]).toEqual([code, [], 0]);
  });

  it('are made for the same visitor where nothing is in the way', async () => {
    const { world } = scene;
    const before = asked.length;
    const late = world.addBrowser();
    world.open(late);
    expect(await world.run(10_000, () => late.current?.connected === true)).toBe(true);
    expect(asked.length).toBeGreaterThan(before);
  });
});

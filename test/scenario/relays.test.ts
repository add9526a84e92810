import { afterEach, expect, it } from 'vitest';
import type { ServerMessage } from '../../src/signaling/protocol.ts';
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

it('are not told where there are none', async () => {
  scene = await onAir({ seed: 5, viewers: 1 });
  const told = listen();
  scene.world.broadcast!.rekeyAll(scene.world.now);
  await scene.world.run(3_000, () => told.length >= 2);
  expect(told.map(({ type }) => type)).toEqual(['offer', 'offer']);
});

import { afterEach, expect, it } from 'vitest';
import type { Broadcast } from '../../src/server/broadcast.ts';
import type { BroadcastOptions } from '../../src/server/broadcast-io.ts';
import { classifyDatagram } from '../../src/transport/demux.ts';
import { expectSeen, type OnAir, onAir, seenBy } from '../support/on-air.ts';

/** Numbers of pages that are no browsers: they say what a test says for them. */
const FIRST_PAGE = 10_000;

let scene: OnAir;
let pages = 0;
afterEach(() => scene.world.dispose());

/** A broadcaster and a viewer who sees it. */
async function start(options: Partial<BroadcastOptions> = {}): Promise<Broadcast> {
  scene = await onAir({ seed: 8, viewers: 1, broadcast: options });
  return scene.world.broadcast!;
}

const sessions = (broadcast: Broadcast): number => [...broadcast.sessions].length;

/** A page of somebody at this address joins, and answers nothing from then on. */
function joinMutely(broadcast: Broadcast, owner: string): number {
  const id = FIRST_PAGE + pages++;
  broadcast.openPage({ id, owner }, undefined, undefined, scene.world.now);
  broadcast.handleMessage(id, { type: 'join', capabilities: { rekeyInPlace: true } }, scene.world.now);
  return id;
}

it('places-unanswered: pages that answer no offer have their places for minutes, not for ever, and are told why', async () => {
  const broadcast = await start();
  const { world } = scene;
  // Nobody is on the network any more: minutes of media take their time.
  for (const browser of scene.browsers) world.say(browser, { type: 'leave' });
  expect(await world.run(1_000, () => sessions(broadcast) === 0)).toBe(true);
  const told: unknown[] = [];
  const poll = broadcast.pollOutput.bind(broadcast);
  broadcast.pollOutput = () => {
    const output = poll();
    if (output?.kind === 'disconnect') told.push([output.page, output.code]);
    else if (output?.kind === 'message' && output.message.type === 'error')
      told.push([output.page, output.message.code]);
    return output;
  };
  // Who comes first is to broadcast, which takes a camera, and so has more time.
  const pages = [joinMutely(broadcast, 'a'), joinMutely(broadcast, 'b')];
  await world.run(290_000);
  expect([sessions(broadcast), told]).toEqual([2, []]);
  expect(await world.run(90_000, () => sessions(broadcast) === 0)).toBe(true);
  for (const page of pages) {
    expect(told).toContainEqual([page, 'UNREACHABLE']);
    expect(told).toContainEqual([page, 4004]);
  }
}, 300_000);

it('places-shared: one visitor who fills the room keeps nobody else out, and nobody who is in is put out for it', async () => {
  const broadcast = await start({ maxSessions: 12 });
  const { world, broadcaster, viewers } = scene;
  for (let i = 0; i < 100; i++) joinMutely(broadcast, 'greedy');
  expect(sessions(broadcast)).toBe(12);
  const later = world.addBrowser();
  world.open(later);
  expect(await world.run(5_000, () => seenBy(later) > 30)).toBe(true);
  expect(sessions(broadcast)).toBe(12);
  for (let i = 0; i < 100; i++) joinMutely(broadcast, 'greedy');
  await expectSeen(world, [...viewers, later]);
  expect([broadcaster, ...viewers, later].map(({ errors }) => errors)).toEqual([[], [], []]);
  // All others of a full room are one owner's: who is of that owner too is told so.
  const full: unknown[] = [];
  const page = joinMutely(broadcast, 'greedy');
  for (let output = broadcast.pollOutput(); output !== undefined; output = broadcast.pollOutput())
    if (output.kind === 'message' && output.page === page && output.message.type === 'error')
      full.push(output.message.code);
  expect(full).toEqual(['ROOM_FULL']);
});

it('places-broadcaster: who has the broadcast with keys and sends nothing loses it to the next who asks, after a minute', async () => {
  const broadcast = await start();
  const {
    world,
    broadcaster,
    viewers: [viewer],
  } = scene;
  const handle = broadcast.handleDatagram.bind(broadcast);
  let silent = false;
  broadcast.handleDatagram = (datagram, from, now) => {
    if (silent && classifyDatagram(datagram) === 'srtp') return;
    handle(datagram, from, now);
  };
  world.say(viewer!, { type: 'publish' });
  await world.run(70_000, () => viewer!.errors.length > 0);
  expect(viewer!.errors).toEqual(['BROADCASTER_PRESENT']);
  silent = true;
  await world.run(50_000);
  world.say(viewer!, { type: 'publish' });
  await world.run(1_000);
  expect(viewer!.errors).toEqual(['BROADCASTER_PRESENT', 'BROADCASTER_PRESENT']);
  await world.run(20_000);
  // Who only comes to look takes the broadcast from nobody.
  const visitor = world.addBrowser();
  world.open(visitor);
  expect(await world.run(5_000, () => visitor.role !== undefined)).toBe(true);
  expect([visitor.role, broadcaster.role]).toEqual(['viewer', 'broadcaster']);
  world.say(viewer!, { type: 'publish' });
  expect(await world.run(5_000, () => viewer!.role === 'broadcaster' && broadcaster.role === 'viewer')).toBe(
    true,
  );
});

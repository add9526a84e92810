import { afterEach, describe, expect, it } from 'vitest';
import type { Broadcast } from '../../src/server/broadcast.ts';
import type { Address } from '../../src/transport/address.ts';
import { parseStun } from '../../src/transport/ice/stun.ts';
import type { Peer } from '../../src/transport/peer.ts';
import { randomBytes } from '../../src/util/rng.ts';
import { seededRandom } from '../support/seeded-rng.ts';
import { bindingRequest } from '../support/stun.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

const rng = seededRandom(5);
let world: VirtualWorld;
afterEach(() => world.dispose());

interface Heard {
  readonly datagram: Uint8Array;
  readonly from: Address;
}

/** A broadcaster and viewers who see it. */
async function onAir(viewers = 1): Promise<[Broadcast, VirtualBrowser, ...VirtualBrowser[]]> {
  world = await VirtualWorld.create({ seed: 3 });
  const broadcast = await world.start();
  const broadcaster = world.addBrowser();
  world.open(broadcaster);
  expect(await world.run(5_000, () => broadcaster.current?.connected === true)).toBe(true);
  const watching = Array.from({ length: viewers }, () => world.addBrowser());
  for (const viewer of watching) world.open(viewer);
  expect(await world.run(10_000, () => watching.every((viewer) => seen(viewer) > 30))).toBe(true);
  return [broadcast, broadcaster, ...watching];
}

const seen = (viewer: VirtualBrowser): number => viewer.current?.received.size ?? 0;

/** What reaches the server from now on, as somebody on the path sees it. */
function wiretap(broadcast: Broadcast): Heard[] {
  const heard: Heard[] = [];
  const handle = broadcast.handleDatagram.bind(broadcast);
  broadcast.handleDatagram = (datagram, from, now) => {
    heard.push({ datagram, from });
    handle(datagram, from, now);
  };
  return heard;
}

function peerAt(broadcast: Broadcast, address: Address): Peer {
  for (const session of broadcast.sessions) {
    for (const { peer } of session.connections) {
      if (peer.remoteAddress?.ip === address.ip && peer.remoteAddress.port === address.port) return peer;
    }
  }
  throw new Error('nobody is there');
}

const addressOf = (browser: VirtualBrowser): Address => ({
  ip: `10.0.1.${world.browsers.indexOf(browser) + 1}`,
  port: browser.current!.ports[0]!,
});

/** A check that the visitor's own browser could have sent: a visitor knows their own credentials. */
async function ownCheck(
  broadcast: Broadcast,
  visitor: VirtualBrowser,
  nominate: boolean,
): Promise<Uint8Array> {
  const address = addressOf(visitor);
  const heard = wiretap(broadcast);
  const username = () =>
    heard
      .filter(({ from }) => from.ip === address.ip)
      .map(({ datagram }) => parseStun(datagram)?.username)
      .find((name) => name !== undefined);
  expect(await world.run(5_000, () => username() !== undefined)).toBe(true);
  return bindingRequest({
    transactionId: randomBytes(rng, 12),
    username: username()!,
    password: peerAt(broadcast, address).iceCredentials.pwd,
    priority: 1,
    tieBreaker: new Uint8Array(8),
    useCandidate: nominate,
  });
}

describe('a visitor', () => {
  it('who nominates port zero takes no snapshot from the others', async () => {
    const [broadcast, , viewer] = await onAir();
    const check = await ownCheck(broadcast, viewer!, true);
    broadcast.handleDatagram(check, { ...addressOf(viewer!), port: 0 }, world.now);
    // Every write of this world throws where a snapshot cannot be encoded.
    await world.run(500);
    expect(broadcast.drops.get('unanswerable')).toBe(1);
    world.kill();
    const after = await world.start();
    expect([...after.sessions].map((session) => session.current?.peer.keyEpoch)).toEqual([0, 0]);
    expect(after.drops.total).toBe(0);
  });

  it.each([false, true])(
    'who sends a check in the name of the broadcaster silences nobody for long (leaving: %s)',
    async (leaves) => {
      const [broadcast, broadcaster, viewer, visitor] = await onAir(2);
      const check = await ownCheck(broadcast, visitor!, false);
      broadcast.handleDatagram(check, addressOf(broadcaster), world.now);
      if (leaves) world.say(visitor!, { type: 'leave' });
      await world.run(1_500);
      const before = seen(viewer!);
      await world.run(1_000);
      expect(seen(viewer!)).toBeGreaterThan(before + 60);
    },
  );
});

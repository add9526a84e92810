import { afterEach, describe, expect, it } from 'vitest';
import { classifyDatagram } from '../../src/transport/demux.ts';
import { expectSeen, type OnAir, onAir } from '../support/on-air.ts';
import type { VirtualWorld } from '../support/virtual-world.ts';

const STEP = 5;
const ONE_WAY = 10;

let world: VirtualWorld;
afterEach(() => world.dispose());

type Recorded = VirtualWorld['received'];

async function broadcasting(options: Parameters<typeof onAir>[0] = {}): Promise<OnAir> {
  const all = await onAir(options);
  world = all.world;
  for (const viewer of all.viewers) viewer.current!.report([], 0);
  await world.run(1_000);
  return all;
}

/** SRTP and SRTCP of everybody, as somebody on the path has recorded it. */
function recorded(): Recorded {
  const media = world.received.filter(({ datagram }) => /^srtc?p$/.test(classifyDatagram(datagram) ?? ''));
  const kinds = media.map(({ datagram }) => classifyDatagram(datagram));
  expect(kinds.filter((kind) => kind === 'srtp').length).toBeGreaterThan(100);
  expect(kinds.filter((kind) => kind === 'srtcp').length).toBeGreaterThan(0);
  return media;
}

/** Sends packets once more, from the addresses they came from. */
function replay(packets: Recorded): void {
  for (const { from, datagram } of packets) world.inject(datagram, from);
}

const epochs = (): (number | undefined)[] =>
  [...world.broadcast!.sessions].map((session) => session.current?.peer.keyEpoch);

const expectNothingAgain = (): void =>
  expect(world.audit()).toMatchObject({ acceptedAgain: 0, reused: [], unexplained: 0 });

async function resume(downtime = 200): Promise<void> {
  world.kill();
  await world.run(downtime);
  await world.start();
}

describe('packets that are sent to the server again', () => {
  it('replay-in-one-process: are dropped, and the same packets are accepted where the path held them back', async () => {
    const { broadcaster } = await broadcasting();
    const delivered = recorded();
    replay(delivered);
    await world.run(100);
    expectNothingAgain();

    world.isolate(broadcaster, true);
    const mark = world.received.length;
    await world.run(200);
    world.isolate(broadcaster, false);
    const held = world.received.slice(mark).filter(({ datagram }) => classifyDatagram(datagram) === 'srtp');
    const { accepted } = world.audit();
    const { packetsIn } = world.broadcast!.roomStats;
    replay(held);
    await world.run(STEP * 3);
    expect(held.length).toBeGreaterThan(10);
    expect(world.broadcast!.roomStats.packetsIn - packetsIn).toBeGreaterThanOrEqual(held.length);
    expect(world.audit().accepted).toBeGreaterThanOrEqual(accepted + held.length);
    replay(held);
    await world.run(100);
    expectNothingAgain();
  });

  it('replay-after-resume: are dropped by the next process, which goes on under the same keys', async () => {
    const { viewers } = await broadcasting();
    const before = recorded();
    await resume();
    replay(before);
    await world.run(100);
    expect(epochs()).toEqual([0, 0, 0]);
    expectNothingAgain();
    await expectSeen(world, viewers);
    replay(before);
    await world.run(100);
    expect(epochs()).toEqual([0, 0, 0]);
    expectNothingAgain();
  });

  it('replay-of-last-moments: are dropped also where they were accepted behind the last snapshot', async () => {
    await broadcasting({ oneWay: ONE_WAY });
    let writtenAt = world.now;
    world.tamper = (snapshot) => {
      writtenAt = world.now;
      return snapshot;
    };
    const taken = () => world.broadcast!.roomStats.packetsIn;
    let before = taken();
    await world.run(2_000, () => {
      if (writtenAt === world.now) before = taken();
      return taken() > before + 5;
    });
    expect(taken()).toBeGreaterThan(before + 5);
    // Those were on the way when it was written.
    const late = recorded().filter(({ at }) => at > writtenAt - ONE_WAY);
    expect(late.length).toBeGreaterThan(5);
    await resume(0);
    replay(late);
    await world.run(100);
    expect(epochs()).toEqual([0, 0, 0]);
    expectNothingAgain();
  });

  it('replay-past-the-limit: are dropped where they were sent so far ahead that no snapshot was written for them any more', async () => {
    const { broadcaster } = await broadcasting();
    const aboveLimit = () => world.broadcast!.dropCounts.toJSON()['srtp: aboveLimit'] ?? 0;
    // Each leap takes a snapshot to be accepted, and a browser may cause only so many.
    for (let leaps = 0; aboveLimit() < 20 && leaps < 400; leaps++) {
      broadcaster.leap(100);
      await world.run(30);
    }
    expect(aboveLimit()).toBeGreaterThanOrEqual(20);
    const before = recorded().slice(-100);
    await resume(0);
    replay(before);
    await world.run(100);
    expect(epochs()).toEqual([0, 0, 0]);
    expectNothingAgain();
  });

  it('replay-after-wrap: are dropped when their sequence numbers have come round since, or come round in the outage', async () => {
    // 91 packets a second: the wrap is behind the first kill, and at the second start the rollover counter is to be guessed.
    await broadcasting({ firstSequence: 65_536 - 150 });
    const before = recorded();
    await resume();
    replay(before);
    await world.run(300);
    replay(before);
    expect(epochs()).toEqual([0, 0, 0]);
    expectNothingAgain();
    await world.dispose();

    const { viewers } = await broadcasting({ firstSequence: 65_536 - 250 });
    const nearWrap = recorded();
    await resume(3_000);
    replay(nearWrap);
    await expectSeen(world, viewers);
    expect(epochs()).toEqual([0, 0, 0]);
    expectNothingAgain();
  });

  it('replay-after-two-crashes: are dropped by the process after the next', async () => {
    const { viewers } = await broadcasting();
    await resume();
    // A snapshot is written every 200 ms: a crash before the first leaves no contexts.
    await world.run(300);
    await resume();
    replay(recorded());
    await expectSeen(world, viewers);
    expect(epochs()).toEqual([0, 0, 0]);
    expectNothingAgain();
  });

  it('replay-in-rekey-window: are dropped at every moment from the offer of new keys until everybody has them', async () => {
    const { browsers, viewers } = await broadcasting({ oneWay: 20 });
    const before = recorded().slice(-60);
    await resume();
    for (const browser of browsers) world.open(browser);
    const seen = new Set<string>();
    for (let i = 0; i < 60; i++) {
      replay(before);
      await world.run(STEP);
      seen.add(epochs().join());
    }
    // Both the stale keys and the new ones have been there.
    expect([...seen]).toEqual(expect.arrayContaining(['0,0,0', '1,1,1']));
    expectNothingAgain();
    await expectSeen(world, viewers);
  });

  it('replay-of-an-old-epoch: are dropped under the keys of the next, on the same connection and on another', async () => {
    const { browsers, viewers } = await broadcasting();
    await resume();
    for (const browser of browsers) world.open(browser);
    await expectSeen(world, viewers);
    world.broadcast!.rekeyAll(world.now);
    await world.run(2_000);
    expect(epochs()).toEqual([2, 2, 2]);
    const { accepted } = world.audit();
    const { packetsIn } = world.broadcast!.roomStats;
    // From the addresses of now as well: where they once came from nobody is any more.
    const now = browsers.map(
      (_, i) => world.received.findLast(({ from }) => from.ip === `10.0.1.${i + 1}`)!.from,
    );
    const old = recorded().filter(({ at }) => at < world.now - 1_500);
    for (const from of now) replay(old.map((packet) => ({ ...packet, from })));
    await world.run(STEP * 3);
    expectNothingAgain();
    // What was accepted meanwhile is what the broadcaster has sent meanwhile.
    expect(world.audit().accepted - accepted).toBeLessThan(20);
    expect(world.broadcast!.roomStats.packetsIn - packetsIn).toBeLessThan(10);
    await expectSeen(world, viewers);
  });
});

import { afterEach, describe, expect, it } from 'vitest';
import { isKeyframeStart } from '../../src/room/keyframe.ts';
import { parseRtp } from '../../src/rtp/packet.ts';
import { toHex } from '../../src/util/bytes.ts';
import { expectSeen, type OnAirOptions, onAir, seenBy, type Three } from '../support/on-air.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

let world: VirtualWorld;
afterEach(() => world.dispose());

/** A broadcaster and two viewers who see it. */
async function broadcasting(options?: OnAirOptions): Promise<Three> {
  const all = await onAir(options);
  world = all.world;
  return all.browsers as Three;
}

async function restart(downtime: number, browsers: readonly VirtualBrowser[]): Promise<void> {
  world.kill();
  await world.run(downtime);
  await world.start();
  await world.run(50);
  for (const browser of browsers) world.open(browser);
}

describe('a broadcast over kill -9', () => {
  it.each([200, 1_000, 5_000, 15_000, 60_000, 590_000])(
    'goes on after %d ms, on the same connections and new keys',
    async (downtime) => {
      const browsers = await broadcasting();
      await restart(downtime, browsers);
      await expectSeen(world, browsers.slice(1));
      for (const browser of browsers) {
        expect(browser.made).toBe(1);
        expect(browser.associations.length).toBe(2);
        const [before, after] = browser.associations.map(({ keys }) =>
          [keys.local.key, keys.remote.key].map((key) => toHex(key.bytes)),
        );
        expect(before).not.toEqual(after);
        expect(before!.some((key) => after!.includes(key))).toBe(false);
      }
      expect(world.audit().reused).toEqual([]);
    },
  );

  it('forwards on the stale contexts before any page is back', async () => {
    const [broadcaster, viewer] = await broadcasting();
    world.kill();
    await world.run(1_000);
    const before = seenBy(viewer);
    await world.start();
    await world.run(300);
    expect(seenBy(viewer)).toBeGreaterThan(before + 10);
    expect(broadcaster.associations.length).toBe(1);
    expect(viewer.associations.length).toBe(1);
  });

  it('speaks first: every browser hears from the new process before it has said anything to it', async () => {
    const browsers = await broadcasting();
    world.kill();
    await world.run(500);
    const before = world.sent.length;
    await world.start();
    const first = new Set(world.sent.slice(before).map(({ to }) => to.ip));
    expect(first.size).toBe(browsers.length);
  });

  it('uses no stale key longer than STALE_KEY_TTL when no page comes back', async () => {
    await broadcasting();
    world.kill();
    await world.run(500);
    const broadcast = await world.start();
    await world.run(4_900);
    expect([...broadcast.sessions].every((session) => session.current?.peer.keyEpoch === 0)).toBe(true);
    await world.run(200);
    expect([...broadcast.sessions].every((session) => session.current?.peer.keyEpoch === undefined)).toBe(
      true,
    );
    expect(
      world.events
        .filter((event) => event.event === 'stale-keys-destroyed')
        .map((event) => 'by' in event && event.by),
    ).toEqual(['deadline', 'deadline', 'deadline']);
  });

  it('uses no stale key past the deadline it was first written with, however often it crashes', async () => {
    await broadcasting();
    let crashes = 0;
    for (const killedAt = world.now; world.now - killedAt < 60_000; crashes++) {
      world.kill();
      await world.run(1_000);
      const broadcast = await world.start();
      if ([...broadcast.sessions].every((session) => session.current?.peer.keyEpoch === undefined)) {
        expect(world.now - killedAt).toBeLessThanOrEqual(33_000);
        expect(crashes).toBeGreaterThan(10);
        return;
      }
      await world.run(1_000);
    }
    expect.unreachable('the keys outlived a minute of crashes');
  });

  it('writes few snapshots when everybody comes back at the same time', async () => {
    const browsers: VirtualBrowser[] = [...(await broadcasting())];
    for (let i = 0; i < 20; i++) browsers.push(world.addBrowser());
    for (const viewer of browsers.slice(3)) world.open(viewer);
    expect(await world.run(10_000, () => browsers.slice(1).every((viewer) => seenBy(viewer) > 10))).toBe(
      true,
    );
    await restart(1_000, browsers);
    const before = world.mediaWrites;
    const keyed = () => world.events.filter(({ event }) => event === 'keyed').length;
    const first = keyed();
    expect(await world.run(1_000, () => keyed() === first + browsers.length)).toBe(true);
    // Writes are a little further apart where there is more to write.
    await world.run(25);
    expect(world.mediaWrites - before).toBeLessThan(10);
    // And none is forgotten: killed now, everybody goes on under the new keys.
    world.kill();
    const broadcast = await world.start();
    expect([...broadcast.sessions].every((session) => session.current?.peer.keyEpoch === 1)).toBe(true);
    expect(world.audit().reused).toEqual([]);
  });

  it('destroys stale keys within one round trip of the offer', async () => {
    const oneWay = 50;
    const browsers = await broadcasting({ oneWay });
    await restart(1_000, browsers);
    await expectSeen(world, browsers.slice(1));
    const ends = world.events.filter((event) => event.event === 'stale-keys-destroyed');
    expect(ends.length).toBe(3);
    for (const end of ends) expect(end.sinceOfferMs).toBeLessThanOrEqual(2 * oneWay + 20);
  });

  it('survives in strict mode, where no context is ever written', async () => {
    const browsers = await broadcasting({ strict: true });
    await restart(1_000, browsers);
    expect(world.mediaWrites).toBe(0);
    await expectSeen(world, browsers.slice(1));
    expect(browsers.map(({ made }) => made)).toEqual([1, 1, 1]);
  });

  it('survives five kills within three seconds', async () => {
    const browsers = await broadcasting();
    for (let i = 0; i < 5; i++) await restart(300, browsers).then(() => world.run(250));
    await expectSeen(world, browsers.slice(1));
    expect(browsers.map(({ made }) => made)).toEqual([1, 1, 1]);
    expect(world.audit().reused).toEqual([]);
  });

  it.each([0, 5, 10, 15, 20, 25, 30, 40, 60])(
    'survives a second kill %d ms into the re-key',
    async (delay) => {
      const browsers = await broadcasting({ oneWay: 10 });
      await restart(500, browsers);
      await world.run(10 + delay);
      await restart(500, browsers);
      await expectSeen(world, browsers.slice(1));
      expect(browsers.map(({ made }) => made)).toEqual([1, 1, 1]);
      expect(world.audit().reused).toEqual([]);
    },
  );

  it('resumes a viewer that joined 100 ms before the kill', async () => {
    const [broadcaster, viewer] = await broadcasting();
    const late = world.addBrowser();
    world.open(late);
    await world.run(100);
    await restart(1_000, [broadcaster, viewer, late]);
    await expectSeen(world, [viewer, late]);
    expect(late.made).toBe(1);
  });

  it.each([65_300, 65_400, 65_536])(
    'goes on after sequence numbers have wrapped (first %d)',
    async (first) => {
      const browsers = await broadcasting({ firstSequence: first });
      await world.run(3_000);
      await restart(1_000, browsers);
      await expectSeen(world, browsers.slice(1));
      expect(world.audit().reused).toEqual([]);
    },
  );

  it('goes on when the wrap falls into the downtime', async () => {
    const browsers = await broadcasting({ firstSequence: 65_536 - 500 });
    await restart(3_000, browsers);
    await expectSeen(world, browsers.slice(1));
    await restart(200, browsers);
    await expectSeen(world, browsers.slice(1));
    expect(world.audit().reused).toEqual([]);
  });

  it('shows viewers one stream when the broadcaster is replaced across the restart', async () => {
    const [broadcaster, ...viewers] = await broadcasting();
    const ssrcBefore = new Set([...viewers[0]!.current!.received.keys()].map((key) => key.split('/')[0]));
    world.kill();
    broadcaster.connections.clear();
    await world.run(1_000);
    await world.start();
    for (const viewer of viewers) world.open(viewer);
    await world.run(16_000);
    const successor = world.addBrowser();
    world.open(successor);
    await expectSeen(world, viewers);
    expect(successor.role).toBe('broadcaster');
    const ssrcAfter = new Set([...viewers[0]!.current!.received.keys()].map((key) => key.split('/')[0]));
    expect(ssrcAfter).toEqual(ssrcBefore);
    expect(world.audit().reused).toEqual([]);
  });

  it.each([11, 12, 13, 14, 15, 16])(
    'repeats no nonce and loses nobody on a bad network (seed %d)',
    async (seed) => {
      const browsers = await broadcasting({ seed, loss: 0.1, duplication: 0.1, jitter: 40 });
      for (let i = 0; i < 3; i++) {
        await restart(150 + seed * 30, browsers);
        await world.run(700);
      }
      await expectSeen(world, browsers.slice(1));
      const { decrypted, reused } = world.audit();
      expect(decrypted).toBeGreaterThan(300);
      expect(reused).toEqual([]);
    },
  );

  it('sends what fell into the gap again, under the new keys and without being asked', async () => {
    const [broadcaster, viewer] = await broadcasting({ oneWay: 50 });
    await restart(500, [broadcaster, viewer]);
    await expectSeen(world, [viewer]);
    const sequences = [...viewer.current!.received.keys()].map((key) => Number(key.split('/')[1]));
    const resumed = Math.max(...sequences) - 40;
    const missing = Array.from({ length: 40 }, (_, i) => resumed + i).filter(
      (sequence) => !sequences.includes(sequence),
    );
    expect(missing).toEqual([]);
    expect(world.broadcast!.roomStats.resent).toBeGreaterThan(0);
  });

  it.each([800, 2_000])(
    'sends a viewer who was there before the broadcaster the keyframe of %d ms before its offer',
    async (before) => {
      world = await VirtualWorld.create({ seed: 1 });
      await world.start();
      const viewer = world.addBrowser();
      viewer.admission = { right: 'view', until: undefined };
      world.open(viewer);
      expect(await world.run(10_000, () => viewer.current?.connected === true)).toBe(true);
      world.kill();
      await world.start();
      // Nothing of a stream that has not begun under the keys of before can be sent under them.
      const broadcaster = world.addBrowser();
      world.open(broadcaster);
      expect(await world.run(10_000, () => broadcaster.current?.connected === true)).toBe(true);
      await world.run(before);
      expect(seenBy(viewer)).toBe(0);
      world.open(viewer);
      await expectSeen(world, [viewer]);
      expect(viewer.associations.length).toBe(2);
      const packets = [...viewer.current!.received.values()].map((packet) => parseRtp(packet)!);
      expect(packets.some(({ payloadType, payload }) => isKeyframeStart(payloadType, payload))).toBe(true);
    },
  );

  it('sends nothing again that went out before the offer under keys which the viewer had', async () => {
    const [broadcaster, viewer] = await broadcasting({ oneWay: 50 });
    world.kill();
    await world.run(500);
    await world.start();
    // Two and a half seconds of frames of three packets: history has them all.
    await world.run(2_500);
    for (const browser of [broadcaster, viewer]) world.open(browser);
    await expectSeen(world, [viewer]);
    expect(viewer.associations.length).toBe(2);
    const { resent } = world.broadcast!.roomStats;
    expect(resent).toBeGreaterThan(0);
    expect(resent).toBeLessThan(60);
  });
});

describe('new keys in place, for who watches', () => {
  /** Longest time, of some seconds in which everybody gets new keys, without a packet that can be decoded: that follows those before without a gap. */
  async function longestWait(
    options: OnAirOptions,
  ): Promise<{ readonly wait: number; readonly made: number }> {
    const [broadcaster, viewer] = await broadcasting(options);
    world.kill();
    await world.run(200);
    await world.start();
    await world.run(1_000);
    const ssrc = [...viewer.current!.received.keys()].at(-1)!.split('/')[0]!;
    const has = (sequence: number): boolean => viewer.current!.received.has(`${ssrc}/${sequence % 65_536}`);
    let next = Number([...viewer.current!.received.keys()].at(-1)!.split('/')[1]) + 1;
    let progressAt = world.now;
    let wait = 0;
    for (const browser of [broadcaster, viewer]) world.open(browser);
    await world.run(3_000, () => {
      if (!has(next)) return false;
      while (has(next)) next++;
      wait = Math.max(wait, world.now - progressAt);
      progressAt = world.now;
      return false;
    });
    expect(viewer.associations.length).toBe(2);
    expect(broadcaster.associations.length).toBe(2);
    return { wait, made: viewer.made };
  }

  const FRAME = 33;
  /** A flight that came from the new port before that had answered is not heard: the browser repeats it, 50 ms after the first and ever later. */
  const FLIGHT_AGAIN = 50;

  it.each([25, 50, 150])(
    'take one round trip and a frame, of their own and once more of the broadcaster (%d ms one way)',
    async (oneWay) => {
      const { wait, made } = await longestWait({ oneWay });
      expect(wait).toBeLessThanOrEqual(2 * oneWay + FRAME);
      expect(made).toBe(1);
    },
  );

  it.each([25, 50, 150])(
    'take one more where the browser is at another port at once, which has to answer first (%d ms one way)',
    async (oneWay) => {
      const { wait, made } = await longestWait({ oneWay, changesPort: 'at-once' });
      expect(wait).toBeGreaterThan(2 * oneWay + FRAME);
      expect(wait).toBeLessThanOrEqual(4 * oneWay + FRAME + FLIGHT_AGAIN);
      expect(made).toBe(1);
    },
  );

  it.each([25, 75, 200, 400])(
    'come four round trips after a page whose browser is in another network is back (%d ms one way)',
    async (oneWay) => {
      const [, viewer] = await broadcasting({ oneWay, changesPort: 'at-once' });
      world.kill();
      await world.run(200);
      await world.start();
      await world.run(1_000);
      const gone = new Set(viewer.current!.ports);
      const handle = viewer.handleDatagram.bind(viewer);
      viewer.handleDatagram = (to, datagram, now) => {
        if (!gone.has(to.port)) handle(to, datagram, now);
      };
      const begun = world.now;
      world.open(viewer);
      expect(await world.run(10_000, () => viewer.associations.length === 2)).toBe(true);
      expect(world.now - begun).toBeLessThanOrEqual(8 * oneWay);
    },
  );
});

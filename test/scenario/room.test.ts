import { describe, expect, it } from 'vitest';
import { RoomNetwork, type ViewerModel } from '../support/room-network.ts';

/** Everything that was sent from the viewer's first packet to its last, without a hole. */
function expectWhole(network: RoomNetwork, viewer: ViewerModel): void {
  const { received } = viewer;
  expect(received.filter((payload) => payload === undefined)).toEqual([]);
  const from = network.broadcaster.sent.indexOf(received[0]!);
  expect(received).toEqual(network.broadcaster.sent.slice(from, from + received.length));
  expect(network.broadcaster.sent.length - from - received.length).toBeLessThan(4);
}

/** Lets what is under way arrive, with nothing new behind it. */
function settle(network: RoomNetwork): void {
  const quiet = { loss: 0, delay: 20, jitter: 0 };
  network.up = quiet;
  network.down = quiet;
  network.run(network.now + 1000);
  network.broadcaster.paused = true;
  network.run(network.now + 2000);
}

const SEEDS = [1, 2, 3, 4, 5];

describe('a broadcast over a network that loses packets both ways', () => {
  it.each(SEEDS)('reaches every viewer whole (seed %i)', (seed) => {
    const network = new RoomNetwork(seed, { loss: 0.05, delay: 20, jitter: 15 });
    const early = [network.join(), network.join()];
    network.run(3000);
    const late = network.join();
    network.run(10_000);
    settle(network);
    for (const viewer of [...early, late]) expectWhole(network, viewer);
    expect(early[0]!.received.length).toBeGreaterThan(900);
    expect(late.received.length).toBeGreaterThan(600);
    expect(network.room.stats.recovered).toBeGreaterThan(20);
    expect(network.room.stats.retransmitted).toBeGreaterThan(60);
  });

  it.each(SEEDS)('reaches a viewer whole that is re-keyed under way (seed %i)', (seed) => {
    const network = new RoomNetwork(seed, { loss: 0.03, delay: 25, jitter: 10 });
    const [one, other] = [network.join(), network.join()];
    for (const time of [2000, 4000, 4900]) {
      network.at(time, () => network.rekeyViewer(one, 50));
    }
    network.run(8000);
    settle(network);
    expectWhole(network, one);
    expectWhole(network, other);
    expect(network.room.stats.resent).toBeGreaterThan(30);
    expect(one.epoch).toBe(3);
  });

  it.each(SEEDS)('survives a re-key of the broadcaster without a keyframe (seed %i)', (seed) => {
    const network = new RoomNetwork(seed, { loss: 0, delay: 25, jitter: 10 });
    const viewer = network.join();
    network.run(3000);
    const { keyframes } = network.broadcaster;
    network.rekeyBroadcaster(300);
    network.run(6000);
    settle(network);
    expectWhole(network, viewer);
    expect(network.broadcaster.keyframes).toBe(keyframes);
    expect(network.room.stats.recovered).toBeGreaterThan(20);
  });
});

describe('a broadcast whose server is killed', () => {
  it.each(SEEDS)(
    'loses nothing: what was sent while it was down is fetched and sent again (seed %i)',
    (seed) => {
      const network = new RoomNetwork(seed, { loss: 0, delay: 15, jitter: 5 });
      const viewers = [network.join(), network.join()];
      network.run(3050);
      const { keyframes } = network.broadcaster;
      network.crash(200, () => {
        for (const viewer of viewers) network.rekeyViewer(viewer, 40);
      });
      network.run(6000);
      settle(network);
      for (const viewer of viewers) expectWhole(network, viewer);
      expect(network.broadcaster.keyframes).toBe(keyframes);
    },
  );

  it.each(SEEDS)('goes on with a keyframe after an outage too long to be repaired (seed %i)', (seed) => {
    const network = new RoomNetwork(seed, { loss: 0.02, delay: 15, jitter: 5 });
    const viewer = network.join();
    network.run(3050);
    const { keyframes } = network.broadcaster;
    let revivedAt = 0;
    network.crash(5000, () => {
      revivedAt = network.now;
      network.rekeyViewer(viewer, 40);
    });
    network.run(8900);
    expect(network.broadcaster.keyframes).toBeGreaterThan(keyframes);
    expect(network.now - revivedAt).toBeLessThan(900);
    network.run(10_000);
    settle(network);
    const tail = viewer.received.slice(-150);
    expect(tail.filter((payload) => payload === undefined)).toEqual([]);
    expect(tail).toEqual(
      network.broadcaster.sent.slice(network.broadcaster.sent.indexOf(tail[0]!)).slice(0, 150),
    );
  });

  it('survives being killed again and again', () => {
    const network = new RoomNetwork(6, { loss: 0, delay: 15, jitter: 5 });
    const viewer = network.join();
    network.run(2000);
    for (let i = 0; i < 5; i++) {
      network.crash(100, () => network.rekeyViewer(viewer, 40));
      network.run(network.now + 900);
    }
    settle(network);
    expectWhole(network, viewer);
  });
});

import { describe, expect, it } from 'vitest';
import type { MediaPacket } from '../../../src/room/media.ts';
import { MediaQueue } from '../../../src/server/media-queue.ts';
import type { Route } from '../../../src/server/routes.ts';

const packet = (index: number): MediaPacket => ({ ssrc: 1, index, bytes: new Uint8Array(12) });

function viewer(id: string): Route {
  const peer: { sendContext: unknown; remoteAddress: unknown } = {
    sendContext: { of: id },
    remoteAddress: { ip: id },
  };
  return { session: {}, connection: { id, role: 'viewer', peer } } as unknown as Route;
}

const viewers = (count: number): Route[] => Array.from({ length: count }, (_, i) => viewer(`v${i}`));

/** What comes out, batch by batch, as viewer and index. */
function takeAll(queue: MediaQueue): string[][] {
  const batches: string[][] = [];
  while (!queue.isEmpty) {
    const jobs = queue.take();
    if (jobs.length > 0) batches.push(jobs.map((job) => `${job.connection.id} ${job.packet.index}`));
  }
  return batches;
}

describe('media that waits', () => {
  it('comes viewer by viewer, each with all that waits for it, some viewers at a time', () => {
    const queue = new MediaQueue();
    const room = viewers(20);
    for (let index = 1; index <= 5; index++) queue.add(packet(index), room);
    const batches = takeAll(queue);
    expect(batches.map((batch) => batch.length)).toEqual([60, 40]);
    expect(batches.flat()).toEqual(
      room.flatMap(({ connection }) => [1, 2, 3, 4, 5].map((index) => `${connection.id} ${index}`)),
    );
  });

  it('goes to those who were there when it came, and who still have keys and an address', () => {
    const queue = new MediaQueue();
    const [a, b, c] = [viewer('a'), viewer('b'), viewer('c')];
    queue.add(packet(1), [a, b]);
    queue.add(packet(2), [a, b, c]);
    (b.connection.peer as { sendContext: unknown }).sendContext = undefined;
    expect(takeAll(queue).flat()).toEqual(['a 1', 'a 2', 'c 2']);
    (c.connection.peer as { remoteAddress: unknown }).remoteAddress = undefined;
    queue.add(packet(3), [a, b, c]);
    expect(takeAll(queue).flat()).toEqual(['a 3']);
  });

  it('is not for a viewer who is sent it again under new keys, be it half out or not begun', () => {
    const queue = new MediaQueue();
    const room = viewers(80);
    queue.add(packet(1), room);
    const first = queue.take().map(({ connection }) => connection.id);
    queue.add(packet(2), room);
    queue.sendsAgain('v70');
    queue.add(packet(3), room);
    const rest = takeAll(queue).flat();
    expect(first).toHaveLength(64);
    expect(rest.filter((text) => text.startsWith('v70 '))).toEqual(['v70 3']);
    expect(rest.filter((text) => text.startsWith('v71 '))).toEqual(['v71 1', 'v71 2', 'v71 3']);
  });

  it('is taken by no more than eight packets at a time, and never too much', () => {
    const queue = new MediaQueue();
    const room = viewers(9);
    for (let index = 1; index <= 9; index++) queue.add(packet(index), room);
    expect(takeAll(queue).map((batch) => batch.length)).toEqual([64, 8, 9]);
  });

  it('is refused where some seconds of it wait, and taken again when there is room', () => {
    const queue = new MediaQueue();
    const room = viewers(1);
    let taken = 0;
    while (queue.add(packet(taken), room)) taken++;
    expect(taken).toBe(1_024);
    queue.take();
    expect(queue.add(packet(taken), room)).toBe(true);
  });

  it('is nothing where nobody watches', () => {
    const queue = new MediaQueue();
    queue.add(packet(1), []);
    expect(queue.isEmpty).toBe(true);
    expect(queue.take()).toEqual([]);
  });

  it('for one viewer goes first, in the order in which it came', () => {
    const queue = new MediaQueue();
    const [a, b] = [viewer('a'), viewer('b')];
    queue.add(packet(9), [a, b]);
    for (let index = 1; index <= 3; index++) queue.addFor(b, packet(index));
    expect(takeAll(queue)).toEqual([
      ['b 1', 'b 2', 'b 3'],
      ['a 9', 'b 9'],
    ]);
  });

  it('for one viewer is not for who has new keys meanwhile, or none, and is taken some at a time', () => {
    const queue = new MediaQueue();
    const [a, b] = [viewer('a'), viewer('b')];
    for (let index = 1; index <= 100; index++) queue.addFor(a, packet(index));
    expect(queue.take()).toHaveLength(64);
    queue.sendsAgain('a');
    expect(queue.isEmpty).toBe(true);
    queue.addFor(a, packet(101));
    queue.addFor(b, packet(1));
    (b.connection.peer as { sendContext: unknown }).sendContext = undefined;
    expect(takeAll(queue)).toEqual([['a 101']]);
  });

  it('is refused where too much waits already, for one viewer as for all', () => {
    const queue = new MediaQueue();
    const [a] = [viewer('a')];
    const fill = (add: () => boolean): number => {
      let count = 0;
      while (add()) count++;
      return count;
    };
    expect(fill(() => queue.addFor(a, packet(1)))).toBe(65_536);
    expect(fill(() => queue.add(packet(1), [a]))).toBe(1_024);
    queue.take();
    expect(queue.addFor(a, packet(1))).toBe(true);
  });
});

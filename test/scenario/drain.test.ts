import { afterEach, describe, expect, it } from 'vitest';
import { expectSeen, onAir } from '../support/on-air.ts';
import type { VirtualWorld } from '../support/virtual-world.ts';

let world: VirtualWorld;
afterEach(() => world.dispose());

describe('a server that drains', () => {
  it('takes nobody new, and whom it has sees the picture go on', async () => {
    const all = await onAir();
    world = all.world;
    world.broadcast!.refuseNew();
    const late = world.addBrowser();
    world.open(late);
    await expectSeen(world, all.viewers);
    expect(late.errors).toEqual(['SHUTTING_DOWN']);
    expect(late.token).toBeUndefined();
    expect([...world.broadcast!.sessions].length).toBe(3);
  });

  it('took the same visitor before', async () => {
    const all = await onAir();
    world = all.world;
    const inTime = world.addBrowser();
    world.open(inTime);
    await expectSeen(world, [...all.viewers, inTime]);
    expect(inTime.errors).toEqual([]);
  });

  it('takes back a page that has lost its signaling', async () => {
    const all = await onAir();
    world = all.world;
    const [viewer] = all.viewers;
    world.broadcast!.refuseNew();
    world.drop(viewer!);
    await world.run(1_000);
    world.open(viewer!);
    await expectSeen(world, all.viewers);
    expect(viewer!.errors).toEqual([]);
    expect(viewer!.made).toBe(1);
  });

  it('takes a visitor whose session is over for a new one', async () => {
    const all = await onAir({ broadcast: { sessionTtl: 5_000 } });
    world = all.world;
    const [viewer] = all.viewers;
    world.broadcast!.refuseNew();
    world.drop(viewer!);
    world.isolate(viewer!, true);
    const left = () => [...world.broadcast!.sessions].length === 2;
    expect(await world.run(60_000, left)).toBe(true);
    world.open(viewer!);
    await world.run(100, () => viewer!.errors.length > 0);
    expect(viewer!.errors).toEqual(['TOKEN_UNKNOWN']);
    world.say(viewer!, { type: 'join', capabilities: { rekeyInPlace: true } });
    await world.run(100);
    expect(viewer!.errors).toEqual(['TOKEN_UNKNOWN', 'SHUTTING_DOWN']);
  });

  it('lets viewers leave and broadcast, as before', async () => {
    const all = await onAir();
    world = all.world;
    const [first, second] = all.viewers;
    world.broadcast!.refuseNew();
    world.say(all.broadcaster, { type: 'leave' });
    await world.run(100);
    world.say(first!, { type: 'publish' });
    await expectSeen(world, [second!]);
    expect(first!.role).toBe('broadcaster');
  });
});

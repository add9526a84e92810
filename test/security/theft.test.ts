import { afterEach, describe, expect, it } from 'vitest';
import { classifyDatagram } from '../../src/transport/demux.ts';
import { expectSeen, onAir } from '../support/on-air.ts';
import { ATTACKED_PROFILE, Thief } from '../support/thief.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import type { VirtualWorld } from '../support/virtual-world.ts';

let world: VirtualWorld;
afterEach(() => world.dispose());

/** One media packet of each second of the run, to the first viewer. */
function sample(from: number, to = world.sent.length): readonly Uint8Array[] {
  const media = world.sent
    .slice(from, to)
    .filter(({ to, datagram }) => to.ip === '10.0.1.2' && classifyDatagram(datagram) === 'srtp');
  expect(media.length).toBeGreaterThan(2);
  const step = Math.max(1, Math.floor(media.length / 3));
  return media.filter((_, i) => i % step === 0).map(({ datagram }) => datagram);
}

/** A broadcaster and a viewer who sees it. */
async function broadcasting(): Promise<readonly VirtualBrowser[]> {
  const all = await onAir({ viewers: 1, broadcast: { srtpProfiles: [ATTACKED_PROFILE] } });
  world = all.world;
  await world.run(1_000);
  return all.browsers;
}

async function restart(browsers: readonly VirtualBrowser[]): Promise<void> {
  world.kill();
  await world.run(500);
  await world.start();
  for (const browser of browsers) world.open(browser);
  expect(await world.run(5_000, () => browsers.every((browser) => browser.associations.length === 2))).toBe(
    true,
  );
  await world.run(500);
}

/** Up to the moment when it lets go, as a server does that hands over. Gives how much had been sent before it began. */
async function handOver(way: { readonly fresh: boolean }): Promise<number> {
  await world.run(10);
  const [sent, since] = [world.sent.length, world.now];
  if (way.fresh) {
    world.broadcast!.rekeyAll(since);
    expect(await world.run(10_000, () => world.broadcast!.isRekeyedSince(since))).toBe(true);
  }
  await world.run(1_000);
  if (way.fresh) world.broadcast!.writeOnlySince(since);
  world.broadcast!.refreshMedia(world.now);
  world.kill();
  return sent;
}

/** Everything that lies there, with the keys. */
function stealAll(): Thief {
  const thief = new Thief();
  for (const directory of [world.keysDir, world.runtimeDir, world.stateDir]) thief.copy(directory);
  thief.open();
  return thief;
}

/** What the broadcaster has sent, as {@link sample}. */
function sampleFromBroadcaster(until: number): readonly Uint8Array[] {
  const media = world.received
    .filter(
      ({ from, datagram, at }) =>
        from.ip === '10.0.1.1' && at < until && classifyDatagram(datagram) === 'srtp',
    )
    .map(({ datagram }) => datagram);
  expect(media.length).toBeGreaterThan(2);
  return media.filter((_, i) => i % Math.floor(media.length / 3) === 0);
}

describe('somebody who recorded everything', { timeout: 300_000 }, () => {
  it('theft-runtime-locked: and copied RUNTIME_DIR and STATE_DIR without KEYS_DIR opens no file', async () => {
    await broadcasting();
    const thief = new Thief();
    thief.copy(world.runtimeDir);
    thief.copy(world.stateDir);
    thief.open();
    expect(thief.records).toEqual([]);
    for (const directory of [world.keysDir, world.runtimeDir]) thief.copy(directory);
    thief.open();
    expect(thief.decrypts(sample(0), ATTACKED_PROFILE)).toBe(sample(0).length);
  });

  it('theft-late-taken: finds no context in RUNTIME_DIR once they have been taken', async () => {
    await broadcasting();
    world.kill();
    const thief = new Thief();
    thief.copy(world.keysDir);
    await world.start();
    thief.copy(world.runtimeDir);
    thief.open();
    expect(thief.decrypts(sample(0), ATTACKED_PROFILE)).toBe(0);
  });

  it('theft-late-expired: finds no context in RUNTIME_DIR that a server has found past its deadline', async () => {
    await broadcasting();
    world.kill();
    const early = new Thief();
    for (const directory of [world.keysDir, world.runtimeDir]) early.copy(directory);
    await world.run(31_000);
    await world.start();
    const thief = new Thief();
    for (const directory of [world.keysDir, world.runtimeDir]) thief.copy(directory);
    await world.run(1_000);
    for (const directory of [world.keysDir, world.runtimeDir]) thief.copy(directory);
    for (const one of [early, thief]) one.open();
    expect(early.decrypts(sample(0), ATTACKED_PROFILE)).toBe(sample(0).length);
    expect(thief.decrypts(sample(0), ATTACKED_PROFILE)).toBe(0);
  });

  it('theft-handover-fresh: finds in what a fresh handover has written nothing that opens what was sent before', async () => {
    const browsers = await broadcasting();
    const before = sampleFromBroadcaster(world.now);
    const sent = await handOver({ fresh: true });
    const thief = stealAll();
    expect(thief.decrypts([...sample(0, sent), ...before], ATTACKED_PROFILE)).toBe(0);
    // It holds something: what came last.
    expect(
      thief.decrypts(
        world.sent.slice(-20).map(({ datagram }) => datagram),
        ATTACKED_PROFILE,
      ),
    ).toBeGreaterThan(0);
    await world.start();
    for (const browser of browsers) world.open(browser);
    await expectSeen(world, browsers.slice(1));
    expect(world.audit().reused).toEqual([]);
  });

  it('theft-handover-control: and in what any other has written all of it', async () => {
    await broadcasting();
    const before = sampleFromBroadcaster(world.now);
    const sent = await handOver({ fresh: false });
    const all = [...sample(0, sent), ...before];
    expect(stealAll().decrypts(all, ATTACKED_PROFILE)).toBe(all.length);
  });

  it('theft-handover-away: nor the keys of a viewer whose page is away, who resumes by re-key', async () => {
    const browsers = await broadcasting();
    world.drop(browsers[1]!);
    const sent = await handOver({ fresh: true });
    expect(stealAll().decrypts(sample(0, sent), ATTACKED_PROFILE)).toBe(0);
    await world.start();
    for (const browser of browsers) world.open(browser);
    await expectSeen(world, browsers.slice(1));
    expect(world.audit().reused).toEqual([]);
  });

  it('theft-epochs-apart: and the keys of one epoch has none of the next', async () => {
    const browsers = await broadcasting();
    await restart(browsers);
    for (const { associations } of browsers) {
      const [old, fresh] = associations.map(({ keys }) =>
        [keys.local, keys.remote].flatMap(({ key, salt }) => [key, salt].map(({ bytes }) => bytes.join())),
      );
      expect(old!.filter((part) => fresh!.includes(part))).toEqual([]);
    }
  });
});

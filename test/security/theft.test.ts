import { afterEach, describe, expect, it } from 'vitest';
import { classifyDatagram } from '../../src/transport/demux.ts';
import { Thief } from '../support/thief.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

const PROFILE = 'AES_CM_128_HMAC_SHA1_80';
let world: VirtualWorld;
afterEach(() => world.dispose());

/** One media packet of each second of the run, to the first viewer. */
function sample(from: number): readonly Uint8Array[] {
  const media = world.sent
    .slice(from)
    .filter(({ to, datagram }) => to.ip === '10.0.1.2' && classifyDatagram(datagram) === 'srtp');
  const step = Math.max(1, Math.floor(media.length / 3));
  return media.filter((_, i) => i % step === 0).map(({ datagram }) => datagram);
}

async function onAir(): Promise<VirtualBrowser[]> {
  world = await VirtualWorld.create({ seed: 5, broadcast: { srtpProfiles: [PROFILE] } });
  await world.start();
  const browsers = [world.addBrowser(), world.addBrowser()];
  for (const browser of browsers) {
    world.open(browser);
    expect(await world.run(5_000, () => browser.current?.connected === true)).toBe(true);
  }
  await world.run(1_000);
  return browsers;
}

async function restart(browsers: readonly VirtualBrowser[], meanwhile: () => void): Promise<void> {
  world.kill();
  meanwhile();
  await world.run(500);
  await world.start();
  meanwhile();
  for (const browser of browsers) world.open(browser);
  await world.run(30);
  meanwhile();
  expect(await world.run(5_000, () => browsers.every((browser) => browser.associations.length === 2))).toBe(
    true,
  );
  await world.run(500);
  meanwhile();
}

describe('somebody who recorded everything', { timeout: 60_000 }, () => {
  it('and copied STATE_DIR and KEYS_DIR at every moment decrypts nothing', async () => {
    const browsers = await onAir();
    const thief = new Thief();
    const steal = () => {
      thief.copy(world.stateDir);
      thief.copy(world.keysDir);
    };
    steal();
    await restart(browsers, steal);
    thief.open();
    expect(thief.records.length).toBeGreaterThan(8);
    expect(thief.decrypts(sample(0), PROFILE)).toBe(0);
  });

  it('and copied RUNTIME_DIR as well decrypts the epoch of that moment, and no later one', async () => {
    const browsers = await onAir();
    const thief = new Thief();
    thief.copy(world.keysDir);
    thief.copy(world.runtimeDir);
    const before = sample(0);
    const mark = world.sent.length;
    await restart(browsers, () => undefined);
    // Frames on the stale contexts end with the re-key: what came half a second after it is of the new epoch.
    await world.run(1_000);
    const later = sample(mark).slice(-1);
    thief.open();
    expect(thief.decrypts(before, PROFILE)).toBe(before.length);
    expect(later).toHaveLength(1);
    expect(thief.decrypts(later, PROFILE)).toBe(0);
  });

  it('and copied RUNTIME_DIR without KEYS_DIR opens nothing', async () => {
    await onAir();
    const thief = new Thief();
    thief.copy(world.runtimeDir);
    thief.copy(world.stateDir);
    thief.open();
    expect(thief.records).toEqual([]);
  });

  it('finds no context in RUNTIME_DIR after they have been taken', async () => {
    await onAir();
    world.kill();
    const thief = new Thief();
    thief.copy(world.keysDir);
    await world.start();
    thief.copy(world.runtimeDir);
    thief.open();
    expect(thief.decrypts(sample(0), PROFILE)).toBe(0);
  });

  it('and the keys of one epoch has none of the next', async () => {
    const browsers = await onAir();
    await restart(browsers, () => undefined);
    for (const { associations } of browsers) {
      const [old, fresh] = associations.map(({ keys }) =>
        [keys.local, keys.remote].flatMap(({ key, salt }) => [key, salt].map(({ bytes }) => bytes.join())),
      );
      expect(old!.filter((part) => fresh!.includes(part))).toEqual([]);
    }
  });
});

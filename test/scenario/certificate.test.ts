import { afterEach, describe, expect, it } from 'vitest';
import { runCertificate } from '../../src/cli/certificate.ts';
import { fingerprintOf } from '../../src/transport/dtls/fingerprint.ts';
import { toHex } from '../../src/util/bytes.ts';
import { nodeFileSystem } from '../../src/util/file-system.ts';
import { inRam, ran, settingsOf } from '../support/command.ts';
import { expectSeen, type OnAirOptions, onAir, type Three } from '../support/on-air.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import type { VirtualWorld } from '../support/virtual-world.ts';

let world: VirtualWorld;
afterEach(() => world.dispose());

/** A broadcaster and two viewers who see it. */
async function broadcasting(options?: OnAirOptions): Promise<Three> {
  const all = await onAir(options);
  world = all.world;
  return all.browsers as Three;
}

const shown = (browser: VirtualBrowser): string => toHex(browser.associations.at(-1)!.serverCertificate);
const hasSeen = (browser: VirtualBrowser, certificate: Uint8Array): boolean =>
  shown(browser) === toHex(certificate) && browser.current?.connected === true;

describe('a new certificate while everything is well', () => {
  it.each([{ loss: 0 }, { loss: 0.05, jitter: 15, seed: 7 }])(
    'is shown to everybody on a second connection, and nobody misses a picture: %j',
    async (network) => {
      const browsers = await broadcasting(network);
      const former = shown(browsers[0]);
      for (const browser of browsers) expect(shown(browser)).toBe(former);
      const certificate = await world.replaceCertificate();
      expect(toHex(certificate)).not.toBe(former);
      let longest = 0;
      const moved = () => {
        for (const viewer of browsers.slice(1))
          longest = Math.max(longest, world.now - (viewer.current?.receivedAt ?? world.now));
        return browsers.every((browser) => hasSeen(browser, certificate) && browser.connections.size === 1);
      };
      expect(await world.run(30_000, moved)).toBe(true);
      expect(longest).toBeLessThan(300);
      await expectSeen(world, browsers.slice(1));
      for (const browser of browsers) expect(browser.made).toBe(2);
      expect(world.events.filter(({ event }) => event === 'certificate-replaced')).toHaveLength(1);
      expect(world.audit().reused).toEqual([]);
    },
  );

  it('is the one of the next process, also after kill -9', async () => {
    const browsers = await broadcasting();
    const certificate = await world.replaceCertificate();
    await world.run(20_000, () => browsers.every((browser) => hasSeen(browser, certificate)));
    await restart(browsers);
    const again = () => browsers.every(({ associations }) => associations.length === 3);
    expect(await world.run(10_000, again)).toBe(true);
    await expectSeen(world, browsers.slice(1));
    for (const browser of browsers) expect(hasSeen(browser, certificate)).toBe(true);
  });

  it('is shown to a page that was away when it is back, whose picture goes on meanwhile', async () => {
    const [broadcaster, away, viewer] = await broadcasting();
    const former = shown(away);
    world.drop(away);
    await world.run(100);
    const certificate = await world.replaceCertificate();
    await expectSeen(world, [away, viewer]);
    expect(shown(away)).toBe(former);
    expect(hasSeen(viewer, certificate) && hasSeen(broadcaster, certificate)).toBe(true);
    world.open(away);
    expect(await world.run(10_000, () => hasSeen(away, certificate))).toBe(true);
    await expectSeen(world, [away, viewer]);
  });

  it('does not break a handshake that is under way, which shows what was offered, and comes after it', async () => {
    const [, viewer] = await broadcasting();
    const former = shown(viewer);
    const late = world.addBrowser();
    world.open(late);
    // The offer is with the page, and the handshake has begun.
    expect(await world.run(5_000, () => (late.current?.epoch ?? -1) >= 0)).toBe(true);
    expect(late.associations).toEqual([]);
    const certificate = await world.replaceCertificate();
    expect(await world.run(5_000, () => late.associations.length === 1)).toBe(true);
    expect(shown(late)).toBe(former);
    expect(await world.run(20_000, () => hasSeen(late, certificate))).toBe(true);
    expect(late.errors).toEqual([]);
    await expectSeen(world, [late, viewer]);
  });

  it('twice in a row ends with the second', async () => {
    const browsers = await broadcasting();
    await world.replaceCertificate();
    await world.run(30);
    const certificate = await world.replaceCertificate();
    expect(await world.run(30_000, () => browsers.every((browser) => hasSeen(browser, certificate)))).toBe(
      true,
    );
    await expectSeen(world, browsers.slice(1));
    expect(world.audit().reused).toEqual([]);
  });
});

describe('a certificate that was replaced while no server ran', () => {
  it('is taken in place, on the same connections, with the first re-key', async () => {
    const browsers = await broadcasting();
    const former = shown(browsers[0]);
    world.kill();
    const { code, sha256, before } = await rotate();
    expect(code).toBe(0);
    expect(before).toBe(sha256Of(former));
    await restart(browsers);
    const rekeyed = () => browsers.every(({ associations }) => associations.length === 2);
    expect(await world.run(10_000, rekeyed)).toBe(true);
    await expectSeen(world, browsers.slice(1));
    for (const browser of browsers) {
      expect(sha256Of(shown(browser))).toBe(sha256);
      expect(browser.made).toBe(1);
    }
    expect(world.audit().reused).toEqual([]);
  });

  it('does not come back with the generation before', async () => {
    const browsers = await broadcasting();
    await world.run(100);
    world.kill();
    const { sha256 } = await rotate();
    nodeFileSystem.remove(`${world.stateDir}/identity.sealed`);
    await restart(browsers);
    await expectSeen(world, browsers.slice(1));
    for (const browser of browsers) expect(sha256Of(shown(browser))).toBe(sha256);
  });
});

async function restart(browsers: readonly VirtualBrowser[]): Promise<void> {
  world.kill();
  await world.run(1_000);
  await world.start();
  await world.run(50);
  for (const browser of browsers) world.open(browser);
}

const sha256Of = (certificate: string): string =>
  toHex(fingerprintOf(Buffer.from(certificate, 'hex'), 'sha-256').digest);

async function rotate(): Promise<{
  readonly code: number;
  readonly sha256: string;
  readonly before: string;
}> {
  const { code, out } = await ran((io) =>
    runCertificate(['rotate', '--json'], settingsOf(world), io, inRam()),
  );
  return { code, ...(JSON.parse(out) as { sha256: string; before: string }) };
}

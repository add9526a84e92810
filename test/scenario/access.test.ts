import { afterEach, describe, expect, it } from 'vitest';
import type { Admission } from '../../src/signaling/admission.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

const VIEW: Admission = { right: 'view', until: undefined };
const PUBLISH: Admission = { right: 'publish', until: undefined };

let world: VirtualWorld;
afterEach(() => world.dispose());

async function start(): Promise<void> {
  world = await VirtualWorld.create({ seed: 41 });
  await world.start();
}

/** A page that has opened is in by then. */
const SETTLED = 500;

/** Opens the page with what it may do, and waits until it knows what it is. */
async function open(browser: VirtualBrowser, admission: Admission): Promise<VirtualBrowser> {
  const before = browser.errors.length;
  browser.admission = admission;
  world.open(browser);
  await world.run(SETTLED);
  await world.run(5_000, () => browser.errors.length > before || browser.current?.connected === true);
  return browser;
}

const come = (admission: Admission): Promise<VirtualBrowser> => open(world.addBrowser(), admission);
const wall = (inMs: number): number => world.wall + inMs;

describe('who may only view', () => {
  it('does not get the empty place, and is told what it takes to ask for it', async () => {
    await start();
    const viewer = await come(VIEW);
    expect(viewer.role).toBe('viewer');
    world.say(viewer, { type: 'publish' });
    await world.run(100);
    expect([viewer.role, viewer.errors]).toEqual(['viewer', ['PUBLISH_FORBIDDEN']]);
    expect((await come(PUBLISH)).role).toBe('broadcaster');
  });

  it('broadcasts no more from the next visit on, where the right to it has gone', async () => {
    await start();
    const browser = await come(PUBLISH);
    const other = await come(PUBLISH);
    expect([browser.role, other.role]).toEqual(['broadcaster', 'viewer']);
    world.kill();
    await world.start();
    await open(browser, VIEW);
    expect(await world.run(5_000, () => browser.role === 'viewer')).toBe(true);
    await open(other, PUBLISH);
    world.say(other, { type: 'publish' });
    expect(await world.run(5_000, () => other.role === 'broadcaster')).toBe(true);
    expect([...browser.errors, ...other.errors]).toEqual([]);
  });

  it('gets it by coming back with a token that has it', async () => {
    await start();
    const browser = await come(VIEW);
    world.drop(browser);
    await open(browser, PUBLISH);
    world.say(browser, { type: 'publish' });
    expect(await world.run(5_000, () => browser.role === 'broadcaster')).toBe(true);
  });
});

describe('a token that expires', () => {
  it('ends nothing: media goes on, over a restart too', async () => {
    await start();
    const until = wall(10_000);
    const broadcaster = await come({ right: 'publish', until });
    const viewer = await come({ right: 'view', until });
    expect([broadcaster.role, viewer.role]).toEqual(['broadcaster', 'viewer']);
    await world.run(11_000);
    expect(world.wall).toBeGreaterThan(until);
    world.kill();
    await world.start();
    world.open(broadcaster);
    world.open(viewer);
    const seen = () => viewer.current?.received.size ?? 0;
    const before = seen();
    expect(await world.run(5_000, () => seen() > before + 30)).toBe(true);
    expect([broadcaster.role, viewer.role, broadcaster.errors, viewer.errors]).toEqual([
      'broadcaster',
      'viewer',
      [],
      [],
    ]);
  });

  it('begins nothing: no visit, and no broadcast', async () => {
    await start();
    const visitor = await come({ right: 'publish', until: wall(10_000) });
    world.say(visitor, { type: 'decline', reason: 'not now' });
    expect(await world.run(5_000, () => visitor.role === 'viewer')).toBe(true);
    world.say(visitor, { type: 'publish' });
    expect(await world.run(5_000, () => visitor.role === 'broadcaster')).toBe(true);
    world.say(visitor, { type: 'decline', reason: 'not now' });
    await world.run(11_000, () => visitor.role === 'viewer' && world.wall > visitor.admission!.until!);
    await world.run(10_000);
    world.say(visitor, { type: 'publish' });
    await world.run(1_000);
    expect([visitor.role, visitor.errors]).toEqual(['viewer', ['PUBLISH_FORBIDDEN']]);
    const late = await come({ right: 'view', until: wall(-1) });
    expect([late.errors, late.current]).toEqual([['ACCESS_EXPIRED'], undefined]);
    expect((await come({ right: 'view', until: wall(60_000) })).errors).toEqual([]);
  });
});

import { expect } from 'vitest';
import type { PortChange, VirtualBrowser } from './virtual-browser.ts';
import { VirtualWorld, type WorldOptions } from './virtual-world.ts';

export interface OnAir {
  readonly world: VirtualWorld;
  readonly broadcaster: VirtualBrowser;
  readonly viewers: readonly VirtualBrowser[];
  /** Broadcaster and viewers. */
  readonly browsers: readonly VirtualBrowser[];
}

/** The broadcaster and as many viewers as there are where nothing else is said. */
export type Three = readonly [VirtualBrowser, VirtualBrowser, VirtualBrowser];

export interface OnAirOptions extends Partial<WorldOptions> {
  readonly viewers?: number;
  /** Of the broadcaster's video. */
  readonly firstSequence?: number;
  /** Of everybody's browser. */
  readonly changesPort?: PortChange;
}

const START = 10_000;
/** Packets that somebody has seen who sees the picture, and that come while it moves. */
const SEEN = 30;
const MORE = 60;

/** A server with a broadcaster and viewers who see it, on virtual time. */
export async function onAir(options: OnAirOptions = {}): Promise<OnAir> {
  const { viewers: count = 2, firstSequence = 1_000, changesPort, ...rest } = options;
  const usual = changesPort === undefined ? {} : { changesPort };
  const world = await VirtualWorld.create({ seed: 1, ...rest });
  await world.start();
  const broadcaster = world.addBrowser({ firstSequence, ...usual });
  world.open(broadcaster);
  expect(await world.run(START, () => broadcaster.current?.connected === true)).toBe(true);
  const viewers = Array.from({ length: count }, () => world.addBrowser(usual));
  for (const viewer of viewers) world.open(viewer);
  expect(await world.run(START, () => viewers.every((viewer) => seenBy(viewer) > SEEN))).toBe(true);
  return { world, broadcaster, viewers, browsers: [broadcaster, ...viewers] };
}

/** Packets that a viewer's connection in use has had. */
export const seenBy = (viewer: VirtualBrowser): number => viewer.current?.received.size ?? 0;

/** Expects that every one of them sees the picture move within virtual milliseconds. */
export async function expectSeen(
  world: VirtualWorld,
  viewers: readonly VirtualBrowser[],
  within = 20_000,
): Promise<void> {
  const before = viewers.map((viewer) => ({ current: viewer.current, seen: seenBy(viewer) }));
  const more = () =>
    viewers.every((viewer, i) => {
      const { current, seen } = before[i]!;
      const from = viewer.current === current ? seen : 0;
      return seenBy(viewer) > from + MORE && viewer.current?.connected === true;
    });
  expect(await world.run(within, more)).toBe(true);
}

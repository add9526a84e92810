import { afterEach, describe, expect, it } from 'vitest';
import { seededNumbers } from '../support/seeded-rng.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

const EVENTS = 14;
const MOST_PAGES = 5;
/** A picture that stands still for so long is reported by its page, and again after as long. */
const STALL_LIMIT = 4_000;

/** Somebody else broadcasts; a page was back before its last link was up. Never: a token that the server does not know. */
const EXPECTED = new Set(['BROADCASTER_PRESENT', 'SUPERSEDED']);

class Killed extends Error {}

/** A page that comes back whenever its link is gone, and says when nothing moves. */
interface Visitor {
  readonly browser: VirtualBrowser;
  link: 'up' | 'down';
  /** When it tries to come back. */
  backAt: number;
  movedAt: number;
  seen: number;
}

/** People who come, go and change their minds, at a server that is killed, all from one seed. */
class Schedule {
  readonly world: VirtualWorld;
  readonly visitors: Visitor[] = [];
  readonly #next: () => number;
  #startAt: number | undefined;

  constructor(world: VirtualWorld, seed: number) {
    this.world = world;
    this.#next = seededNumbers(seed);
  }

  async play(): Promise<void> {
    await this.#start();
    for (let i = 0; i < 2; i++) this.#join();
    await this.#pass(1_500);
    for (let i = 0; i < EVENTS; i++) {
      this.#happen();
      await this.#pass(50 + this.#next() * 1_200);
    }
    this.world.beforeMediaWrite = undefined;
  }

  /** Lets everything calm down. True when everybody who is left sees the picture move, or moves it. */
  async settle(within: number): Promise<boolean> {
    const { world } = this;
    const end = world.now + within;
    while (world.now < end) {
      await this.#pass(500);
      if (!this.visitors.some(({ browser }) => browser.role === 'broadcaster'))
        world.say(this.visitors[0]!.browser, { type: 'publish' });
      else if (await this.#everybodySees()) return true;
    }
    return false;
  }

  async #everybodySees(): Promise<boolean> {
    const viewers = this.visitors.filter(({ browser }) => browser.role !== 'broadcaster');
    const before = viewers.map(({ browser }) => browser.current?.received.size ?? 0);
    await this.#pass(1_000);
    return viewers.every(({ browser }, i) => (browser.current?.received.size ?? 0) > before[i]! + 30);
  }

  #happen(): void {
    const { world } = this;
    const visitor = this.visitors[Math.floor(this.#next() * this.visitors.length)]!;
    const dice = this.#next();
    if (dice < 0.2 && this.visitors.length < MOST_PAGES) this.#join();
    else if (dice < 0.28 && this.visitors.length > 2) this.#leave(visitor);
    else if (dice < 0.45) this.#drop(visitor);
    else if (dice < 0.55) world.say(visitor.browser, { type: 'publish' });
    else if (dice < 0.65) world.say(visitor.browser, { type: 'decline', reason: 'stopped' });
    else if (dice < 0.8) this.#kill();
    else {
      let writes = Math.floor(this.#next() * 12);
      world.beforeMediaWrite = () => {
        if (writes-- > 0) return;
        world.beforeMediaWrite = undefined;
        throw new Killed();
      };
    }
  }

  #join(): void {
    const { world } = this;
    const browser = world.addBrowser({ firstSequence: 60_000 + Math.floor(this.#next() * 6_000) });
    this.visitors.push({ browser, link: 'down', backAt: world.now, movedAt: world.now, seen: 0 });
  }

  #leave(visitor: Visitor): void {
    this.world.say(visitor.browser, { type: 'leave' });
    visitor.browser.connections.clear();
    this.visitors.splice(this.visitors.indexOf(visitor), 1);
  }

  #drop(visitor: Visitor): void {
    this.world.drop(visitor.browser);
    visitor.link = 'down';
    visitor.backAt = this.world.now + this.#next() * 1_500;
  }

  #kill(): void {
    this.world.kill();
    this.#startAt = this.world.now + 50 + this.#next() * 2_000;
    for (const visitor of this.visitors) {
      visitor.link = 'down';
      visitor.backAt = this.#startAt + 30 + this.#next() * 200;
    }
  }

  async #start(): Promise<void> {
    this.#startAt = undefined;
    try {
      await this.world.start();
    } catch (error) {
      this.#died(error);
    }
  }

  #died(error: unknown): void {
    if (!(error instanceof Killed)) throw error;
    this.#kill();
  }

  async #pass(duration: number): Promise<void> {
    const { world } = this;
    const end = world.now + duration;
    while (world.now < end) {
      if (this.#startAt !== undefined && world.now >= this.#startAt) await this.#start();
      try {
        await world.run(25);
      } catch (error) {
        this.#died(error);
      }
      for (const visitor of this.visitors) this.#live(visitor);
    }
  }

  #live(visitor: Visitor): void {
    const { world } = this;
    const { browser } = visitor;
    if (visitor.link === 'down') {
      if (world.broadcast === undefined || world.now < visitor.backAt) return;
      if (browser.token === undefined) browser.connections.clear();
      visitor.link = 'up';
      visitor.movedAt = world.now;
      world.open(browser);
      return;
    }
    const seen = browser.current?.received.size ?? 0;
    const onAir = this.visitors.some(
      ({ browser }) => browser.role === 'broadcaster' && browser.current?.connected,
    );
    if (seen !== visitor.seen || !onAir || browser.role === 'broadcaster') visitor.movedAt = world.now;
    visitor.seen = seen;
    if (world.now - visitor.movedAt < STALL_LIMIT) return;
    visitor.movedAt = world.now;
    world.say(browser, { type: 'stalled', connection: browser.inUse });
  }
}

let world: VirtualWorld;
afterEach(() => world.dispose());

describe('any schedule of people and kills', () => {
  it.each(Array.from({ length: 24 }, (_, i) => i + 1))(
    'repeats no nonce and leaves nobody silent (seed %d)',
    async (seed) => {
      world = await VirtualWorld.create({
        seed,
        loss: (seed % 4) * 0.03,
        duplication: (seed % 3) * 0.05,
        jitter: (seed % 5) * 10,
        oneWay: 5 + (seed % 3) * 20,
        signalingOneWay: 5 + (seed % 7) * 15,
        broadcast: { rekeyInterval: seed % 2 === 0 ? 3_000 : undefined },
      });
      const schedule = new Schedule(world, seed);
      await schedule.play();
      expect(await schedule.settle(45_000)).toBe(true);
      for (const { browser } of schedule.visitors) {
        expect(browser.errors.filter((code) => !EXPECTED.has(code))).toEqual([]);
        expect(browser.current?.role).toBe(browser.role);
      }
      expect(schedule.visitors.filter(({ browser }) => browser.role === 'broadcaster').length).toBe(1);
      expect(world.events.filter(({ event }) => event === 'protect-failed')).toEqual([]);
      const { decrypted, reused } = world.audit();
      expect(reused).toEqual([]);
      expect(decrypted).toBeGreaterThan(100);
    },
    20_000,
  );
});

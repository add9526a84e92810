import fc from 'fast-check';
import { Killed, type KillMoment } from './faulty-file-system.ts';
import { seededNumbers } from './seeded-rng.ts';
import type { PortChange, VirtualBrowser } from './virtual-browser.ts';
import type { VirtualWorld } from './virtual-world.ts';

/** What can happen to a server and its visitors. `who` counts the visitors round. */
export type Happening =
  | {
      readonly does: 'join';
      readonly firstSequence: number;
      readonly rekeyInPlace: boolean;
      readonly changesPort: PortChange;
    }
  | { readonly does: 'leave' | 'publish' | 'decline'; readonly who: number }
  /** The page's WebSocket is gone for a while. */
  | { readonly does: 'drop'; readonly who: number; readonly for: number }
  /** The browser's UDP is gone for a while. */
  | { readonly does: 'isolate'; readonly who: number; readonly for: number }
  /** With another encoder of the broadcaster's in the outage, perhaps: the next process has to give new packets the numbers that follow. */
  | { readonly does: 'kill'; readonly down: number; readonly encoder: boolean }
  /** Killed in a later step of its files, be it of a write; then perhaps again in a step of the start. */
  | {
      readonly does: 'crash';
      readonly step: number;
      readonly moment: KillMoment;
      readonly down: number;
      readonly again: number;
    }
  /** RUNTIME_DIR is full for a while. */
  | { readonly does: 'fill'; readonly for: number }
  | { readonly does: 'order' }
  /** The broadcaster's numbers go on further ahead, or its encoder starts anew. */
  | { readonly does: 'leap'; readonly by: number }
  | { readonly does: 'encoder'; readonly sequence: number }
  | { readonly does: 'nack'; readonly who: number; readonly back: readonly number[] }
  /** Somebody on the path sends the server again what it was sent last. */
  | { readonly does: 'replay'; readonly count: number }
  | { readonly does: 'clock'; readonly by: number };

/** Something that happens, and the time until the next. */
export interface Event {
  readonly what: Happening;
  readonly pause: number;
}

export interface Surroundings {
  readonly loss: number;
  readonly duplication: number;
  readonly jitter: number;
  readonly oneWay: number;
  readonly signalingOneWay: number;
  readonly profile: 'AES_CM_128_HMAC_SHA1_80' | 'AEAD_AES_128_GCM' | 'AEAD_AES_256_GCM';
  readonly rekeyInterval: number | undefined;
  readonly mediaTtl: number;
  /** How often media snapshots are written; where that is never, there are only those that are asked for. */
  readonly refreshInterval: number;
  readonly seed: number;
}

const does = <Name extends Happening['does'], Rest>(
  name: Name,
  rest: { readonly [Field in keyof Rest]: fc.Arbitrary<Rest[Field]> },
) => fc.record<Rest>(rest).map((fields) => ({ does: name, ...fields }));

const who = fc.nat({ max: 4 });
const nearWrap = fc.integer({ min: 65_536 - 600, max: 65_536 });
const firstSequence = fc.oneof(nearWrap, nearWrap, fc.constantFrom(0, 1, 32_767));
/** Within a snapshot's life, most often; past the deadline of one, seldom. */
const down = fc.oneof(
  { weight: 6, arbitrary: fc.nat({ max: 2_000 }) },
  { weight: 1, arbitrary: fc.constant(4_000) },
);

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 4,
    arbitrary: does('join', {
      firstSequence,
      rekeyInPlace: fc.constantFrom(true, true, false),
      changesPort: fc.constantFrom<PortChange>('when-answered', 'when-answered', 'at-once'),
    }),
  },
  { weight: 1, arbitrary: does('leave', { who }) },
  { weight: 2, arbitrary: does('publish', { who }) },
  { weight: 2, arbitrary: does('decline', { who }) },
  { weight: 2, arbitrary: does('drop', { who, for: fc.nat({ max: 1_500 }) }) },
  { weight: 1, arbitrary: does('isolate', { who, for: fc.nat({ max: 1_500 }) }) },
  { weight: 4, arbitrary: does('kill', { down, encoder: fc.boolean() }) },
  {
    weight: 5,
    arbitrary: does('crash', {
      step: fc.integer({ min: 1, max: 24 }),
      moment: fc.constantFrom<KillMoment>('during', 'after'),
      down,
      again: fc.nat({ max: 14 }),
    }),
  },
  { weight: 2, arbitrary: does('fill', { for: fc.nat({ max: 1_000 }) }) },
  { weight: 2, arbitrary: does('order', {}) },
  { weight: 4, arbitrary: does('leap', { by: fc.constantFrom(40, 200, 600, 5_000, 30_000) }) },
  { weight: 4, arbitrary: does('encoder', { sequence: firstSequence }) },
  {
    weight: 3,
    arbitrary: does('nack', { who, back: fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 6 }) }),
  },
  { weight: 3, arbitrary: does('replay', { count: fc.integer({ min: 1, max: 400 }) }) },
  { weight: 1, arbitrary: does('clock', { by: fc.constantFrom(-3_600_000, -2_000, 2_000, 3_600_000) }) },
);

export const events = (most: number): fc.Arbitrary<readonly Event[]> =>
  fc.array(
    fc
      .record({
        what: happening,
        pause: fc.oneof(fc.integer({ min: 5, max: 100 }), fc.integer({ min: 5, max: 1_200 })),
      })
      .map((event) =>
        Object.assign(event, { [fc.toStringMethod]: () => `${inWords(event.what)}; ${event.pause} ms` }),
      ),
    { minLength: 1, maxLength: most, size: 'max' },
  );

const NEVER = 1e9;

export const surroundings: fc.Arbitrary<Surroundings> = fc.record({
  loss: fc.constantFrom(0, 0.03, 0.09),
  duplication: fc.constantFrom(0, 0.05),
  jitter: fc.constantFrom(0, 10, 40),
  oneWay: fc.constantFrom(5, 25, 45),
  signalingOneWay: fc.constantFrom(5, 50, 95),
  profile: fc.constantFrom('AES_CM_128_HMAC_SHA1_80', 'AEAD_AES_128_GCM', 'AEAD_AES_256_GCM'),
  rekeyInterval: fc.constantFrom(undefined, 3_000),
  mediaTtl: fc.constantFrom(30_000, 3_000),
  refreshInterval: fc.constantFrom(200, 2_000, NEVER, NEVER),
  seed: fc.nat({ max: 1_000 }),
});

function inWords({ does, ...fields }: Happening): string {
  return [does, ...Object.entries(fields).map(([name, value]) => `${name} ${String(value)}`)].join(' ');
}

/** A picture that stands still for so long is reported by its page, and again after as long. */
const STALL_LIMIT = 4_000;
/** What every process is sent first, as somebody on the path has recorded it of those before. */
const RECORDED = 400;
type Joining = Omit<Extract<Happening, { does: 'join' }>, 'does'>;
const USUAL: Joining = { firstSequence: 65_400, rekeyInPlace: true, changesPort: 'when-answered' };
const FEWEST_PAGES = 2;
const MOST_PAGES = 5;

/** A page that comes back whenever its link is gone, and says when nothing moves. */
interface Visitor {
  readonly browser: VirtualBrowser;
  link: 'up' | 'down';
  /** When it tries to come back. */
  backAt: number;
  movedAt: number;
  seen: number;
}

/** Plays what happens to a server that is started again whenever it was killed, and to people who come back whenever they can. */
export class Schedule {
  readonly world: VirtualWorld;
  readonly visitors: Visitor[] = [];
  /** How often a process came to its end. */
  deaths = 0;
  readonly #next: () => number;
  /** The slowest page is back so long after a start: until then it has stale keys. */
  readonly #hurry: number;
  #startAt: number | undefined;
  #down = 0;
  /** Steps of its files that the next process lives for. */
  #again = 0;
  #later: { at: number; run: () => void }[] = [];

  constructor(world: VirtualWorld, seed: number) {
    this.world = world;
    this.#next = seededNumbers(seed);
    this.#hurry = seed % 2 === 0 ? 200 : 2_000;
  }

  /** Two people are there, one broadcasts; then everything happens as it is said. */
  async play(events: readonly Event[]): Promise<void> {
    await this.#start();
    for (let i = 0; i < FEWEST_PAGES; i++) this.#join(USUAL);
    await this.#pass(1_500);
    for (const { what, pause } of events) {
      this.#happen(what);
      await this.#pass(pause);
    }
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

  #happen(what: Happening): void {
    const { world } = this;
    const visitor = this.visitors['who' in what ? what.who % this.visitors.length : 0]!;
    switch (what.does) {
      case 'join':
        if (this.visitors.length < MOST_PAGES) this.#join(what);
        break;
      case 'leave':
        if (this.visitors.length > FEWEST_PAGES) this.#leave(visitor);
        break;
      case 'publish':
        world.say(visitor.browser, { type: 'publish' });
        break;
      case 'decline':
        world.say(visitor.browser, { type: 'decline', reason: 'stopped' });
        break;
      case 'drop':
        world.drop(visitor.browser);
        visitor.link = 'down';
        visitor.backAt = world.now + what.for;
        break;
      case 'isolate':
        world.isolate(visitor.browser, true);
        this.#after(what.for, () => world.isolate(visitor.browser, false));
        break;
      case 'kill':
        this.#down = what.down;
        world.kill();
        if (what.encoder) this.#broadcaster?.restartEncoder(1);
        break;
      case 'crash':
        this.#down = what.down;
        this.#again = what.again;
        world.files.killIn(what.step, what.moment);
        break;
      case 'fill':
        world.fillRuntimeDir(true);
        this.#after(what.for, () => world.fillRuntimeDir(false));
        break;
      case 'order':
        world.rekeyAll();
        break;
      case 'leap':
        this.#broadcaster?.leap(what.by);
        break;
      case 'encoder':
        this.#broadcaster?.restartEncoder(what.sequence);
        break;
      case 'nack':
        nack(visitor.browser, what.back);
        break;
      case 'replay':
        this.#replay(what.count);
        break;
      case 'clock':
        world.setClock(what.by);
        break;
    }
  }

  get #broadcaster(): VirtualBrowser | undefined {
    return this.visitors.find(({ browser }) => browser.role === 'broadcaster')?.browser;
  }

  #join({ firstSequence, rekeyInPlace, changesPort }: Joining): void {
    const { world } = this;
    const browser = world.addBrowser({ firstSequence, rekeyInPlace, changesPort });
    this.visitors.push({ browser, link: 'down', backAt: world.now, movedAt: world.now, seen: 0 });
  }

  #leave(visitor: Visitor): void {
    this.world.say(visitor.browser, { type: 'leave' });
    visitor.browser.connections.clear();
    this.visitors.splice(this.visitors.indexOf(visitor), 1);
  }

  #replay(count: number): void {
    for (const { from, to, datagram } of this.world.received.slice(-count))
      this.world.inject(datagram, from, to);
  }

  #after(time: number, run: () => void): void {
    this.#later.push({ at: this.world.now + time, run });
  }

  async #start(): Promise<void> {
    this.#startAt = undefined;
    const again = this.#again;
    this.#again = 0;
    try {
      await this.world.start((files) => {
        if (again > 0) files.killIn(again);
      });
      this.#replay(RECORDED);
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
    }
  }

  async #pass(duration: number): Promise<void> {
    const { world } = this;
    const end = world.now + duration;
    while (world.now < end) {
      if (world.broadcast === undefined) this.#noteDeath();
      if (this.#startAt !== undefined && world.now >= this.#startAt) await this.#start();
      await world.run(25);
      for (const { run } of this.#take()) run();
      for (const visitor of this.visitors) this.#live(visitor);
    }
  }

  #noteDeath(): void {
    if (this.#startAt !== undefined) return;
    this.deaths++;
    this.#startAt = this.world.now + this.#down;
    for (const visitor of this.visitors) {
      visitor.link = 'down';
      visitor.backAt = this.#startAt + 30 + this.#next() * this.#hurry;
    }
  }

  #take(): readonly { run: () => void }[] {
    const due = this.#later.filter(({ at }) => at <= this.world.now);
    this.#later = this.#later.filter(({ at }) => at > this.world.now);
    return due;
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

/** A viewer asks again for packets it has, so far back from the newest. */
function nack(browser: VirtualBrowser, back: readonly number[]): void {
  const [ssrc, newest] = ([...(browser.current?.received.keys() ?? [])].at(-1) ?? '').split('/').map(Number);
  if (ssrc === undefined || newest === undefined) return;
  browser.current?.report(
    back.map((far) => (newest - far + 65_536) % 65_536),
    ssrc,
  );
}

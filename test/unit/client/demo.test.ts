import { describe, expect, it } from 'vitest';
import { Demo, type DemoFacts, LEAD_MS, PATIENCE_MS, READ_MS, SETTLE_MS } from '../../../src/client/demo.ts';
import { DEMO_STEPS, LATE_WORDS, SHOW_OVER } from '../../../src/client/demo-words.ts';
import { DEMO_ACTIONS, type DemoAction } from '../../../src/signaling/protocol.ts';

const WATCHING: DemoFacts = {
  demo: { actions: DEMO_ACTIONS },
  state: 'live',
  role: 'viewer',
  picture: true,
  instance: 'a',
  epoch: 3,
  connections: 1,
  lastGapMs: undefined,
  frames: 100,
};

/** A page that watches, with a server behind it that does as it is told. */
class World {
  now = 0;
  facts = WATCHING;
  readonly demo = new Demo();
  readonly pressed: DemoAction[] = [];

  constructor(facts: Partial<DemoFacts> = {}) {
    this.changes(facts);
  }

  get face() {
    return this.demo.face;
  }

  changes(facts: Partial<DemoFacts>): void {
    this.facts = { ...this.facts, ...facts };
    this.demo.observe(this.facts, this.now);
    this.#drain();
  }

  presses(action: DemoAction): void {
    this.demo.press(action, this.now);
    this.#drain();
  }

  shows(): void {
    this.demo.toggleShow(this.now);
    this.#drain();
  }

  waits(ms: number): void {
    const end = this.now + ms;
    for (let due = this.demo.nextTimeout(); due !== undefined && due <= end; due = this.demo.nextTimeout()) {
      this.now = Math.max(this.now, due);
      this.demo.handleTimeout(this.now);
      this.#drain();
    }
    this.now = end;
  }

  /** The server goes, and another one comes back, with new keys, to a picture that moves. */
  restarts(facts: Partial<DemoFacts> = {}): void {
    this.changes({ state: 'reconnecting', demo: { actions: [] } });
    this.now += 1_200;
    this.changes({ instance: `${this.facts.instance}+`, state: 'live', lastGapMs: 1_280 });
    this.changes({ demo: { actions: DEMO_ACTIONS } });
    this.changes({ epoch: this.facts.epoch! + 1 });
    this.changes({ frames: this.facts.frames + 5, ...facts });
  }

  rotates(done = true): void {
    this.changes({ demo: { actions: [] } });
    this.changes({
      demo: { actions: [], outcome: { action: 'rotate', done, words: 'words of the server' } },
    });
    this.changes({ demo: { ...this.facts.demo!, actions: DEMO_ACTIONS } });
  }

  #drain(): void {
    for (let one = this.demo.pollPress(); one !== undefined; one = this.demo.pollPress())
      this.pressed.push(one);
  }
}

describe('the buttons of the demonstration', () => {
  it('are not there before the server has offered them', () => {
    const world = new World({ demo: undefined });
    expect(world.face).toMatchObject({ shown: false, canShow: false });
    world.presses('kill');
    world.shows();
    expect(world.pressed).toEqual([]);
    world.changes({ demo: { actions: DEMO_ACTIONS } });
    expect(world.face).toMatchObject({ shown: true, canShow: true, pressable: new Set(DEMO_ACTIONS) });
  });

  it('cannot be pressed while the server has none to offer, or the page is away', () => {
    const world = new World({ demo: { actions: [] } });
    expect(world.face).toMatchObject({ shown: true, canShow: false, pressable: new Set() });
    world.presses('deploy');
    world.shows();
    expect(world.pressed).toEqual([]);
  });

  it.each(DEMO_ACTIONS)('are one at a time: %s', (action) => {
    const world = new World();
    world.presses(action);
    expect(world.face).toMatchObject({ underWay: action, pressable: new Set(), canShow: false });
    expect(world.face.outcome).not.toBe('');
    for (const other of DEMO_ACTIONS) world.presses(other);
    world.shows();
    expect(world.pressed).toEqual([action]);
  });
});

describe('what has come of it', () => {
  it.each([
    ['kill', 'was killed'],
    ['deploy', 'has taken over'],
  ] as const)('is what the page has seen: %s', (action, words) => {
    const world = new World();
    world.presses(action);
    world.restarts();
    expect(world.face).toMatchObject({ underWay: undefined, pressable: new Set(DEMO_ACTIONS) });
    expect(world.face.outcome).toContain(words);
    expect(world.face.outcome).toContain('stood still for 1.3 seconds');
    expect(world.face.outcome).toContain('the same connection, and every key is new (key epoch 4)');
    expect(world.demo.nextTimeout()).toBeUndefined();
  });

  it('is said in milliseconds where it was short', () => {
    const world = new World();
    world.presses('deploy');
    world.restarts({ lastGapMs: 143.4 });
    expect(world.face.outcome).toContain('stood still for 140 ms');
  });

  it('says so where it took another connection', () => {
    const world = new World();
    world.presses('kill');
    world.restarts({ connections: 2 });
    expect(world.face.outcome).toContain('a new connection, and every key is new');
  });

  it('says nothing of new keys where there are none', () => {
    const world = new World();
    world.presses('kill');
    world.restarts({ epoch: 3, frames: 100 });
    expect(world.face.underWay).toBe('kill');
    world.waits(SETTLE_MS);
    expect(world.face.underWay).toBeUndefined();
    expect(world.face.outcome).not.toContain('every key is new');
  });

  it.each([
    [{ role: 'broadcaster' }, 'Your camera was on all the time'],
    [{ role: 'viewer', picture: false, state: 'waiting' }, 'Nobody is broadcasting'],
  ] as const)('is another thing for those who see no gap: %j', (facts, words) => {
    const world = new World(facts);
    world.presses('kill');
    world.restarts(facts);
    expect(world.face.outcome).toContain(words);
  });

  it.each([{ instance: 'a' }, { state: 'rekeying' }, { epoch: 3 }, { frames: 104 }] as const)(
    'is not there before all is as it should be: %j',
    (facts) => {
      const world = new World();
      world.presses('kill');
      world.changes({ instance: 'b' });
      world.changes({ state: 'live', epoch: 4, frames: 105, ...facts });
      expect(world.face.underWay).toBe('kill');
      world.changes({ instance: 'b', state: 'live', epoch: 4, frames: 105 });
      expect(world.face.underWay).toBeUndefined();
    },
  );

  it.each([true, false])('is what the server says, where keys are rotated: %s', (done) => {
    const world = new World();
    world.presses('rotate');
    world.rotates(done);
    expect(world.face).toMatchObject({ underWay: undefined, outcome: 'words of the server' });
  });

  it('is what the server says, where a deploy has failed', () => {
    const world = new World();
    world.presses('deploy');
    const outcome = { action: 'deploy', done: false, words: 'could not start' } as const;
    world.changes({ demo: { actions: [], outcome } });
    expect(world.face).toMatchObject({ underWay: undefined, outcome: 'could not start' });
  });

  it("is not what the server has said before, or of somebody else's", () => {
    const old = { action: 'rotate', done: true, words: 'old' } as const;
    const world = new World({ demo: { actions: DEMO_ACTIONS, outcome: old } });
    world.presses('rotate');
    world.changes({ demo: { actions: [], outcome: old } });
    world.changes({ demo: { actions: [], outcome: { action: 'deploy', done: false, words: 'another' } } });
    expect(world.face.underWay).toBe('rotate');
  });

  it('is waited for, and not for ever', () => {
    const world = new World();
    world.presses('kill');
    world.changes({ state: 'reconnecting', demo: { actions: [] } });
    world.waits(PATIENCE_MS - 1);
    expect(world.face.underWay).toBe('kill');
    world.waits(1);
    expect(world.face).toMatchObject({ underWay: undefined, outcome: LATE_WORDS });
  });
});

describe('a show', () => {
  it('does all of it, one after another, with words before and after', () => {
    const world = new World();
    world.shows();
    expect(world.face).toMatchObject({ showing: true, canShow: true, pressable: new Set() });
    for (const [step, { action, lead, look }] of DEMO_STEPS.entries()) {
      expect(world.face.outcome).toBe(lead);
      expect(world.pressed.length).toBe(step);
      world.waits(LEAD_MS);
      expect(world.pressed.at(-1)).toBe(action);
      if (action === 'rotate') world.rotates();
      else world.restarts();
      expect(world.face.outcome).toContain(look);
      world.waits(READ_MS);
    }
    expect(world.pressed).toEqual(DEMO_ACTIONS);
    expect(world.face).toMatchObject({ showing: false, outcome: SHOW_OVER });
    expect(world.demo.nextTimeout()).toBeUndefined();
    expect(world.now).toBeLessThan(60_000);
  });

  it('can be stopped; what is under way goes on, and nothing follows', () => {
    const world = new World();
    world.shows();
    world.waits(LEAD_MS);
    world.shows();
    expect(world.face).toMatchObject({ showing: false, underWay: 'kill' });
    world.restarts();
    world.waits(10 * READ_MS);
    expect(world.pressed).toEqual(['kill']);
    expect(world.face.pressable).toEqual(new Set(DEMO_ACTIONS));
  });

  it('is over where something fails', () => {
    const world = new World();
    world.shows();
    world.waits(LEAD_MS + PATIENCE_MS);
    expect(world.face).toMatchObject({ showing: false, outcome: LATE_WORDS });
    world.waits(10 * READ_MS);
    expect(world.pressed).toEqual(['kill']);
  });

  it("waits while somebody else's is under way", () => {
    const world = new World();
    world.shows();
    world.changes({ demo: { actions: [] } });
    world.waits(5 * LEAD_MS);
    expect(world.pressed).toEqual([]);
    world.changes({ demo: { actions: DEMO_ACTIONS } });
    world.waits(LEAD_MS);
    expect(world.pressed).toEqual(['kill']);
  });
});

import { describe, expect, it } from 'vitest';
import {
  GOOD_RUN,
  HANDED_OVER_END,
  LONGEST_PAUSE,
  MAX_FAILURES,
  PAUSE,
  Supervisor,
  type SupervisorInput,
  type SupervisorOutput,
} from '../../../src/cli/supervisor.ts';

const CLEAN = { code: 0, signal: null } as const;
const KILLED = { code: null, signal: 'SIGKILL' } as const;
const FAILED = { code: 1, signal: null } as const;

/** A supervisor with its processes on paper. */
class World {
  now = 1_000;
  readonly #supervisor = new Supervisor();

  /** Gives all that follows at once. */
  does(input: SupervisorInput): readonly SupervisorOutput[] {
    this.#supervisor.handle(input, this.now);
    return this.#drain();
  }

  ends(child: number, end: typeof CLEAN | typeof KILLED | typeof FAILED): readonly SupervisorOutput[] {
    return this.does({ kind: 'ended', child, ...end });
  }

  /** The next deadline comes. */
  waits(): readonly SupervisorOutput[] {
    this.now = this.#supervisor.nextTimeout() ?? expect.fail('it waits for nothing');
    this.#supervisor.handleTimeout(this.now);
    return this.#drain();
  }

  get waitsForNothing(): boolean {
    return this.#supervisor.nextTimeout() === undefined;
  }

  handleTimeout(): readonly SupervisorOutput[] {
    this.#supervisor.handleTimeout(this.now);
    return this.#drain();
  }

  #drain(): readonly SupervisorOutput[] {
    const outputs: SupervisorOutput[] = [];
    for (let one = this.#supervisor.pollOutput(); one !== undefined; one = this.#supervisor.pollOutput())
      outputs.push(one);
    return outputs;
  }
}

/** With a server that serves, the first. */
function serving(): World {
  const world = new World();
  expect(world.does({ kind: 'started' })).toEqual([spawned(1)]);
  expect(world.does({ kind: 'ready', child: 1 })).toEqual([]);
  return world;
}

const spawned = (child: number, takeover = false): SupervisorOutput => ({ kind: 'spawn', child, takeover });
const answers = (outputs: readonly SupervisorOutput[]) =>
  outputs.map((one) => (one.kind === 'answer' ? [one.child, one.action, one.done] : one.kind));

describe('a supervisor whose server is killed', () => {
  it('starts another one, after a pause that can be seen', () => {
    const world = serving();
    expect(world.does({ kind: 'pressed', child: 1, action: 'kill' })).toEqual([]);
    expect(world.ends(1, KILLED)).toEqual([{ kind: 'restarting', pauseMs: PAUSE, ...KILLED }]);
    world.now += PAUSE - 1;
    expect(world.handleTimeout()).toEqual([]);
    world.now += 1;
    expect(world.handleTimeout()).toEqual([spawned(2)]);
    expect(world.waitsForNothing).toBe(true);
  });

  it('does so as often as the button is pressed', () => {
    const world = serving();
    for (let child = 1; child <= MAX_FAILURES * 3; child++) {
      world.does({ kind: 'pressed', child, action: 'kill' });
      expect(world.ends(child, KILLED)).toEqual([{ kind: 'restarting', pauseMs: PAUSE, ...KILLED }]);
      expect(world.waits()).toEqual([spawned(child + 1)]);
      world.does({ kind: 'ready', child: child + 1 });
    }
  });
});

describe('a supervisor whose server ends by itself', () => {
  it.each([KILLED, FAILED])('waits longer each time, and gives up: %j', (end) => {
    const world = serving();
    const pauses: number[] = [];
    let child = 1;
    for (; child < MAX_FAILURES; child++) {
      const [restarting] = world.ends(child, end);
      pauses.push(restarting?.kind === 'restarting' ? restarting.pauseMs : expect.fail('it gave up early'));
      expect(world.waits()).toEqual([spawned(child + 1)]);
      world.does({ kind: 'ready', child: child + 1 });
    }
    expect(pauses).toEqual([PAUSE, 2 * PAUSE, 4 * PAUSE, LONGEST_PAUSE]);
    expect(world.ends(child, end)).toEqual([
      { kind: 'gaveUp', failures: MAX_FAILURES, ...end },
      { kind: 'end', code: 1 },
    ]);
    expect(world.waitsForNothing).toBe(true);
  });

  it('begins to count anew where one has run well for a while', () => {
    const world = serving();
    for (let child = 1; child <= MAX_FAILURES * 2; child++) {
      world.now += GOOD_RUN;
      expect(world.ends(child, KILLED)).toEqual([{ kind: 'restarting', pauseMs: PAUSE, ...KILLED }]);
      world.waits();
      world.does({ kind: 'ready', child: child + 1 });
    }
  });

  it('counts one that never serves, however long it takes', () => {
    const world = serving();
    for (let child = 1; child < MAX_FAILURES; child++) {
      world.ends(child, FAILED);
      world.waits();
      world.now += GOOD_RUN;
    }
    expect(world.ends(MAX_FAILURES, FAILED)).toContainEqual({ kind: 'end', code: 1 });
  });

  it.each([
    [FAILED, 1],
    [{ code: 2, signal: null }, 2],
    [KILLED, 137],
    [CLEAN, 0],
  ])('ends as it did where none has ever served: %j', (end, code) => {
    const world = new World();
    world.does({ kind: 'started' });
    expect(world.does({ kind: 'ended', child: 1, ...end })).toEqual([{ kind: 'end', code }]);
  });

  it('ends with it where it was told to by somebody else', () => {
    expect(serving().ends(1, CLEAN)).toEqual([{ kind: 'end', code: 0 }]);
  });
});

describe('a supervisor that deploys', () => {
  const deploying = (): World => {
    const world = serving();
    expect(world.does({ kind: 'pressed', child: 1, action: 'deploy' })).toEqual([spawned(2, true)]);
    return world;
  };
  /** The second server is killed, and a third started. */
  const follows = (world: World): void => {
    world.does({ kind: 'pressed', child: 2, action: 'kill' });
    expect(world.ends(2, KILLED)).toEqual([{ kind: 'restarting', pauseMs: PAUSE, ...KILLED }]);
    expect(world.waits()).toEqual([spawned(3)]);
  };

  it('follows the new server when it serves, and lets the old one end', () => {
    const world = deploying();
    expect(world.does({ kind: 'ready', child: 2 })).toEqual([{ kind: 'deployed' }]);
    expect(world.ends(1, CLEAN)).toEqual([]);
    follows(world);
  });

  it('does so also where the old one has ended first', () => {
    const world = deploying();
    expect(world.ends(1, CLEAN)).toEqual([]);
    expect(world.does({ kind: 'ready', child: 2 })).toEqual([{ kind: 'deployed' }]);
    follows(world);
  });

  it('starts none beside the new one where the old one crashes meanwhile', () => {
    const world = deploying();
    expect(world.ends(1, KILLED)).toEqual([]);
    expect(world.waitsForNothing).toBe(true);
    expect(world.does({ kind: 'ready', child: 2 })).toEqual([{ kind: 'deployed' }]);
  });

  it('keeps the old one, and says so, where the new one does not come up', () => {
    const world = deploying();
    expect(answers(world.ends(2, FAILED))).toEqual([[1, 'deploy', false]]);
    expect(world.does({ kind: 'pressed', child: 1, action: 'deploy' })).toEqual([spawned(3, true)]);
  });

  it('starts one again where the old one has handed over and the new one does not come up', () => {
    const world = deploying();
    world.ends(1, CLEAN);
    expect(world.ends(2, FAILED)).toEqual([{ kind: 'restarting', pauseMs: PAUSE, ...FAILED }]);
    expect(world.waits()).toEqual([spawned(3)]);
  });

  it('starts one again where the new one is gone before the old one, which has handed over, has ended', () => {
    const world = deploying();
    world.ends(2, KILLED);
    expect(world.ends(1, CLEAN)).toEqual([{ kind: 'restarting', pauseMs: PAUSE, ...CLEAN }]);
    expect(world.waits()).toEqual([spawned(3)]);
  });

  it('ends with the old one that is told to end well after a deploy that has failed', () => {
    const world = deploying();
    world.ends(2, FAILED);
    world.now += HANDED_OVER_END;
    expect(world.ends(1, CLEAN)).toEqual([{ kind: 'end', code: 0 }]);
  });

  it('hears the new one, and the old one no more', () => {
    const world = deploying();
    world.does({ kind: 'ready', child: 2 });
    expect(world.does({ kind: 'pressed', child: 1, action: 'rotate' })).toEqual([]);
    expect(world.does({ kind: 'pressed', child: 2, action: 'rotate' })).toEqual([{ kind: 'rotate' }]);
  });
});

describe('a supervisor that rotates keys', () => {
  it('does, and passes on what has come of it', () => {
    const world = serving();
    expect(world.does({ kind: 'pressed', child: 1, action: 'rotate' })).toEqual([{ kind: 'rotate' }]);
    expect(world.does({ kind: 'rotated', done: true, words: 'done' })).toEqual([
      { kind: 'answer', child: 1, action: 'rotate', done: true, words: 'done' },
    ]);
  });

  it.each(['deploy', 'rotate'] as const)('does not %s meanwhile', (action) => {
    const world = serving();
    world.does({ kind: 'pressed', child: 1, action: 'rotate' });
    expect(answers(world.does({ kind: 'pressed', child: 1, action }))).toEqual([[1, action, false]]);
  });

  it('has nobody to tell where the server was killed meanwhile, and the next one may', () => {
    const world = serving();
    world.does({ kind: 'pressed', child: 1, action: 'rotate' });
    world.ends(1, KILLED);
    expect(world.does({ kind: 'rotated', done: true, words: 'done' })).toEqual([]);
    world.waits();
    world.does({ kind: 'ready', child: 2 });
    expect(world.does({ kind: 'pressed', child: 2, action: 'rotate' })).toEqual([{ kind: 'rotate' }]);
  });
});

describe('a supervisor that is told to end', () => {
  const SIGNAL = { kind: 'signalled', signal: 'SIGTERM' } as const;

  it.each([
    [CLEAN, 0],
    [FAILED, 1],
    [KILLED, 137],
  ])("passes it on, and ends with the server's code: %j", (end, code) => {
    const world = serving();
    expect(world.does(SIGNAL)).toEqual([{ kind: 'pass', child: 1, signal: 'SIGTERM' }]);
    expect(world.ends(1, end)).toEqual([{ kind: 'end', code }]);
    expect(world.waitsForNothing).toBe(true);
  });

  it('passes a second one on as well', () => {
    const world = serving();
    world.does(SIGNAL);
    expect(world.does({ kind: 'signalled', signal: 'SIGINT' })).toEqual([
      { kind: 'pass', child: 1, signal: 'SIGINT' },
    ]);
  });

  it('ends at once where it waits to start one', () => {
    const world = serving();
    world.ends(1, KILLED);
    expect(world.does(SIGNAL)).toEqual([{ kind: 'end', code: 0 }]);
    expect(world.waitsForNothing).toBe(true);
  });

  it('waits for both servers of a deploy', () => {
    const world = serving();
    world.does({ kind: 'pressed', child: 1, action: 'deploy' });
    expect(world.does(SIGNAL).map(({ kind }) => kind)).toEqual(['pass', 'pass']);
    expect(world.ends(1, CLEAN)).toEqual([]);
    expect(world.ends(2, CLEAN)).toEqual([{ kind: 'end', code: 0 }]);
  });

  it('does nothing more that a button says', () => {
    const world = serving();
    world.does(SIGNAL);
    expect(answers(world.does({ kind: 'pressed', child: 1, action: 'deploy' }))).toEqual([
      [1, 'deploy', false],
    ]);
  });
});

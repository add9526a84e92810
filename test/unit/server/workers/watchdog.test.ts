import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ASK_INTERVAL, HANGS_AFTER, Watchdog } from '../../../../src/server/workers/watchdog.ts';

/** A watchdog on virtual time, and workers that answer after so many milliseconds, or never. */
class Kennel {
  readonly watchdog = new Watchdog();
  readonly hanging: number[] = [];
  readonly #delays: Map<number, number>;
  #answers: { readonly worker: number; readonly at: number }[] = [];
  now = 5_000;

  constructor(delays: Readonly<Record<number, number>>) {
    this.#delays = new Map(Object.entries(delays).map(([worker, delay]) => [Number(worker), delay]));
    for (const worker of this.#delays.keys()) this.watchdog.watch(worker, this.now);
  }

  hang(worker: number): void {
    this.#delays.set(worker, Number.POSITIVE_INFINITY);
    this.#answers = this.#answers.filter((answer) => answer.worker !== worker);
  }

  /** All that becomes due until then, in its order. */
  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const look = this.watchdog.nextTimeout() ?? Number.POSITIVE_INFINITY;
      const next = Math.min(look, ...this.#answers.map(({ at }) => at));
      if (next > end) break;
      this.now = Math.max(this.now, next);
      if (look <= this.now) this.#look();
      this.#hear();
    }
    this.now = end;
  }

  /** The main thread stands still: answers wait meanwhile, and a look that has become due comes before they are read. */
  standStill(ms: number): void {
    this.now += ms;
    if ((this.watchdog.nextTimeout() ?? Number.POSITIVE_INFINITY) <= this.now) this.#look();
    this.#hear();
  }

  #look(): void {
    this.watchdog.handleTimeout(this.now);
    for (let output = this.watchdog.pollOutput(); output; output = this.watchdog.pollOutput()) {
      const { worker } = output;
      if (output.kind === 'hangs') this.hanging.push(worker);
      else this.#answers.push({ worker, at: this.now + this.#delays.get(worker)! });
    }
  }

  #hear(): void {
    const due = this.#answers.filter(({ at }) => at <= this.now);
    this.#answers = this.#answers.filter(({ at }) => at > this.now);
    for (const { worker } of due) this.watchdog.hear(worker);
  }
}

describe('the watchdog', () => {
  it('finds who has given no sign of life for so long, says so once, and lets the others be', () => {
    const kennel = new Kennel({ 1: 2, 2: 2 });
    kennel.run(60_000);
    kennel.hang(2);
    kennel.run(HANGS_AFTER - ASK_INTERVAL);
    expect(kennel.hanging).toEqual([]);
    kennel.run(3 * ASK_INTERVAL);
    expect(kennel.hanging).toEqual([2]);
    kennel.run(60_000);
    expect(kennel.hanging).toEqual([2]);
  });

  it.each([250, 2_500, HANGS_AFTER - ASK_INTERVAL])(
    'takes nobody who answers %d ms late for one who hangs',
    (delay) => {
      const kennel = new Kennel({ 1: delay });
      kennel.run(600_000);
      expect(kennel.hanging).toEqual([]);
    },
  );

  it('hears of another sign of life than an answer', () => {
    const kennel = new Kennel({ 1: Number.POSITIVE_INFINITY });
    for (let i = 0; i < 100; i++) {
      kennel.run(HANGS_AFTER / 2);
      kennel.watchdog.hear(1);
    }
    expect(kennel.hanging).toEqual([]);
    kennel.run(HANGS_AFTER + 2 * ASK_INTERVAL);
    expect(kennel.hanging).toEqual([1]);
  });

  it.each([1_500, HANGS_AFTER, 8 * 3_600_000])(
    'counts nothing against them of %d ms in which the machine slept, or the main thread stood still',
    (pause) => {
      const kennel = new Kennel({ 1: 2, 2: 800 });
      for (let i = 0; i < 50; i++) {
        kennel.run(700);
        kennel.standStill(pause);
      }
      expect(kennel.hanging).toEqual([]);
    },
  );

  it('finds one that hangs where the main thread stands still now and then all the same', () => {
    const kennel = new Kennel({ 1: 2 });
    kennel.run(5_000);
    kennel.hang(1);
    for (let i = 0; i < 20; i++) {
      kennel.run(700);
      kennel.standStill(60_000);
    }
    expect(kennel.hanging).toEqual([1]);
  });

  it('has no use for a clock that goes back', () => {
    const kennel = new Kennel({ 1: Number.POSITIVE_INFINITY });
    kennel.run(3 * ASK_INTERVAL);
    kennel.watchdog.handleTimeout(kennel.now - 3_600_000);
    expect(kennel.watchdog.silenceOf(1, kennel.now - 3_600_000)).toBeLessThanOrEqual(3 * ASK_INTERVAL);
  });

  it('watches nobody whom it is to forget', () => {
    const kennel = new Kennel({ 1: Number.POSITIVE_INFINITY });
    kennel.run(5_000);
    kennel.watchdog.forget(1);
    expect(kennel.watchdog.nextTimeout()).toBeUndefined();
    kennel.run(60_000);
    expect(kennel.hanging).toEqual([]);
  });

  it('says for how long each has owed an answer', () => {
    const kennel = new Kennel({ 1: 2, 2: Number.POSITIVE_INFINITY });
    kennel.run(ASK_INTERVAL + 10);
    const silences = () => [1, 2, 3].map((worker) => kennel.watchdog.silenceOf(worker, kennel.now));
    expect(silences()).toEqual([0, 10, 0]);
    kennel.run(3_000);
    expect(silences()).toEqual([0, 3_010, 0]);
  });

  it('never takes one that answers in time for one that hangs, however the main thread comes and goes', () => {
    const step = fc.record({ run: fc.nat(5_000), pause: fc.nat(100_000) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(HANGS_AFTER - ASK_INTERVAL), (steps, delay) => {
        const kennel = new Kennel({ 1: delay });
        for (const { run, pause } of steps) {
          kennel.run(run);
          kennel.standStill(pause);
        }
        expect(kennel.hanging).toEqual([]);
      }),
    );
  });
});

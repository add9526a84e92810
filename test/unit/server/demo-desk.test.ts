import { describe, expect, it } from 'vitest';
import { DemoDesk, type DemoWorks } from '../../../src/server/demo-desk.ts';
import { DEMO_ACTIONS, type DemoOutcome, type ServerMessage } from '../../../src/signaling/protocol.ts';

const NONE = { type: 'demo', actions: [] };
const ALL = { type: 'demo', actions: DEMO_ACTIONS };

/** A desk, and in order what came of it. */
function open(faulty: Partial<DemoWorks> = {}) {
  const steps: unknown[] = [];
  const outcomes: ((outcome: DemoOutcome) => void)[] = [];
  const works: DemoWorks = {
    ask: (action) => {
      steps.push(`asks to ${action}`);
      return new Promise((resolve) => outcomes.push(resolve));
    },
    die: async () => void steps.push('dies'),
    ...faulty,
  };
  const desk = new DemoDesk({
    works,
    tell: (message: ServerMessage) => steps.push(message),
    note: async (action) => void steps.push(`notes ${action}`),
    failed: (action, error) => steps.push(`${action} failed: ${error}`),
  });
  return { desk, steps, outcomes };
}

describe('the desk with the buttons', () => {
  it('offers all of them', () => {
    expect(open().desk.offer()).toEqual(ALL);
  });

  it.each(['deploy', 'rotate'] as const)('has it done, and says what came of it: %s', async (action) => {
    const { desk, steps, outcomes } = open();
    const pressed = desk.press(action);
    await Promise.resolve();
    expect(desk.offer()).toEqual(NONE);
    outcomes[0]!({ done: true, words: 'done' });
    await pressed;
    const outcome = { type: 'demo-outcome', action, done: true, words: 'done' };
    expect(steps).toEqual([NONE, `notes ${action}`, `asks to ${action}`, outcome, ALL]);
  });

  it('puts it on record before it has the process die', async () => {
    const { desk, steps } = open();
    await desk.press('kill');
    expect(steps).toEqual([NONE, 'notes kill', 'dies']);
  });

  it('does one at a time', async () => {
    const { desk, steps, outcomes } = open();
    const first = desk.press('rotate');
    await desk.press('kill');
    await desk.press('rotate');
    expect(steps).toEqual([NONE, 'notes rotate', 'asks to rotate']);
    outcomes[0]!({ done: false, words: 'not done' });
    await first;
    await desk.press('kill');
    expect(steps.at(-1)).toBe('dies');
  });

  it.each([
    ['kill', { die: () => Promise.reject(new Error('no')) }],
    ['rotate', { ask: () => Promise.reject(new Error('no')) }],
    [
      'deploy',
      {
        ask: () => {
          throw new Error('no');
        },
      },
    ],
  ] as const)('says that it failed where the works throw, and goes on: %s', async (action, faulty) => {
    const { desk, steps } = open(faulty);
    await desk.press(action);
    const outcome = { type: 'demo-outcome', action, done: false, words: expect.any(String) };
    expect(steps).toEqual([NONE, `notes ${action}`, `${action} failed: Error: no`, outcome, ALL]);
  });
});

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 25;
/** Long enough for a slow machine that has much else to do: who waits in vain has found a fault, not a busy hour. */
const PATIENCE_MS = 90_000;

/** What else there is to say where somebody has waited in vain: each tells how it stands. */
export const witnesses = new Set<() => string>();

/**
 * Waits until `probe` gives something other than `undefined` or `false` and returns it. A probe that throws counts as "not yet"; after
 * `timeoutMs` the error says what was waited for, what was seen last, and what the {@link witnesses} say.
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  timeoutMs = PATIENCE_MS,
  pollMs = POLL_MS,
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  while (true) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      const more = [...witnesses].map((tell) => `\n${tell()}`).join('');
      throw new Error(`waited ${timeoutMs} ms in vain until ${what} (last: ${String(last)})${more}`, {
        cause: last,
      });
    }
    await sleep(pollMs);
  }
}

/** The same without a timer, where a test has stopped the clock: turns of the loop go by until `probe` is true. */
export async function turnsUntil(what: string, probe: () => boolean, turns = 100_000): Promise<void> {
  for (let turn = 0; !probe(); turn++) {
    if (turn === turns) throw new Error(`${turns} turns of the loop went by in vain until ${what}`);
    await nextTurn();
  }
}

/** Lets real time pass where its passing is what is tested: the length of an outage, never a wait for something to happen. */
export async function elapse(ms: number): Promise<void> {
  await sleep(ms);
}

import { setTimeout as sleep } from 'node:timers/promises';
import { RekeycastError } from '../errors.ts';

export interface Deferred<Value> {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value) => void;
}

export function deferred<Value>(): Deferred<Value> {
  let resolve: (value: Value) => void = () => undefined;
  const promise = new Promise<Value>((keep) => {
    resolve = keep;
  });
  return { promise, resolve };
}

/** Keeps no process alive. */
export const elapsed = (ms: number): Promise<void> =>
  new Promise((resume) => {
    setTimeout(resume, ms).unref();
  });

/** Whether it has settled in this time. It goes on otherwise, and nobody waits for it. */
export const within = (work: Promise<unknown>, ms: number): Promise<boolean> =>
  Promise.race([
    work.then(
      () => true,
      () => true,
    ),
    elapsed(ms).then(() => false),
  ]);

/** Rejects with the signal's reason where that comes first: what it waits for may hang. */
export function unlessStopped<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/**
 * Binds where another process was a moment ago: the kernel takes one that was killed apart piece by piece, and what has hung up already may have its
 * ports for a moment still. Throws `PORT_IN_USE` where that does not end.
 */
export async function whenLetGo<Bound>(bind: () => Promise<Bound>): Promise<Bound> {
  for (let tries = 1; ; tries++) {
    try {
      return await bind();
    } catch (error) {
      const inUse = error instanceof RekeycastError && error.code === 'PORT_IN_USE';
      if (!inUse || tries === LETTING_GO_TRIES) throw error;
      await sleep(LETTING_GO_INTERVAL_MS);
    }
  }
}

const LETTING_GO_TRIES = 10;
const LETTING_GO_INTERVAL_MS = 50;

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Millis, monotonicNow } from './clock.ts';

/** Re-keys that follow each other this closely share one collection, which stops the process for some milliseconds. */
const SETTLE: Millis = 500;
/** Where there is much to look through, it takes no more than this part of the time. */
const LARGEST_SHARE = 1 / 15;
/** More than there are threads: each of the others takes the flag back once. */
const TRIES = 100;

let timer: NodeJS.Timeout | undefined;
let collect: (() => void) | undefined;
let lastTook: Millis = 0;

/**
 * Has the garbage collector run soon. A cipher or key object of node:crypto keeps its key until it is collected, so after keys have been
 * replaced the collector has to be nudged for the old ones to leave memory. `collected` is called when they have, unless a run was due already.
 */
export function collectSoon(collected: () => void): void {
  if (timer !== undefined) return;
  timer = setTimeout(
    () => {
      timer = undefined;
      collect ??= exposeCollector();
      const began = monotonicNow();
      collect();
      lastTook = monotonicNow() - began;
      collected();
    },
    Math.max(SETTLE, lastTook / LARGEST_SHARE),
  );
  timer.unref();
}

/** V8's flags are the whole process's: a worker that does the same may take this one back before the context is made, which then has no collector. */
function exposeCollector(): () => void {
  let found: (() => void) | undefined;
  for (let tries = 0; found === undefined && tries < TRIES; tries++) {
    setFlagsFromString('--expose-gc');
    found = runInNewContext('globalThis.gc') as (() => void) | undefined;
  }
  // Code that is kept for the next start is good for a V8 of the same flags only.
  setFlagsFromString('--no-expose-gc');
  if (found === undefined) throw new Error('V8 does not expose its collector');
  return found;
}

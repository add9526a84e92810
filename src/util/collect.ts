import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Millis, monotonicNow } from './clock.ts';

/** Re-keys that follow each other this closely share one collection, which stops the process for some milliseconds. */
const SETTLE: Millis = 500;
/** Where there is much to look through, it takes no more than this part of the time. */
const LARGEST_SHARE = 1 / 15;

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

function exposeCollector(): () => void {
  setFlagsFromString('--expose-gc');
  const found = runInNewContext('gc') as () => void;
  // Code that is kept for the next start is good for a V8 of the same flags only.
  setFlagsFromString('--no-expose-gc');
  return found;
}

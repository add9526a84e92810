/** Loaded into a server before its own program: its worker 1 ends, or hangs, as the file says that FAULT_AT names, when it lies there. */
import { openSync, readFileSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';

if (!isMainThread && workerData?.number === 1)
  setInterval(() => {
    const how = orderAt(process.env.FAULT_AT);
    if (how === 'die') throw new Error('a fault of the program');
    while (how === 'turn in circles');
    // As with a disk that does not answer: nobody ever writes to this pipe.
    if (how?.startsWith('/')) openSync(how, 'r');
  }, 10);

function orderAt(path) {
  try {
    return readFileSync(path, 'utf8') || undefined;
  } catch {
    return undefined;
  }
}

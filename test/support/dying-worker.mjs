/** Loaded into a server before its own program: its worker 1 dies when the file lies there that DIE_AT names. */
import { existsSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';

if (!isMainThread && workerData?.number === 1)
  setInterval(() => {
    if (existsSync(process.env.DIE_AT)) throw new Error('a fault of the program');
  }, 10);

/** Stands for a worker: answers as it is told by what it is asked. */
import { parentPort, workerData } from 'node:worker_threads';

let media = 0;
let facts = 0;

parentPort.on('message', ({ kind, id, ask, with: asked }) => {
  if (kind === 'media') {
    media++;
    return;
  }
  if (kind === 'rekey') {
    Atomics.add(workerData.mediaTaken, 0, media);
    media = 0;
  }
  if (kind === 'leave') process.exit(0);
  if (kind !== 'ask') parentPort.postMessage({ kind: 'keyframe-wanted' });
  else if (ask === 'load' && asked.runtimeDir === 'refuse')
    parentPort.postMessage({ kind: 'failure', id, code: 'KEY_MISSING', message: 'no key' });
  else if (ask === 'bind') parentPort.postMessage({ kind: 'answer', id, value: asked.port });
  else if (ask === 'settle')
    parentPort.postMessage({ kind: 'answer', id, value: workerData.number === 2 ? 'disk-hangs' : 'settled' });
  else if (ask === 'reseal')
    parentPort.postMessage({ kind: 'answer', id, value: JSON.stringify(workerData.settings) });
  else if (ask === 'release' && asked.patience === 1 && workerData.number === 1)
    parentPort.postMessage({ kind: 'failure', id, message: 'no last snapshot' });
  // The others are slower then.
  else if (ask === 'release' && asked.patience === 1)
    setTimeout(() => parentPort.postMessage({ kind: 'answer', id, value: undefined }), 100);
  else if (ask === 'read') throw new Error('out of order');
  else if (ask === 'facts' && facts++ === 0)
    parentPort.postMessage({ kind: 'answer', id, value: { udpPort: 7 } });
  // Nobody answers that, nor what is asked of the facts again.
  else if (ask !== 'facts' && ask !== 'renew')
    parentPort.postMessage({ kind: 'answer', id, value: undefined });
});
parentPort.postMessage({ kind: 'viewers', viewers: workerData.number });
parentPort.postMessage({ kind: 'log', level: 'warn', event: { event: 'media-not-written' }, words: 'why' });
parentPort.postMessage({ kind: 'stored', event: { level: 'warn', event: 'media-expired', message: 'late' } });

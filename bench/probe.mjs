import { readdirSync, rmSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapSpaceStatistics } from 'node:v8';

// Loaded into a server that is measured, by `--expose-gc --import`: what it asks of itself there is nothing that the product knows of.
const path = process.env.BENCH_PROBE;
/** The interval at which the server writes its media snapshot: everything that is done for one is done in its call. */
const WRITE_INTERVAL_MS = 200;
const SAMPLING_US = 500;
const OF = {
  media: new Set(['refreshMedia', 'writeMedia', 'writeSoon']),
  identity: new Set(['writeIdentity', 'captureIdentity']),
  collector: new Set(['(garbage collector)']),
  idle: new Set(['(idle)']),
};

let writes = [];
const { setInterval } = globalThis;
globalThis.setInterval = (work, ms, ...rest) => {
  if (ms !== WRITE_INTERVAL_MS) return setInterval(work, ms, ...rest);
  return setInterval(() => {
    const [cpu, from] = [process.cpuUsage(), performance.now()];
    work();
    const ms = performance.now() - from;
    const { user, system } = process.cpuUsage(cpu);
    writes.push({ ms, cpuMs: (user + system) / 1000 });
  }, ms);
};

/** What is left behind a collection. What finalizers give back goes with the second one. */
async function memory() {
  gc();
  await sleep(50);
  gc();
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
  const resources = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  const code = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'code_space').space_used_size;
  // One of them is the directory that is being read.
  return {
    code,
    rss,
    heapUsed,
    external,
    arrayBuffers,
    files: readdirSync('/proc/self/fd').length - 1,
    resources,
  };
}

/** The writes since this was asked last: how long each has held the loop up, and the processor time of the process meanwhile. */
function writesSince() {
  const all = writes;
  writes = [];
  return all;
}

let session;

async function profile(action) {
  if (action === 'start') {
    session = new Session();
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: SAMPLING_US });
    await session.post('Profiler.start');
    return {};
  }
  const { profile } = await session.post('Profiler.stop');
  session.disconnect();
  return sharesOf(profile);
}

/** Shares of the time of the main thread, by what is on the stack. */
function sharesOf({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const kinds = new Map();
  const mark = (id, above) => {
    const { callFrame, children = [] } = byId.get(id);
    const own = Object.keys(OF).find((kind) => OF[kind].has(callFrame.functionName));
    const kind = above ?? own;
    kinds.set(id, kind);
    for (const child of children) mark(child, kind);
  };
  mark(nodes[0].id);
  const shares = { media: 0, identity: 0, collector: 0, idle: 0, rest: 0 };
  const all = timeDeltas.reduce((sum, delta) => sum + delta, 0);
  for (const [at, id] of samples.entries()) shares[kinds.get(id) ?? 'rest'] += timeDeltas[at] / all;
  return shares;
}

const QUESTIONS = { memory, writes: writesSince, start: () => profile('start'), stop: () => profile('stop') };

rmSync(path, { force: true });
createServer((socket) => {
  socket.setEncoding('utf8').on('error', () => undefined);
  socket.once('data', async (question) => socket.end(JSON.stringify(await QUESTIONS[question]())));
})
  .listen(path)
  .unref();

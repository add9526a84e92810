import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { NAMED_GROUP } from '../src/transport/dtls/key-exchange.ts';
import { BUILT_SERVER, ROOT, ServerProcess } from '../test/support/process.ts';
import { elapse, until } from '../test/support/wait.ts';
import type { Order } from './fanout-load.ts';
import type { Counts } from './fanout-page.ts';
import { answerOf, startPart } from './part.ts';
import { type ThreadTime, timesOf } from './times.ts';

/** What is measured by `bench/fanout.ts`, and how each is brought under load. */

export const BYTES = 1_100;
/** The server, by the way its media leaves; `plain` is the same server without its kernel: a cipher and an HMAC object a packet, and dgram. */
export const SERVER_WAYS = ['gso', 'sendmmsg', 'dgram', 'plain'] as const;
/** Programs that protect and send, and do nothing else: plain JavaScript, and C with libsrtp2 over OpenSSL, and as Debian ships it. */
export const PROGRAMS = ['js-loop', 'c-sendto', 'c-sendmmsg', 'c-gso', 'debian-sendmmsg'] as const;
/** Other servers: `bench/rivals/<name>.ts`. */
export const RIVALS = ['janus', 'mediasoup', 'werift'] as const;
export type Way = (typeof SERVER_WAYS | typeof PROGRAMS | typeof RIVALS)[number];

export const isServer = (way: Way): boolean => (SERVER_WAYS as readonly string[]).includes(way);
export const isRival = (way: Way): boolean => (RIVALS as readonly string[]).includes(way);

export interface Pace {
  readonly name: 'frames' | 'singles' | 'saturated';
  readonly packets: number;
  /** Milliseconds; of no meaning where saturated. */
  readonly interval: number;
}

export interface Measured {
  /** Processor time for a packet to a viewer; one for each window of time. */
  readonly nanoseconds: readonly number[];
  /** Packets to viewers in a second. */
  readonly perSecond: number;
  /** Of the busiest thread, 1 is a whole processor. */
  readonly busy: number;
  /** The share of the time that it could have run and had to wait for a processor: what else the machine does, or this benchmark's other processes. */
  readonly waited: number;
  /** Shares of what was sent to all that has arrived, and of the sample that could be decrypted. */
  readonly arrived: number;
  readonly decrypted: number;
}

const WINDOW_MS = 2_000;
/** Until an encoder's, or a compiler's, first moments are over. */
const SETTLE_MS = 1_500;
/** Until all that was sent has arrived or been dropped. */
const DRAIN_MS = 400;
/** The source rests; who is there is kept there. */
const REST = { packets: 0, interval: 50 };
/** While viewers come, there is something to see. */
const SLOW = { packets: 1, interval: 250 };
/** For all viewers to come. */
const PATIENCE_MS = 120_000;
/** A sample of a sixteenth would be a load of its own where there are many. */
const MANY_VIEWERS = 500;

/** Saturation: packets a second to all viewers, to begin with. */
const FIRST_RATE = 60_000;
const STEP_MS = 500;
/** Of a processor: its busiest thread has no time left. */
const SATURATED = 0.97;
/** Who delivers no more than that by being asked for more is limited by something else. */
const WORTHWHILE = 1.02;
const [LEAST_FASTER, MOST_FASTER] = [1.05, 1.6];

/** A server under load. */
export class Stage {
  readonly #processes: readonly number[];
  readonly #source: ChildProcess;
  readonly #audience: ChildProcess;
  readonly #end: () => Promise<void>;
  viewers: number;

  private constructor(
    processes: readonly number[],
    source: ChildProcess,
    audience: ChildProcess,
    viewers: number,
    end: () => Promise<void>,
  ) {
    this.#processes = processes;
    this.#source = source;
    this.#audience = audience;
    this.viewers = viewers;
    this.#end = end;
  }

  static async open(way: Way, viewers: number, workers: number): Promise<Stage> {
    const subject = isRival(way) ? await startRival(way) : await startServer(way, workers);
    const loads: ChildProcess[] = [];
    const end = async (): Promise<void> => {
      for (const child of loads) child.kill();
      await subject.end();
    };
    try {
      const at = ['--url', subject.url, '--udp', String(subject.udpPort), '--bytes', String(BYTES)];
      const source = await startLoad(['--role', subject.takes, ...at]);
      loads.push(source);
      await ask(source, { pace: SLOW });
      const every = viewers >= MANY_VIEWERS ? 64 : 16;
      const audience = await startLoad([
        ...['--role', 'viewers', '--count', '0', '--every', String(every), ...at],
        // It takes no other (RFC 8422 §5.1.1).
        ...(way === 'janus' ? ['--group', String(NAMED_GROUP.secp256r1)] : []),
      ]);
      loads.push(audience);
      const stage = new Stage(subject.processes, source, audience, 0, end);
      await stage.grow(viewers);
      return stage;
    } catch (error) {
      await end();
      throw error;
    }
  }

  async grow(viewers: number): Promise<void> {
    await ask(this.#source, { pace: SLOW });
    const late = new AbortController();
    await Promise.race([
      ask(this.#audience, { open: viewers - this.viewers }),
      sleep(PATIENCE_MS, undefined, { signal: late.signal }).then(() => {
        throw new Error(`not all ${viewers} viewers had keys within ${PATIENCE_MS / 1_000} s`);
      }),
    ]).finally(() => late.abort());
    this.viewers = viewers;
    // Other servers begin with a keyframe.
    await elapse(SETTLE_MS);
  }

  async measure(pace: Pace, seconds: number): Promise<Measured> {
    await ask(this.#source, { pace: REST });
    await elapse(DRAIN_MS);
    const before = await this.#look();
    await ask(this.#source, { pace: await this.#pace(pace) });
    await elapse(SETTLE_MS);
    const nanoseconds: number[] = [];
    let from = await this.#look();
    const first = from;
    for (let left = seconds * 1_000; left > 0; left -= WINDOW_MS) {
      await elapse(WINDOW_MS);
      const to = await this.#look();
      nanoseconds.push((to.cpu - from.cpu) / (to.datagrams - from.datagrams));
      from = to;
    }
    await ask(this.#source, { pace: REST });
    await elapse(DRAIN_MS);
    const after = await this.#look();
    const elapsed = (from.at - first.at) / 1_000;
    return {
      nanoseconds,
      perSecond: (from.datagrams - first.datagrams) / elapsed,
      ...busiest(first, from),
      arrived:
        (after.datagrams - after.resent - before.datagrams + before.resent) /
        ((after.sent - before.sent) * this.viewers),
      decrypted: (after.decrypted - before.decrypted) / (after.sampled - before.sampled),
    };
  }

  end(): Promise<void> {
    return this.#end();
  }

  /** As asked, or as fast as the server keeps up: until its busiest thread has no time left, or it delivers no more than before. */
  async #pace({ name, packets, interval }: Pace): Promise<{ packets: number; interval: number }> {
    if (name !== 'saturated') return { packets, interval };
    let rate = FIRST_RATE / this.viewers;
    let best = 0;
    while (true) {
      const faster = { packets, interval: (1_000 * packets) / rate };
      await ask(this.#source, { pace: faster });
      await elapse(STEP_MS);
      const from = await this.#look();
      await elapse(STEP_MS);
      const to = await this.#look();
      const { busy, waited } = busiest(from, to);
      const delivered = to.datagrams - from.datagrams;
      if (busy + waited > SATURATED || delivered < best * WORTHWHILE) return faster;
      best = delivered;
      rate *= Math.min(MOST_FASTER, Math.max(LEAST_FASTER, 1 / busy));
    }
  }

  async #look() {
    const [{ sent }, counts] = await Promise.all([ask(this.#source, {}), ask(this.#audience, {})]);
    const threads = new Map(this.#processes.flatMap(timesOf));
    const cpu = [...threads.values()].reduce((sum, { ran }) => sum + ran, 0);
    return { ...counts, sent, cpu, threads };
  }
}

interface Subject {
  readonly url: string;
  readonly udpPort: number;
  /** What of a source it takes. */
  readonly takes: 'source' | 'rtp';
  readonly processes: readonly number[];
  readonly end: () => Promise<void>;
}

async function startServer(way: Way, workers: number): Promise<Subject> {
  const path = way === 'plain' ? 'dgram' : way;
  const server = await ServerProcess.start({
    env: {
      LOG_LEVEL: 'info',
      SEND_PATH: path,
      ...(workers > 0 ? { WORKERS: String(workers) } : {}),
    },
    command: [process.execPath, way === 'plain' ? withoutKernel() : BUILT_SERVER],
  });
  try {
    await until('the way is chosen', () => server.events('send-path').length > 0);
    const chosen = server.events('send-path')[0]!.fields;
    if (chosen.path !== path) throw new Error(`${way} is not to be had here: ${chosen.why}`);
  } catch (error) {
    await server.dispose();
    throw error;
  }
  const { url, udpPort } = server;
  return { url, udpPort, takes: 'source', processes: [server.run.pid], end: () => server.dispose() };
}

/** A process of ours that speaks as the server's pages expect, and is the other server or stands before it. */
async function startRival(way: Way): Promise<Subject> {
  const child = startPart(`rivals/${way}`);
  const { url, rtpPort, processes } = await answerOf<{
    readonly url: string;
    readonly rtpPort: number;
    readonly processes: readonly number[];
  }>(child);
  const end = async (): Promise<void> => {
    const ended = once(child, 'exit');
    child.disconnect();
    await ended;
  };
  return { url, udpPort: rtpPort, takes: 'rtp', processes, end };
}

/** Runs a program against sockets that only listen. */
export async function measureProgram(
  [command, ...args]: readonly string[],
  viewers: number,
  pace: Pace,
  seconds: number,
): Promise<Measured> {
  const sink = await startLoad(['--role', 'sink', '--count', String(viewers)]);
  try {
    const { ports } = sink;
    const interval = pace.name === 'saturated' ? 0 : pace.interval * 1_000;
    const { stdout } = await promisify(execFile)(command!, [
      ...args,
      ...[seconds, pace.packets, BYTES, interval, ...ports].map(String),
    ]);
    const [packets, nanoseconds, perSecond] = stdout.split(' ').map(Number) as [number, number, number];
    const { datagrams } = await ask(sink, {});
    return {
      nanoseconds: [nanoseconds],
      perSecond,
      busy: (nanoseconds * perSecond) / 1e9,
      waited: Number.NaN,
      arrived: datagrams / packets,
      decrypted: Number.NaN,
    };
  } finally {
    sink.kill();
  }
}

interface Look {
  readonly at: number;
  readonly threads: ReadonlyMap<string, ThreadTime>;
}

/** The shares of a processor that the busiest thread has had, and has waited for, between two looks. */
function busiest(from: Look, to: Look): { readonly busy: number; readonly waited: number } {
  const elapsed = (to.at - from.at) * 1e6;
  const shares = [...to.threads].map(([task, { ran, waited }]) => {
    const before = from.threads.get(task) ?? { ran: 0, waited: 0 };
    return { busy: (ran - before.ran) / elapsed, waited: (waited - before.waited) / elapsed };
  });
  return shares.reduce((most, share) => (share.busy > most.busy ? share : most));
}

async function startLoad(
  args: readonly string[],
): Promise<ChildProcess & { readonly ports: readonly number[] }> {
  const child = startPart('fanout-load', args);
  const { ports } = await answerOf<{ readonly ports: readonly number[] }>(child);
  return Object.assign(child, { ports });
}

/** Orders one after another, each answered. */
async function ask(child: ChildProcess, order: Order): Promise<Counts> {
  child.send(order);
  return answerOf<Counts>(child);
}

/** The built server and its page, but for the kernel. */
function withoutKernel(): string {
  const folder = join(ROOT, 'node_modules', '.cache', 'rekeycast-fanout');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const part of ['dist', 'public']) cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
  rmSync(join(folder, 'dist', 'srtp-kernel.wasm'));
  return join(folder, 'dist', 'rekeycast.js');
}

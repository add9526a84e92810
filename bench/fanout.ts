import { type ChildProcess, execFile, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { askServer } from '../src/cli/admin-client.ts';
import { serverFacts } from '../src/observability/facts.ts';
import { median } from '../test/support/gaps.ts';
import { BUILT_SERVER, ROOT, ServerProcess } from '../test/support/process.ts';
import { elapse, until } from '../test/support/wait.ts';
import type { Counts } from './fanout-page.ts';
import { machine } from './table.ts';

/**
 * What one packet to one viewer costs the server, in processor time of its process alone. One broadcaster sends frames of eight packets thirty
 * times a second; viewers are real as far as the network sees (ICE, DTLS, SRTP), in a process of their own, and some decrypt all they get.
 * Ways are measured in turn, again and again: machines are noisy, ratios less so.
 */

const USAGE =
  'usage: npm run bench:fanout -- [--viewers <n,n>] [--seconds <n>] [--repeat <n>] [--packets <a frame>] [--ways <way,way>]';
const BYTES = 1_100;
const SETTLE_MS = 3_000;
const FRAME_MS = 1_000 / 30;
/** While viewers come: who is there already need not be fed at full speed. */
const SLOW_FRAME_MS = 500;
/** What a viewer of a good picture gets in a second. */
const PACKETS_PER_SECOND = 250;
const C_WAYS = ['c-sendto', 'c-sendmmsg'] as const;
/** `plain` is the same server without its kernel: a cipher and an HMAC object a packet, and dgram. */
const SERVER_WAYS = ['gso', 'sendmmsg', 'dgram', 'plain'] as const;
type Way = (typeof C_WAYS | typeof SERVER_WAYS)[number];

const { values: options } = parseArgs({
  options: {
    viewers: { type: 'string', default: '50,300,1000' },
    seconds: { type: 'string', default: '10' },
    repeat: { type: 'string', default: '3' },
    packets: { type: 'string', default: '8' },
    ways: { type: 'string', default: [...SERVER_WAYS, ...C_WAYS].join(',') },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}

interface Measured {
  readonly nanoseconds: number;
  readonly packets: number;
  /** Shares of what was sent that has arrived, and of the sample that could be decrypted. */
  readonly arrived: number;
  readonly decrypted: number;
}

const seconds = Number(options.seconds);
const wanted = options.ways.split(',') as Way[];
const program = wanted.some((way) => way.startsWith('c-')) ? compileC() : undefined;
const ways = wanted.filter((way) => program !== undefined || !way.startsWith('c-'));

console.log(
  `${machine()}, load ${loadavg()[0]!.toFixed(1)}. Frames of ${options.packets} packets of ${BYTES} bytes, 30 a second, for ${seconds} s.\n`,
);
for (const viewers of options.viewers.split(',').map(Number)) {
  const results = new Map<Way, Measured[]>(ways.map((way) => [way, []]));
  for (let i = 0; i < Number(options.repeat); i++)
    for (const way of ways) {
      const measured = way.startsWith('c-')
        ? await measureC(way, viewers)
        : await measureServer(way, viewers);
      results.get(way)!.push(measured);
      process.stderr.write(`${viewers} viewers, ${way}: ${Math.round(measured.nanoseconds)} ns\n`);
    }
  print(viewers, results);
}

function print(viewers: number, results: ReadonlyMap<Way, readonly Measured[]>): void {
  const of = (way: Way, what: keyof Measured): number => {
    const values = (results.get(way) ?? []).map((measured) => measured[what]);
    return values.length === 0 ? Number.NaN : median(values);
  };
  const ratio = (way: Way, to: Way): string => {
    const value = of(way, 'nanoseconds') / of(to, 'nanoseconds');
    return Number.isFinite(value) ? value.toFixed(2) : '-';
  };
  console.log(`## ${viewers} viewers\n`);
  console.log(
    '| way | ns a packet, median | least – most | × plain | × c-sendmmsg | viewers a core | packets | arrived | of the sample decrypted |\n|---|---|---|---|---|---|---|---|---|',
  );
  for (const [way, all] of results) {
    const each = all.map(({ nanoseconds }) => Math.round(nanoseconds));
    const ns = of(way, 'nanoseconds');
    console.log(
      `| ${way} | ${Math.round(ns)} | ${Math.min(...each)} – ${Math.max(...each)} | ${ratio(way, 'plain')} | ${ratio(way, 'c-sendmmsg')} | ${Math.round(1e9 / ns / PACKETS_PER_SECOND)} | ${of(way, 'packets')} | ${percent(of(way, 'arrived'))} | ${percent(of(way, 'decrypted'))} |`,
    );
  }
  console.log('');
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(1)} %` : '-';
}

async function measureServer(way: Way, viewers: number): Promise<Measured> {
  const server = await ServerProcess.start({
    env: { LOG_LEVEL: 'info', SEND_PATH: way === 'plain' ? 'dgram' : way },
    command: [process.execPath, way === 'plain' ? withoutKernel() : BUILT_SERVER],
  });
  const loads: ChildProcess[] = [];
  try {
    await until('the way is chosen', () => server.events('send-path').length === 1);
    const chosen = server.events('send-path')[0]!.fields;
    if (chosen.path !== (way === 'plain' ? 'dgram' : way))
      throw new Error(`${way} is not to be had here: ${chosen.why}`);
    const at = ['--url', server.url, '--udp', String(server.udpPort)];
    const shape = [
      '--packets',
      options.packets,
      '--bytes',
      String(BYTES),
      '--interval',
      String(SLOW_FRAME_MS),
    ];
    const source = await load(['--role', 'source', ...shape, ...at]);
    loads.push(source);
    const audience = await load(['--role', 'viewers', '--count', String(viewers), ...at]);
    loads.push(audience);
    source.send({ interval: FRAME_MS });
    await elapse(SETTLE_MS);
    const before = await look(server, audience);
    await elapse(seconds * 1_000);
    const after = await look(server, audience);
    const packets = after.mediaOut - before.mediaOut;
    return {
      nanoseconds: (after.cpu - before.cpu) / packets,
      packets,
      arrived: (after.datagrams - before.datagrams) / packets,
      decrypted: (after.decrypted - before.decrypted) / (after.sampled - before.sampled),
    };
  } finally {
    for (const child of loads) child.kill();
    await server.dispose();
  }
}

async function measureC(way: Way, viewers: number): Promise<Measured> {
  const sink = await load(['--role', 'sink', '--count', String(viewers)]);
  try {
    const args = [way.slice(2), options.seconds, options.packets, String(BYTES), ...sink.ports.map(String)];
    // Not waited for in a way that would hold up this process: it has to hear of the load's end.
    const { stdout } = await promisify(execFile)(program!, args, { encoding: 'utf8' });
    const [packets, nanoseconds] = stdout.split(' ').map(Number);
    const { datagrams } = await countedBy(sink);
    return {
      nanoseconds: nanoseconds!,
      packets: packets!,
      arrived: datagrams / packets!,
      decrypted: Number.NaN,
    };
  } finally {
    sink.kill();
  }
}

/** What has been so far. */
async function look(server: ServerProcess, audience: ChildProcess) {
  const answer = await askServer(server.adminSocket, { command: 'status' });
  if (answer.kind !== 'answer' || !answer.response.ok) throw new Error('the server does not answer');
  const { mediaOut } = serverFacts.parse(answer.response.facts).traffic;
  return { mediaOut, cpu: cpuOf(server.run.pid), ...(await countedBy(audience)) };
}

async function countedBy(audience: ChildProcess): Promise<Counts> {
  const counted = once(audience, 'message');
  audience.send({});
  const [counts] = (await counted) as [Counts];
  return counts;
}

/** Nanoseconds on a processor, of all threads (the kernel's Documentation/scheduler/sched-stats). */
function cpuOf(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]))
    .reduce((sum, time) => sum + time, 0);
}

async function load(args: readonly string[]): Promise<ChildProcess & { readonly ports: readonly number[] }> {
  const child = fork(join(ROOT, 'bench', 'run.mjs'), ['fanout-load', ...args], { cwd: ROOT });
  const ended = once(child, 'exit').then(() => {
    throw new Error(`the load ${args.join(' ')} has ended`);
  });
  // It is ended in the end, which nobody waits for.
  ended.catch(() => undefined);
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [{ ports?: readonly number[] }];
  return Object.assign(child, { ports: message.ports ?? [] });
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

/** `undefined` where there is no compiler, or no libsrtp2 (Debian's libsrtp2-dev). */
function compileC(): string | undefined {
  const binary = join(tmpdir(), `rekeycast-fanout-${process.pid}`);
  try {
    execFileSync('gcc', ['-O2', '-o', binary, join(ROOT, 'bench', 'fanout.c'), '-lsrtp2'], { stdio: 'pipe' });
  } catch {
    console.log('Without the programs in C: they take gcc and libsrtp2-dev.\n');
    return undefined;
  }
  process.on('exit', () => {
    if (existsSync(binary)) rmSync(binary);
  });
  return binary;
}

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs, promisify } from 'node:util';
import type { MediaPacket } from '../src/room/media.ts';
import { BATCHES } from '../src/server/engine-driver.ts';
import { MediaQueue } from '../src/server/media-queue.ts';
import type { Route } from '../src/server/routes.ts';
import { climb } from '../src/transport/send-ladder.ts';
import { type SendPath, UdpSocket } from '../src/transport/socket.ts';
import { CryptoKernel } from '../src/transport/srtp/crypto-kernel.ts';
import { KernelProtector } from '../src/transport/srtp/kernel-protector.ts';
import { type MediaProtector, PlainProtector } from '../src/transport/srtp/protector.ts';
import { SrtpSendContext } from '../src/transport/srtp/send-context.ts';
import { median } from '../test/support/gaps.ts';
import { LOOPBACK } from '../test/support/ports.ts';
import { rtpPacket, TEST_SSRC, testMasterKey } from '../test/support/srtp.ts';
import { programOf } from './fanout-programs.ts';
import { openSieved } from './fanout-sieve.ts';
import { writeSection } from './report.ts';
import { machine } from './table.ts';

/**
 * The last part of a packet's way by itself, as the programs beside it have nothing else: the queue, protecting and sending, saturated, to sockets whose
 * filter drops all of it. `bench/fanout.ts` measures the whole server, which receives as well.
 */

const USAGE =
  'usage: node bench/run.mjs fanout-path [--viewers <n>] [--packets <of a frame, n,n>] [--ms <n>] [--repeat <n>] [--write]';
const PROFILE = 'AES_CM_128_HMAC_SHA1_80';
const BYTES = 1_100;
const PAYLOAD = new Uint8Array(BYTES - 12);
const PATHS: readonly SendPath[] = ['gso', 'sendmmsg', 'dgram'];
const PROGRAMS = ['js-loop', 'c-sendto', 'c-sendmmsg', 'c-gso'] as const;
const BASE = 'c-sendmmsg';
/** No datagram of media is taken. */
const NOTHING = { every: 0x1_0000, remainder: 0x1_0000, payloadType: 96 };

const { values: options } = parseArgs({
  options: {
    viewers: { type: 'string', default: '300' },
    packets: { type: 'string', default: '1,2,4,8' },
    ms: { type: 'string', default: '500' },
    repeat: { type: 'string', default: '5' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}

/** Processor nanoseconds for a packet to a viewer, with so many packets a frame. */
interface Way {
  readonly name: string;
  readonly run: (packets: number) => Promise<number>;
}

const seconds = Number(options.ms) / 1_000;
const run = promisify(execFile);
const kernel = await CryptoKernel.load(readFileSync('dist/srtp-kernel.wasm'));
const sockets = Array.from({ length: Number(options.viewers) }, () => openSieved(LOOPBACK, NOTHING));
const routes = sockets.map(({ port }, seed): Route => {
  const sendContext = SrtpSendContext.create(PROFILE, testMasterKey(PROFILE, seed));
  const peer = { sendContext, remoteAddress: { ip: LOOPBACK, port } };
  // Of a route the queue looks at no more than that.
  return { connection: { id: String(seed), peer } } as unknown as Route;
});
let index = 0;

const fast = new KernelProtector(kernel);
const ways: Way[] = [
  ours('plain + dgram', new PlainProtector(), await UdpSocket.bind(LOOPBACK, 0)),
  ours('kernel, not sent', fast, undefined),
];
for (const wanted of PATHS) {
  const socket = await UdpSocket.bind(LOOPBACK, 0);
  const { path } = await climb(socket, { wanted, memory: kernel.memory, fellBack: () => undefined });
  if (path === wanted) ways.push(ours(`kernel + ${path}`, fast, socket));
}
for (const name of PROGRAMS) {
  const program = programOf(name);
  if (program !== undefined) ways.push(theirs(name, program.command));
}
console.error(`${ways.length} ways of some ${seconds} s, ${options.repeat} times each`);

/** Where the programs were not built, what they are measured against is the plain way. */
const base = ways.find(({ name }) => name === BASE) ?? ways[0]!;
const lines = [
  `\`node bench/run.mjs fanout-path\`: ${machine()}, ${options.viewers} viewers, packets of ${BYTES} bytes, load ${loadavg()[0]!.toFixed(1)} at its beginning.`,
  'The server’s queue, protection and sender without the rest of it, saturated, against programs that do the same and nothing else, in turn, on loopback, to the same sockets, whose filter drops what comes.',
  '',
  `| packets of a frame | way | ns a packet, median | least – most | × ${base.name} |`,
  '|---|---|---|---|---|',
];
for (const packets of options.packets.split(',').map(Number)) {
  const results = new Map<Way, number[]>(ways.map((way) => [way, []]));
  // Once for the compiler.
  for (const way of ways) await way.run(packets);
  for (let i = 0; i < Number(options.repeat); i++)
    for (const way of ways) results.get(way)!.push(await way.run(packets));
  const baseNs = median(results.get(base)!);
  for (const [{ name }, all] of results) {
    const ns = median(all);
    const [least, most] = [Math.min(...all), Math.max(...all)].map(Math.round);
    lines.push(
      `| ${packets} | ${name} | ${Math.round(ns)} | ${least} – ${most} | ${(ns / baseNs).toFixed(2)} |`,
    );
  }
}
console.log(lines.join('\n'));
if (options.write) writeSection('fanout-path', lines.join('\n'));
process.exit(0);

function theirs(name: string, [command, ...args]: readonly string[]): Way {
  return {
    name,
    run: async (packets) => {
      const ports = sockets.map(({ port }) => String(port));
      const numbers = [seconds, packets, BYTES, 0].map(String);
      const { stdout } = await run(command!, [...args, ...numbers, ...ports]);
      return Number(stdout.split(' ')[1]);
    },
  };
}

function ours(name: string, protector: MediaProtector, socket: UdpSocket | undefined): Way {
  const queue = new MediaQueue();
  let count = 0;
  const emit = ({ to }: { to: { ip: string; port: number } }, datagram: Uint8Array): void => {
    count++;
    socket?.sendMedia(datagram, to);
  };
  const fail = (_job: unknown, error: unknown): never => {
    throw error;
  };
  return {
    name,
    run: async (packets) => {
      count = 0;
      const end = performance.now() + seconds * 1_000;
      const from = process.cpuUsage();
      while (performance.now() < end) {
        for (let i = 0; i < packets; i++) queue.add(nextPacket(), routes);
        while (!queue.isEmpty) {
          for (let batch = 0; batch < BATCHES && !queue.isEmpty; batch++) {
            protector.protect(queue.take(), emit, fail);
            socket?.flush();
          }
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
      const { user, system } = process.cpuUsage(from);
      return ((user + system) * 1_000) / count;
    },
  };
}

function nextPacket(): MediaPacket {
  index++;
  return { ssrc: TEST_SSRC, index, bytes: rtpPacket(index, TEST_SSRC, PAYLOAD) };
}

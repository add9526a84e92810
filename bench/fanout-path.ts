import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { Address } from '../src/transport/address.ts';
import { climb } from '../src/transport/send-ladder.ts';
import { type SendPath, UdpSocket } from '../src/transport/socket.ts';
import { CryptoKernel } from '../src/transport/srtp/crypto-kernel.ts';
import { KernelProtector } from '../src/transport/srtp/kernel-protector.ts';
import { type MediaProtector, PlainProtector } from '../src/transport/srtp/protector.ts';
import { SrtpSendContext } from '../src/transport/srtp/send-context.ts';
import { median } from '../test/support/gaps.ts';
import { LOOPBACK } from '../test/support/ports.ts';
import { rtpPacket, TEST_SSRC, testMasterKey } from '../test/support/srtp.ts';
import { writeSection } from './report.ts';
import { machine } from './table.ts';

/**
 * The last part of a packet's way by itself: protecting and sending, saturated, in this one process, to sockets that nobody reads (the kernel
 * drops what they have no room for). `bench/fanout.ts` measures the whole server.
 */

const USAGE =
  'usage: node bench/run.mjs fanout-path [--viewers <n>] [--packets <in a turn, n,n>] [--ms <n>] [--repeat <n>] [--write]';
const PROFILE = 'AES_CM_128_HMAC_SHA1_80';
const PAYLOAD_BYTES = 1_088;
const JOBS = 64;
const PATHS: readonly SendPath[] = ['gso', 'sendmmsg', 'dgram'];

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

interface Way {
  readonly name: string;
  readonly protector: MediaProtector;
  readonly socket: UdpSocket | undefined;
}

const viewers = Number(options.viewers);
const kernel = await CryptoKernel.load(readFileSync('dist/srtp-kernel.wasm'));
const receivers: Address[] = [];
for (let i = 0; i < viewers; i++) {
  const socket = createSocket('udp4');
  socket.bind(0, LOOPBACK);
  await once(socket, 'listening');
  receivers.push({ ip: LOOPBACK, port: socket.address().port });
}
const contexts = receivers.map((_, seed) => SrtpSendContext.create(PROFILE, testMasterKey(PROFILE, seed)));
let index = 0;

const plain = new PlainProtector();
const fast = new KernelProtector(kernel);
const ways: Way[] = [
  { name: 'plain + dgram', protector: plain, socket: await UdpSocket.bind(LOOPBACK, 0) },
  { name: 'plain, not sent', protector: plain, socket: undefined },
  { name: 'kernel, not sent', protector: fast, socket: undefined },
];
for (const wanted of PATHS) {
  const socket = await UdpSocket.bind(LOOPBACK, 0);
  const { path } = await climb(socket, { wanted, memory: kernel.memory, fellBack: () => undefined });
  if (path === wanted) ways.push({ name: `kernel + ${path}`, protector: fast, socket });
}

const lines = [
  `\`node bench/run.mjs fanout-path\`: ${machine()}, ${viewers} viewers, load ${loadavg()[0]!.toFixed(1)}. Saturated, in one process, on loopback, to sockets that nobody reads.`,
  '',
  '| packets of a viewer in a turn | way | ns a packet, median | least – most | × plain + dgram |',
  '|---|---|---|---|---|',
];
for (const packets of options.packets.split(',').map(Number)) {
  const results = new Map<Way, number[]>(ways.map((way) => [way, []]));
  for (const way of ways) await run(way, packets);
  for (let i = 0; i < Number(options.repeat); i++)
    for (const way of ways) results.get(way)!.push(await run(way, packets));
  const base = median(results.get(ways[0]!)!);
  for (const [{ name }, all] of results) {
    const ns = median(all);
    const [least, most] = [Math.min(...all), Math.max(...all)].map(Math.round);
    lines.push(
      `| ${packets} | ${name} | ${Math.round(ns)} | ${least} – ${most} | ${(ns / base).toFixed(2)} |`,
    );
  }
}
console.log(lines.join('\n'));
if (options.write) writeSection('fanout-path', lines.join('\n'));
process.exit(0);

/** Processor time for each packet to one viewer. */
async function run({ protector, socket }: Way, packets: number): Promise<number> {
  const perBatch = Math.max(1, Math.floor(JOBS / packets));
  const end = performance.now() + Number(options.ms);
  const from = process.cpuUsage();
  let count = 0;
  while (performance.now() < end) {
    const media = Array.from({ length: packets }, () => {
      index++;
      return { ssrc: TEST_SSRC, index, bytes: rtpPacket(index, TEST_SSRC, new Uint8Array(PAYLOAD_BYTES)) };
    });
    for (let first = 0; first < viewers; first += perBatch) {
      const jobs = contexts
        .slice(first, first + perBatch)
        .flatMap((context, i) => media.map((packet) => ({ context, packet, to: receivers[first + i]! })));
      protector.protect(
        jobs,
        ({ to }, datagram) => {
          count++;
          socket?.sendMedia(datagram, to);
        },
        (_job, error) => {
          throw error;
        },
      );
      socket?.flush();
      // As the server does between two batches.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const { user, system } = process.cpuUsage(from);
  return ((user + system) * 1_000) / count;
}

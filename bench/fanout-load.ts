import { createSocket } from 'node:dgram';
import { parseArgs } from 'node:util';
import { PAYLOAD_TYPE } from '../src/room/media.ts';
import { writeRtp } from '../src/rtp/packet.ts';
import { concat } from '../src/util/bytes.ts';
import { testIdentity } from '../test/support/dtls-identity.ts';
import { LOOPBACK } from '../test/support/ports.ts';
import { elapse } from '../test/support/wait.ts';
import { type Counts, openPages, Page } from './fanout-page.ts';
import { openSieved, type SievedSocket } from './fanout-sieve.ts';

/**
 * The load of `bench/fanout.ts`, a process of its own: the broadcaster (`source`, or `rtp` without any protection, for servers that take that),
 * viewers with ICE, DTLS and SRTP over real sockets, or sockets that only listen (`sink`), for programs that know nothing of either. Of media one packet
 * in so many comes to the process, which decrypts it; the kernel counts the others.
 */

/** Pages that are brought up at a time: more would only wait for each other, and send all again meanwhile. */
const AT_ONCE = 12;
const RTP_HEADER_BYTES = 12;
const VP8_BYTES = 4;
const SOURCE_SSRC = 0x1234;
/** Of the source without protection, which hears of nobody who wants one. */
const KEYFRAME_MS = 500;

const { values: options } = parseArgs({
  options: {
    role: { type: 'string' },
    url: { type: 'string', default: '' },
    udp: { type: 'string', default: '0' },
    count: { type: 'string', default: '1' },
    every: { type: 'string', default: '16' },
    bytes: { type: 'string', default: '1100' },
    /** The named group of the key exchange. */
    group: { type: 'string' },
  },
});

/** What it may be told by the process that has started it, which is answered by what it has seen so far. */
export interface Order {
  /** From now on. */
  readonly pace?: { readonly packets: number; readonly interval: number };
  /** More viewers are to come; it answers once they have their keys. */
  readonly open?: number;
}

const counts: Counts = { at: 0, sent: 0, datagrams: 0, sampled: 0, decrypted: 0, resent: 0 };
const every = Number(options.every);
const at = {
  url: options.url,
  udpPort: Number(options.udp),
  identity: await testIdentity(),
  ...(options.group === undefined ? {} : { group: Number(options.group) }),
};
/** Until it is told another pace. */
const frame = {
  packets: 8,
  padding: Number(options.bytes) - RTP_HEADER_BYTES - VP8_BYTES,
  interval: 1_000 / 30,
};
const pages: Page[] = [];
const sinks: SievedSocket[] = [];

switch (options.role) {
  case 'source':
    await openPages(1, 1, () => new Page({ ...at, name: 'source', frame, counts }));
    break;
  case 'rtp':
    void sendPlain(Number(options.udp));
    break;
  case 'viewers':
    await openMore(Number(options.count));
    break;
  default:
    for (let i = 0; i < Number(options.count); i++) sinks.push(sink(i));
}
process.send?.({ ready: true, ports: sinks.map(({ port }) => port) });
process.on('message', async ({ pace, open }: Order) => {
  if (pace !== undefined) Object.assign(frame, pace);
  if (open !== undefined) await openMore(open);
  process.send?.({ ...counts, at: performance.now(), datagrams: counts.sampled + dropped() });
});
process.on('disconnect', () => process.exit());

async function openMore(count: number): Promise<void> {
  const first = pages.length;
  const more = await openPages(
    count,
    AT_ONCE,
    (number) => new Page({ ...at, name: `page ${first + number}`, every, counts }),
  );
  pages.push(...more);
}

function sink(number: number): SievedSocket {
  const opened = openSieved(LOOPBACK, { every, remainder: number % every, payloadType: PAYLOAD_TYPE.vp8 });
  opened.socket.on('message', () => counts.sampled++);
  return opened;
}

function dropped(): number {
  const all = [...pages.map((page) => page.dropped), ...sinks.map((one) => one.dropped())];
  return all.reduce((total, value) => total + value, 0);
}

/** Frames as a browser's, in the clear. */
async function sendPlain(port: number): Promise<void> {
  const socket = createSocket('udp4');
  const filler = new Uint8Array(frame.padding);
  let sequence = 1_000;
  let keyframeAt = 0;
  let next = performance.now();
  for (let picture = 0; ; picture = (picture + 1) & 0x7fff) {
    const now = performance.now();
    const isKeyframe = frame.packets > 0 && now >= keyframeAt;
    if (isKeyframe) keyframeAt = now + KEYFRAME_MS;
    for (let i = 0; i < frame.packets; i++, sequence++) {
      // RFC 7741 §4.2: with a picture's number of 15 bits.
      const descriptor = [i === 0 ? 0x90 : 0x80, 0x80, 0x80 | (picture >> 8), picture & 0xff];
      const packet = writeRtp({
        marker: i === frame.packets - 1,
        payloadType: PAYLOAD_TYPE.vp8,
        sequenceNumber: sequence & 0xffff,
        timestamp: Math.floor(next * 90) >>> 0,
        ssrc: SOURCE_SSRC,
        payload: concat(Uint8Array.of(...descriptor, isKeyframe ? 0 : 1), filler.subarray(1)),
      });
      socket.send(packet, port, LOOPBACK);
      counts.sent++;
    }
    next += frame.interval;
    await elapse(Math.max(0, next - performance.now()));
  }
}

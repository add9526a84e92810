import { createCipheriv, createHmac, createSecretKey } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { LOOPBACK } from '../test/support/ports.ts';
import { elapse } from '../test/support/wait.ts';

/**
 * What a media server in plain JavaScript does for each packet and viewer: a cipher object, an HMAC object, a datagram (RFC 3711 §4.1.1, §4.2.1).
 * It does nothing else. Arguments and output are those of `fanout.c`, without the first argument.
 */

const TAG_BYTES = 10;
const HEADER_BYTES = 12;

const [seconds, perFrame, bytes, interval, ...ports] = process.argv.slice(2).map(Number) as [
  number,
  number,
  number,
  number,
  ...number[],
];
const viewers = ports.map((port, i) => ({
  port,
  key: createSecretKey(Buffer.alloc(16, i)),
  salt: Buffer.alloc(14, i + 1),
  authentication: createSecretKey(Buffer.alloc(20, i + 2)),
}));
type Viewer = (typeof viewers)[number];
const socket = createSocket('udp4');
socket.bind(0, LOOPBACK);
await once(socket, 'listening');
socket.setSendBufferSize(4 * 1024 * 1024);

const original = Buffer.alloc(bytes);
original[0] = 0x80;
original[1] = 96;
original[8] = 1;
let index = 0;
let sent = 0;
const from = process.cpuUsage();
const start = performance.now();
let next = start;
while (performance.now() - start < seconds * 1_000) {
  for (let i = 0; i < perFrame; i++, index++) {
    original.writeUInt16BE(index & 0xffff, 2);
    for (const viewer of viewers) socket.send(protect(original, viewer, index), viewer.port, LOOPBACK);
    sent += viewers.length;
    // As between two datagrams that have come.
    await new Promise((resolve) => setImmediate(resolve));
  }
  next += interval / 1_000;
  if (interval > 0) await elapse(Math.max(0, next - performance.now()));
}
const { user, system } = process.cpuUsage(from);
const perSecond = sent / ((performance.now() - start) / 1_000);
console.log(`${sent} ${Math.round(((user + system) * 1_000) / sent)} ${Math.round(perSecond)}`);
process.exit();

function protect(packet: Buffer, { key, salt, authentication }: Viewer, index: number): Buffer {
  const counter = Buffer.alloc(16);
  salt.copy(counter);
  for (let i = 0; i < 4; i++) counter[4 + i]! ^= packet[8 + i]!;
  const rollover = Math.floor(index / 0x1_0000);
  counter.writeUInt32BE((counter.readUInt32BE(8) ^ rollover) >>> 0, 8);
  counter.writeUInt16BE(counter.readUInt16BE(12) ^ (index & 0xffff), 12);
  const cipher = createCipheriv('aes-128-ctr', key, counter);
  const body = cipher.update(packet.subarray(HEADER_BYTES));
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(rollover);
  const header = packet.subarray(0, HEADER_BYTES);
  const tag = createHmac('sha1', authentication).update(header).update(body).update(tail).digest();
  return Buffer.concat([header, body, tag.subarray(0, TAG_BYTES)]);
}

import { parseArgs } from 'node:util';
import { testIdentity } from '../test/support/dtls-identity.ts';
import { LOOPBACK } from '../test/support/ports.ts';
import { type Counts, openPages, Page } from './fanout-page.ts';
import { openSieved, type SievedSocket } from './fanout-sieve.ts';

/**
 * The load of `bench/fanout.ts`, a process of its own: the broadcaster, viewers with ICE, DTLS and SRTP over real sockets, or sockets that only
 * listen, for programs that know nothing of either. Of media one packet in sixteen comes to the process, which decrypts it; the kernel counts the others.
 */

/** Pages that are brought up at a time: somewhat less than the server makes handshakes with. */
const AT_ONCE = '48';

const { values: options } = parseArgs({
  options: {
    role: { type: 'string' },
    url: { type: 'string', default: '' },
    udp: { type: 'string', default: '0' },
    count: { type: 'string', default: '1' },
    every: { type: 'string', default: '16' },
    packets: { type: 'string', default: '8' },
    bytes: { type: 'string', default: '1100' },
    /** Milliseconds from a frame to the next. */
    interval: { type: 'string', default: String(1_000 / 30) },
    'at-once': { type: 'string', default: AT_ONCE },
  },
});

const counts: Counts = { datagrams: 0, sampled: 0, decrypted: 0, resent: 0 };
const count = Number(options.count);
const every = Number(options.every);
const at = { url: options.url, udpPort: Number(options.udp), identity: await testIdentity() };
/** Of the source; it may be told to go faster. */
const frame = {
  packets: Number(options.packets),
  padding: Number(options.bytes) - 16,
  interval: Number(options.interval),
};
let dropped = (): number => 0;

switch (options.role) {
  case 'source':
    await openPages(1, 1, () => new Page({ ...at, name: 'source', frame }));
    process.send?.({ ready: true });
    break;
  case 'viewers': {
    const pages = await openPages(
      count,
      Number(options['at-once']),
      (number) => new Page({ ...at, name: `page ${number}`, every, counts }),
    );
    dropped = () => sum(pages.map((page) => page.dropped));
    process.send?.({ ready: true });
    break;
  }
  default: {
    const sockets = Array.from({ length: count }, (_, i) => sink(i));
    dropped = () => sum(sockets.map((socket) => socket.dropped()));
    process.send?.({ ready: true, ports: sockets.map(({ port }) => port) });
  }
}
process.on('message', (message: { readonly interval?: number }) => {
  if (message.interval !== undefined) frame.interval = message.interval;
  else process.send?.({ ...counts, datagrams: counts.sampled + dropped() });
});
process.on('disconnect', () => process.exit());

function sink(number: number): SievedSocket {
  const opened = openSieved(LOOPBACK, { every, remainder: number % every, always: [] });
  opened.socket.on('message', () => counts.sampled++);
  return opened;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

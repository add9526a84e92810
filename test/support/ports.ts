import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';

export const LOOPBACK = '127.0.0.1';
const EVERYWHERE = '0.0.0.0';
const ATTEMPTS = 100;
const LOWEST_PORT = 10_081;
const HIGHEST_PORT = 65_535;
const FEWEST_PORTS = 1_000;

/**
 * An IPv4 address of this machine that is not loopback, where there is one. Firefox lists no loopback candidates of its own and pairs
 * none of its others with one; between two sockets of this machine the packets take the loopback interface all the same.
 */
export function hostAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? LOOPBACK;
}

/**
 * A port number that nobody uses at this moment, neither over TCP nor over UDP, and that nobody gets who asks for any: a server that is killed finds
 * it free when it comes back, however many sockets browsers have opened meanwhile.
 */
export async function freePort(): Promise<number> {
  const [first, end] = unasked();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = randomInt(first, end);
    if (!given.has(port) && (await canListen(port)) && (await canBindUdp(port))) {
      given.add(port);
      return port;
    }
  }
  throw new Error(`no free port found from ${first} to ${end - 1}`);
}

/** The first of so many ports behind each other, each of which is free as with {@link freePort}. */
export async function freePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const first = await freePort();
    const others = Array.from({ length: count - 1 }, (_, i) => first + 1 + i);
    const free = await Promise.all(
      others.map(async (port) => port <= HIGHEST_PORT && !given.has(port) && (await canBindUdp(port))),
    );
    if (free.includes(false)) continue;
    for (const port of others) given.add(port);
    return first;
  }
  throw new Error(`no ${count} free ports behind each other found`);
}

/** What was given to somebody who may not have taken it yet. */
const given = new Set<number>();

/** The ports that the kernel gives to nobody by itself (ip(7)), but for those that browsers refuse to speak to: the last of them is 10080. */
function unasked(): readonly [first: number, end: number] {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const [first = 32_768, last = 60_999] = range.trim().split(/\s+/).map(Number);
  const [below, above] = [first - LOWEST_PORT, HIGHEST_PORT - last];
  // Where the kernel gives away nearly all there are, it is left to chance.
  if (Math.max(below, above) < FEWEST_PORTS) return [LOWEST_PORT, HIGHEST_PORT + 1];
  return below >= above ? [LOWEST_PORT, first] : [last + 1, HIGHEST_PORT + 1];
}

async function canListen(port: number): Promise<boolean> {
  const tcp = createServer();
  try {
    tcp.listen(port, EVERYWHERE);
    await once(tcp, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    await new Promise((resolve) => tcp.close(resolve));
  }
}

async function canBindUdp(port: number): Promise<boolean> {
  const udp = createSocket('udp4');
  try {
    udp.bind(port, EVERYWHERE);
    await once(udp, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    udp.close();
  }
}

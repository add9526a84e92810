import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';

export const LOOPBACK = '127.0.0.1';
const ATTEMPTS = 20;

/**
 * An IPv4 address of this machine that is not loopback, where there is one. Firefox lists no loopback candidates of its own and pairs
 * none of its others with one; between two sockets of this machine the packets take the loopback interface all the same.
 */
export function hostAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? LOOPBACK;
}

/** A port number that nobody uses at this moment, neither over TCP nor over UDP. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const tcp = createServer();
    tcp.listen(0, LOOPBACK);
    await once(tcp, 'listening');
    const { port } = tcp.address() as { port: number };
    const udpIsFree = await canBindUdp(port);
    await new Promise((resolve) => tcp.close(resolve));
    if (udpIsFree) return port;
  }
  throw new Error('no free port found');
}

async function canBindUdp(port: number): Promise<boolean> {
  const udp = createSocket('udp4');
  try {
    udp.bind(port, LOOPBACK);
    await once(udp, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    udp.close();
  }
}

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

export const LOOPBACK = '127.0.0.1';
const ATTEMPTS = 20;

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

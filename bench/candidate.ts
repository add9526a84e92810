import type { Address } from '../src/transport/address.ts';

/** The first candidate of UDP over IPv4 in a session description. */
export function addressIn(sdp: string): Address | undefined {
  const [, ip, port] = /^a=candidate:\S+ 1 udp \d+ ([\d.]+) (\d+) typ host/im.exec(sdp) ?? [];
  return ip === undefined ? undefined : { ip, port: Number(port) };
}

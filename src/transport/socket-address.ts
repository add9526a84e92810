import type { Address } from './address.ts';

/** As much as `sockaddr_in6` takes; `sockaddr_in` takes less. */
const SOCKET_ADDRESS_BYTES = 28;

const IPV4_BYTES = 16;
const AF_INET = 2;
const AF_INET6 = 10;

/**
 * An address as Linux takes it (ip(7), ipv6(7)), for a socket of this family: an IPv4 one is mapped where the socket is of IPv6 (RFC 4291 §2.5.5.2).
 * `undefined` where it cannot be written so: with a zone, of the other family, or no address at all.
 */
export function socketAddress({ ip, port }: Address, family: 'IPv4' | 'IPv6'): Uint8Array | undefined {
  if (family === 'IPv4') {
    const v4 = parseIpv4(ip);
    if (v4 === undefined) return undefined;
    const bytes = new Uint8Array(IPV4_BYTES);
    bytes.set([AF_INET, 0, port >> 8, port & 0xff, ...v4]);
    return bytes;
  }
  const v6 = parseIpv6(ip.includes(':') ? ip : `::ffff:${ip}`);
  if (v6 === undefined) return undefined;
  const bytes = new Uint8Array(SOCKET_ADDRESS_BYTES);
  bytes.set([AF_INET6, 0, port >> 8, port & 0xff, 0, 0, 0, 0, ...v6]);
  return bytes;
}

function parseIpv4(text: string): readonly number[] | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return parts.map(Number);
}

/** RFC 4291 §2.2, all three forms. */
function parseIpv6(text: string): readonly number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, i) => bytesOf(half, i === halves.length - 1));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const missing = 16 - head.length - (tail?.length ?? 0);
  // A double colon stands for one group at least.
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined;
  return [...head, ...Array<number>(missing).fill(0), ...(tail ?? [])];
}

/** Of one side of a double colon, or all; an IPv4 address ends what is `last`. */
function bytesOf(groups: string, last: boolean): readonly number[] | undefined {
  if (groups === '') return [];
  const bytes: number[] = [];
  const parts = groups.split(':');
  for (const [i, part] of parts.entries()) {
    const v4 = last && i === parts.length - 1 && part.includes('.') ? parseIpv4(part) : undefined;
    if (v4 !== undefined) bytes.push(...v4);
    else if (/^[0-9a-f]{1,4}$/i.test(part))
      bytes.push(Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 0xff);
    else return undefined;
  }
  return bytes;
}

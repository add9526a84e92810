import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { isLocalhost } from './origin.ts';

/** Who asks, and for what, as the visitor's browser sees it. */
export interface Visit {
  readonly address: string;
  /** The Host that it asks for; `undefined` where it says none. */
  readonly host: string | undefined;
  readonly scheme: 'http' | 'https';
  /** It comes from this machine for sure, and asks for it by a name or an address of loopback. */
  readonly local: boolean;
}

/** Longer lists are nobody's who means well. */
const MAX_HOPS = 32;

/**
 * Proxies that may say for whom they ask: X-Forwarded-For, -Proto and -Host. Of everybody else these headers are the visitor's own words, and
 * say nothing.
 */
export class TrustedProxies {
  readonly #trusted = new BlockList();
  readonly #isKnownElsewhere: boolean;

  /**
   * @param networks addresses and networks: `192.0.2.1`, `10.0.0.0/8`, `fd00::/8`
   * @param publicOrigins by which visitors know the server
   */
  constructor(networks: readonly string[] = [], publicOrigins: readonly string[] = []) {
    this.#isKnownElsewhere = publicOrigins.some((origin) => !isLoopbackName(new URL(origin).host));
    for (const network of networks) {
      const { address, family, prefix } = parseNetwork(network)!;
      this.#trusted.addSubnet(address, prefix, family);
    }
  }

  trusts(address: string): boolean {
    const plain = unmap(address);
    const version = isIP(plain);
    return version !== 0 && this.#trusted.check(plain, version === 4 ? 'ipv4' : 'ipv6');
  }

  visitOf(request: IncomingMessage): Visit {
    const { socket, headers } = request;
    const nearest = unmap(socket.remoteAddress ?? '');
    const scheme = 'encrypted' in socket ? 'https' : 'http';
    if (!this.trusts(nearest)) {
      // A proxy or a tunnel on this machine, of which nobody has told us, asks for somebody else. Where visitors come by another name there may
      // be one that says nothing of it, and asks for a name of loopback itself, as nginx does where nobody has set a header.
      const local =
        isLoopback(nearest) &&
        isLoopbackName(headers.host) &&
        !isForwarded(headers) &&
        !this.#isKnownElsewhere;
      return { address: nearest, host: headers.host, scheme, local };
    }
    const proto = last(headers['x-forwarded-proto'])?.toLowerCase();
    const hops = listOf(headers['x-forwarded-for']);
    const host = last(headers['x-forwarded-host']) ?? headers.host;
    return {
      address: this.#visitorBehind(nearest, hops),
      host,
      scheme: proto === 'http' || proto === 'https' ? proto : scheme,
      // A proxy that does not say for whom it asks may ask for anybody.
      local: hops.length > 0 && hops.every((hop) => isLoopback(addressOf(hop))) && isLoopbackName(host),
    };
  }

  /**
   * Each proxy appends who has asked it: what stands to the left of one that we do not trust is that one's to write. So the visitor is the first from
   * the right that is no proxy of ours. Where that is not an address, nobody knows more than who has passed it on.
   */
  #visitorBehind(nearest: string, hops: readonly string[]): string {
    let visitor = nearest;
    for (const hop of hops.slice(-MAX_HOPS).reverse()) {
      const address = addressOf(hop);
      if (address === undefined) return visitor;
      visitor = address;
      if (!this.trusts(address)) return visitor;
    }
    return visitor;
  }
}

interface Network {
  readonly address: string;
  readonly family: 'ipv4' | 'ipv6';
  readonly prefix: number;
}

/** `undefined` where this is neither an address nor a network (RFC 4632 §3.1, RFC 4291 §2.3). */
export function parseNetwork(text: string): Network | undefined {
  const [address = '', length, ...rest] = text.split('/');
  const version = isIP(address);
  const bits = version === 4 ? 32 : 128;
  if (version === 0 || address.includes('%') || rest.length > 0) return undefined;
  if (length !== undefined && (!/^\d{1,3}$/.test(length) || Number(length) > bits)) return undefined;
  return {
    address,
    family: version === 4 ? 'ipv4' : 'ipv6',
    prefix: length === undefined ? bits : Number(length),
  };
}

const listOf = (header: string | readonly string[] | undefined): readonly string[] =>
  header === undefined
    ? []
    : (typeof header === 'string' ? header : header.join(',')).split(',').map((one) => one.trim());

/** What the proxy next to us has written. */
const last = (header: string | readonly string[] | undefined): string | undefined =>
  listOf(header).at(-1) || undefined;

/** Some proxies write a port as well: `192.0.2.1:1234`, `[2001:db8::1]:1234`. */
function addressOf(hop: string): string | undefined {
  const bracketed = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(hop)?.[1];
  const withPort = /^(\d+\.\d+\.\d+\.\d+):\d{1,5}$/.exec(hop)?.[1];
  const address = unmap(bracketed ?? withPort ?? hop);
  return isIP(address) === 0 || address.includes('%') ? undefined : address;
}

const isLoopback = (address: string | undefined): boolean =>
  address === '::1' || (address !== undefined && isIP(address) === 4 && address.startsWith('127.'));

/** RFC 6761 §6.3. Others can lead here what asks for another name: a tunnel, a name server. */
const isLoopbackName = (host = ''): boolean => {
  const name = host.toLowerCase().replace(/:\d{1,5}$/, '');
  return isLocalhost(name) || name === '[::1]' || isLoopback(name);
};

/** What proxies and tunnels say of those for whom they ask; browsers say none of it. */
const FORWARDED = ['forwarded', 'via', 'x-real-ip', 'cf-connecting-ip', 'true-client-ip'];
const isForwarded = (headers: IncomingMessage['headers']): boolean =>
  Object.keys(headers).some((name) => name.startsWith('x-forwarded-') || FORWARDED.includes(name));

/** A socket for both families shows IPv4 as mapped addresses (RFC 4291 §2.5.5.2). */
const unmap = (address: string): string => /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;

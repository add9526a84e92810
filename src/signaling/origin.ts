import { isIP } from 'node:net';

/** A host as a URL has it: a name or an address, and perhaps a port. User names, paths and the rest are not let through to the URL parser. */
const HOST = /^(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/;
/** The longest name there is (RFC 1035 §2.3.4), with a port. */
const MAX_HOST_LENGTH = 260;

/**
 * Under which names browsers may ask for this server, and whose pages may speak to it.
 *
 * That a page's origin is the host that it asks for says little by itself: a page of `attacker.example`, whose name was pointed to this
 * machine after it was loaded (DNS rebinding), has that too, and would be let in to a server that only the visitor can reach. So the host has
 * to be one that nobody else can point here: an address, localhost, the name of this machine, or what the operator has said.
 */
export class KnownOrigins {
  readonly #origins: ReadonlySet<string>;
  readonly #names: ReadonlySet<string>;

  /**
   * @param publicOrigins as browsers write them: `https://live.example.org`
   * @param machine the name of this machine
   */
  constructor(publicOrigins: readonly string[], machine: string) {
    const own = machine.toLowerCase();
    const short = own.split('.')[0]!;
    this.#origins = new Set(publicOrigins);
    this.#names = new Set([
      ...publicOrigins.map((origin) => new URL(origin).hostname),
      own,
      short,
      // RFC 6762 §3: the name that other machines of the network know it by.
      `${short}.local`,
    ]);
  }

  /** Whether this Host (RFC 9110 §7.2) is one of ours. */
  knowsHost(host: string): boolean {
    const name = nameOf(host);
    if (name === undefined) return false;
    return isLocalhost(name) || isAddress(name) || this.#names.has(name);
  }

  /** Whether a page of this origin may speak to us, asking for this Host in this way. HTTPS of somebody in front of us who is not trusted to say so is named. */
  allows(origin: string, host: string, scheme: 'http' | 'https' = 'http'): boolean {
    return (
      this.#origins.has(origin) || (this.knowsHost(host) && origin === `${scheme}://${host.toLowerCase()}`)
    );
  }
}

/** RFC 6761 §6.3: names below localhost are this machine's as well. */
export const isLocalhost = (name: string): boolean => name === 'localhost' || name.endsWith('.localhost');

function nameOf(host: string): string | undefined {
  const lower = host.toLowerCase();
  if (lower.length > MAX_HOST_LENGTH || !HOST.test(lower) || !URL.canParse(`http://${lower}`))
    return undefined;
  // An absolute name is the same name (RFC 1034 §3.1).
  return new URL(`http://${lower}`).hostname.replace(/\.$/, '');
}

/** A URL's host is an address in its canonical form, however it was written. */
const isAddress = (name: string): boolean => name.startsWith('[') || isIP(name) === 4;

import { RekeycastError } from '../errors.ts';

/** Names of the settings that a socket's address comes from. */
export interface AddressSettings {
  readonly host: string;
  readonly port: string;
}

const SETTINGS = {
  tcp: { host: 'HOST', port: 'PORT' },
  udp: { host: 'HOST', port: 'UDP_PORT' },
} as const;

/** What kept a socket from its address, in words that say which setting to change; as it is where there are none for it. */
export function bindFailed(
  cause: NodeJS.ErrnoException,
  host: string,
  port: number,
  protocol: 'tcp' | 'udp',
  settings: AddressSettings = SETTINGS[protocol],
): Error {
  switch (cause.code) {
    case 'EADDRINUSE':
      return new RekeycastError(
        'PORT_IN_USE',
        `${port}/${protocol} is in use: another process (or rekeycast itself) has it. Set ${settings.port}.`,
        { cause },
      );
    case 'EADDRNOTAVAIL':
      return new RekeycastError(
        'ADDRESS_UNAVAILABLE',
        `${host} is not an address of this machine. Set ${settings.host} to one that is, or to 0.0.0.0 for all of them.`,
        { cause },
      );
    case 'EAFNOSUPPORT':
      return new RekeycastError(
        'ADDRESS_UNAVAILABLE',
        `this machine has no IPv6, and ${settings.host} is ${host}. Set ${settings.host} to 0.0.0.0 for all its addresses.`,
        { cause },
      );
    case 'EACCES':
      return new RekeycastError(
        'ADDRESS_UNAVAILABLE',
        `this user may not open ${port}/${protocol} on ${host}: the system keeps low ports for others. Set ${settings.port} to one above 1023.`,
        { cause },
      );
    default:
      return cause;
  }
}

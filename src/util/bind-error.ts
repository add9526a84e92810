import { RekeycastError } from '../errors.ts';

const PORT_SETTING = { tcp: 'PORT', udp: 'UDP_PORT' } as const;

/** What kept a socket from its address, in words that say which setting to change; as it is where there are none for it. */
export function bindFailed(
  cause: NodeJS.ErrnoException,
  host: string,
  port: number,
  protocol: 'tcp' | 'udp',
): Error {
  switch (cause.code) {
    case 'EADDRINUSE':
      return new RekeycastError(
        'PORT_IN_USE',
        `${port}/${protocol} is in use: another process (or rekeycast itself) has it. Set ${PORT_SETTING[protocol]}.`,
        { cause },
      );
    case 'EADDRNOTAVAIL':
      return new RekeycastError(
        'ADDRESS_UNAVAILABLE',
        `${host} is not an address of this machine. Set HOST to one that is, or to 0.0.0.0 for all of them.`,
        { cause },
      );
    case 'EACCES':
      return new RekeycastError(
        'ADDRESS_UNAVAILABLE',
        `this user may not open ${port}/${protocol} on ${host}: the system keeps low ports for others. Set ${PORT_SETTING[protocol]} to one above 1023.`,
        { cause },
      );
    default:
      return cause;
  }
}

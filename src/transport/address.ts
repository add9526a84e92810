/** A transport address: where a datagram comes from or goes to. `ip` is as node:dgram prints it. */
export interface Address {
  readonly ip: string;
  readonly port: number;
}

/** A map key for an address. */
export const addressKey = (address: Address): string => `${address.ip}|${address.port}`;

export const sameAddress = (a: Address, b: Address): boolean => a.port === b.port && a.ip === b.ip;

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * The descriptor of the one UDP socket of this process's that is bound to this port, from the kernel's own tables (proc(5)): Node does not tell it.
 * `undefined` where there is none to be seen, or more than one.
 */
export function ownDescriptor(
  port: number,
  family: 'IPv4' | 'IPv6',
  proc = '/proc/self',
): number | undefined {
  try {
    const inodes = boundTo(port, readFileSync(`${proc}/net/${family === 'IPv4' ? 'udp' : 'udp6'}`, 'latin1'));
    if (inodes.length !== 1) return undefined;
    const name = `socket:[${inodes[0]}]`;
    const found = readdirSync(`${proc}/fd`).filter((fd) => target(`${proc}/fd/${fd}`) === name);
    return found.length === 1 ? Number(found[0]) : undefined;
  } catch {
    return undefined;
  }
}

/** Inodes of the sockets of a table whose local port is this one: `sl local_address rem_address … inode …`. */
function boundTo(port: number, table: string): readonly string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(suffix))
    .flatMap((fields) => fields[9] ?? []);
}

function target(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // It was open while the directory was read.
    return undefined;
  }
}

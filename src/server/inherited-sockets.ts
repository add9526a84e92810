/**
 * Socket activation, the protocol of sd_listen_fds(3). The service manager has bound the sockets and keeps them over every restart: what
 * arrives while no server runs waits in them.
 *
 *   service manager                                   this process
 *   binds 8080/udp and 8080/tcp, starts it ─────────▶ LISTEN_PID says that they are for it, LISTEN_FDS how many there are, from fd 3 on
 *                                                     /proc tells what each of them is
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { RekeycastError } from '../errors.ts';
import { errorCode } from '../util/file-system.ts';

interface InheritedSocket {
  readonly fd: number;
  readonly family: 'IPv4' | 'IPv6';
}

export interface InheritedSockets {
  readonly udp?: InheritedSocket;
  readonly tcp?: InheritedSocket;
  /** Sockets were there and are not used: why, in words for the operator. */
  readonly ignored?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The protocol's, so that whatever this process starts does not take them for its own. */
export const LISTEN_VARIABLES = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'] as const;

/** SD_LISTEN_FDS_START: behind standard input, output and error. */
const FIRST_FD = 3;
/** One for media and one for the page; more than these would be refused one by one. */
const MAX_FDS = 64;
/** `st` of /proc/net/tcp: TCP_LISTEN. */
const LISTENING = '0A';
const TABLES = [
  { table: 'udp', kind: 'udp', family: 'IPv4' },
  { table: 'udp6', kind: 'udp', family: 'IPv6' },
  { table: 'tcp', kind: 'tcp', family: 'IPv4' },
  { table: 'tcp6', kind: 'tcp', family: 'IPv6' },
] as const;

/**
 * What the service manager has handed over. Their kinds tell which is which, since the names in LISTEN_FDNAMES are the same for all sockets of a
 * unit. Throws `CONFIG_INVALID` where one of them is of no use: it was meant for something, and would wait in vain.
 */
export function inheritedSockets(env: Environment, pid: number, proc = '/proc/self'): InheritedSockets {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = '' } = env;
  if (LISTEN_PID === undefined || LISTEN_FDS === undefined) return {};
  const count = /^\d{1,4}$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : -1;
  if (count < 0 || count > MAX_FDS)
    throw unusable(`LISTEN_FDS is ${JSON.stringify(LISTEN_FDS)}, which is not a number of sockets`);
  if (LISTEN_PID !== String(pid)) {
    return {
      ignored: `LISTEN_FDS names sockets for process ${LISTEN_PID}, and this is ${pid}: they are not used. Let the unit start this program itself, without npm and without a shell that stays`,
    };
  }
  const names = LISTEN_FDNAMES.split(':');
  const found: { udp?: InheritedSocket; tcp?: InheritedSocket } = {};
  for (let i = 0; i < count; i++) {
    const fd = FIRST_FD + i;
    const what = `the socket that was handed over as file descriptor ${fd}${names[i] ? ` (${names[i]})` : ''}`;
    const { kind, family } = describe(fd, what, proc);
    if (found[kind] !== undefined)
      throw unusable(
        `${what} is a second one for ${kind.toUpperCase()}, and one is served: have the unit listen once for each (on [::], with BindIPv6Only=both, it takes IPv4 as well)`,
      );
    found[kind] = { fd, family };
  }
  return found;
}

function describe(
  fd: number,
  what: string,
  proc: string,
): { readonly kind: 'udp' | 'tcp'; readonly family: 'IPv4' | 'IPv6' } {
  const inode = /^socket:\[(\d+)\]$/.exec(target(`${proc}/fd/${fd}`) ?? '')?.[1];
  if (inode === undefined) throw unusable(`${what} is no socket`);
  for (const { table, kind, family } of TABLES) {
    const state = stateOf(inode, `${proc}/net/${table}`);
    if (state === undefined) continue;
    if (kind === 'tcp' && state !== LISTENING)
      throw unusable(`${what} is a connection and does not listen: the socket unit needs Accept=no`);
    return { kind, family };
  }
  throw unusable(
    `${what} is neither a UDP nor a TCP socket of this network: one ListenDatagram= and one ListenStream= with a port are served, from a unit without PrivateNetwork=`,
  );
}

/** The state of the socket with this inode in one of the kernel's tables (proc(5)), where it is in it. */
function stateOf(inode: string, path: string): string | undefined {
  for (const line of lines(path)) {
    const fields = line.trim().split(/\s+/);
    if (fields[9] === inode) return fields[3];
  }
  return undefined;
}

function lines(path: string): readonly string[] {
  try {
    return readFileSync(path, 'latin1').split('\n').slice(1);
  } catch (cause) {
    // A machine without IPv6 has no tables for it.
    if (errorCode(cause) === 'ENOENT') return [];
    throw cause;
  }
}

function target(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

const unusable = (words: string): RekeycastError => new RekeycastError('CONFIG_INVALID', words);

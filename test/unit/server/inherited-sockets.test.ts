import { mkdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { inheritedSockets } from '../../../src/server/inherited-sockets.ts';
import { testDirectory } from '../../support/test-directory.ts';

const PID = 4711;
const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';

/** A line of /proc/net/{udp,tcp}[6], as the kernel writes it. */
const line = (inode: number, state: string): string =>
  ` 4083: 0100007F:1F90 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 2 000000009ec597d3 0`;

describe('inheritedSockets', () => {
  const directory = testDirectory();

  beforeEach(() => {
    for (const name of ['fd', 'net']) mkdirSync(join(directory.path, name));
    table('udp', line(100, '07'), line(10, '07'));
    table('udp6', line(16, '07'));
    table('tcp', line(20, '0A'), line(21, '01'));
    table('tcp6', line(26, '0A'));
  });

  const table = (name: string, ...lines: string[]): void =>
    writeFileSync(join(directory.path, 'net', name), `${[HEAD, ...lines].join('\n')}\n`);
  /** The descriptors from 3 on. */
  const fds = (...targets: string[]): void => {
    for (const [i, to] of targets.entries()) symlinkSync(to, join(directory.path, 'fd', String(i + 3)));
  };
  const read = (env: Record<string, string>, pid = PID) => inheritedSockets(env, pid, directory.path);
  const handed = (count: number, names = 'rekeycast:rekeycast') => ({
    LISTEN_PID: String(PID),
    LISTEN_FDS: String(count),
    LISTEN_FDNAMES: names,
  });

  it('finds none where no service manager speaks of any', () => {
    expect(read({})).toEqual({});
    expect(read({ LISTEN_FDS: '2' })).toEqual({});
    expect(read({ LISTEN_PID: String(PID) })).toEqual({});
    expect(read(handed(0))).toEqual({});
  });

  it('tells by its kind which is which, in any order and whatever the names', () => {
    fds('socket:[20]', 'socket:[10]');
    expect(read(handed(2))).toEqual({
      tcp: { fd: 3, family: 'IPv4' },
      udp: { fd: 4, family: 'IPv4' },
    });
    expect(read({ LISTEN_PID: String(PID), LISTEN_FDS: '2' })).toEqual(read(handed(2)));
  });

  it('tells the family, which says how peers’ addresses are written', () => {
    fds('socket:[16]', 'socket:[26]');
    expect(read(handed(2))).toEqual({
      udp: { fd: 3, family: 'IPv6' },
      tcp: { fd: 4, family: 'IPv6' },
    });
  });

  it('takes one alone', () => {
    fds('socket:[10]');
    expect(read(handed(1))).toEqual({ udp: { fd: 3, family: 'IPv4' } });
  });

  it('does without the tables of IPv6 where the machine has none', () => {
    for (const name of ['udp6', 'tcp6']) rmSync(join(directory.path, 'net', name));
    fds('socket:[10]', 'socket:[20]');
    expect(Object.keys(read(handed(2)))).toEqual(['udp', 'tcp']);
  });

  it('leaves sockets alone that are for another process, and says so', () => {
    fds('socket:[10]');
    const { ignored, ...sockets } = read(handed(1), PID + 1);
    expect(sockets).toEqual({});
    expect(ignored).toContain(`process ${PID}, and this is ${PID + 1}`);
  });

  it.each([
    ['a file', '/etc/rekeycast', /descriptor 3 \(media\) is no socket/],
    ['a pipe', 'pipe:[10]', /descriptor 3 \(media\) is no socket/],
    ['a socket of another kind or network', 'socket:[99]', /neither a UDP nor a TCP socket/],
    ['an accepted connection', 'socket:[21]', /Accept=no/],
  ])('refuses %s in words', (_what, target, words) => {
    fds(target);
    expect(() => read(handed(1, 'media'))).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    expect(() => read(handed(1, 'media'))).toThrow(words);
  });

  it('refuses a descriptor that is not there', () => {
    fds('socket:[10]');
    expect(() => read(handed(2))).toThrow(/descriptor 4 \(rekeycast\) is no socket/);
  });

  it('refuses a second socket of a kind: it would wait in vain', () => {
    fds('socket:[10]', 'socket:[16]');
    expect(() => read(handed(2))).toThrow(/second one for UDP.*BindIPv6Only=both/);
  });

  it('finds a real socket in the kernel’s own tables', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
    rmSync(join(directory.path, 'net'), { recursive: true });
    symlinkSync('/proc/self/net', join(directory.path, 'net'));
    fds(readlinkSync(`/proc/self/fd/${fd}`));
    expect(read(handed(1))).toEqual({ tcp: { fd: 3, family: 'IPv4' } });
  });

  it.each(['two', '-1', '1e1', '65', ''])('refuses LISTEN_FDS=%j', (count) => {
    expect(() => read({ LISTEN_PID: String(PID), LISTEN_FDS: count })).toThrow(/LISTEN_FDS is/);
  });
});

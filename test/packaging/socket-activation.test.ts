import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { toHex, utf8 } from '../../src/util/bytes.ts';
import { prepareServer } from '../support/fixture.ts';
import { libdatachannel } from '../support/foreign-stacks.ts';
import { HeadlessPage } from '../support/headless-page.ts';
import { freePorts, LOOPBACK } from '../support/ports.ts';
import { BUILT_SERVER, type ServerProcess } from '../support/process.ts';
import { SocketUnit } from '../support/socket-unit.ts';
import { stunRequest } from '../support/stun.ts';
import { until } from '../support/wait.ts';
import { WsClient } from '../support/ws-client.ts';

/** Type of a binding error response (RFC 8489 §5). */
const BINDING_ERROR = '0111';

let server: ServerProcess;
let browser: Socket;
/** Transaction ids of the responses that have come. */
let answered: string[];

beforeEach(async () => {
  server = await prepareServer({ udpPort: await freePorts(2) });
  answered = [];
  browser = createSocket('udp4');
  browser.on('message', (datagram) => {
    if (toHex(datagram.subarray(0, 2)) === BINDING_ERROR) answered.push(toHex(datagram.subarray(8, 20)));
  });
  browser.on('error', () => undefined);
  browser.bind(0, LOOPBACK);
  await once(browser, 'listening');
});

afterEach(() => browser.close());

async function openUnit(
  env: Readonly<Record<string, string>> = {},
  host: string = LOOPBACK,
): Promise<SocketUnit> {
  const unit = await SocketUnit.open({
    host,
    udpPort: server.udpPort,
    tcpPort: server.port,
    command: [process.execPath, BUILT_SERVER, 'serve'],
    // The ports of the unit count, whatever is set.
    env: { ...server.env, PORT: '1', UDP_PORT: '1', ...env },
  });
  onTestFinished(() => unit.dispose());
  return unit;
}

/**
 * A visitor with keys, who takes no notice of a restart. Gives a check that the server answers at once, knowing the session and nothing
 * else: one of an agent that is controlled, as it is itself (RFC 8445 §7.3.1.1).
 */
async function visit(): Promise<() => Promise<string>> {
  let offer = '';
  let answer = '';
  const page = new HeadlessPage(server.url, (role, receive) => {
    const peer = libdatachannel(role, receive);
    return {
      send: (packet) => peer.send(packet),
      close: () => peer.close(),
      answer: async (sdp) => {
        offer = sdp;
        answer = await peer.answer(sdp);
        return answer;
      },
    };
  });
  onTestFinished(() => page.close());
  await page.open();
  await until('the visitor has keys', () => page.epoch === 0);
  // Whatever the moment of the kill: what the server knows of the visitor is on file.
  expect(await askServer(server.adminSocket, { command: 'reseal' })).toMatchObject({ kind: 'answer' });
  const username = utf8(`${iceLine('ufrag', offer)}:${iceLine('ufrag', answer)}`);
  return async () => {
    const transactionId = randomBytes(12);
    const check = stunRequest(
      [
        { type: 0x0006, value: username },
        { type: 0x0024, value: new Uint8Array(4) },
        { type: 0x8029, value: new Uint8Array(8) },
      ],
      iceLine('pwd', offer),
      transactionId,
    );
    await new Promise((sent) => browser.send(check, server.udpPort, LOOPBACK, sent));
    return toHex(transactionId);
  };
}

/** Where a visitor who joins is told to send media. */
async function offered(): Promise<readonly string[]> {
  const page = await WsClient.connect(server.url);
  onTestFinished(() => page.close());
  page.say({ type: 'join', capabilities: { rekeyInPlace: true } });
  const { sdp } = await page.hear('offer');
  const candidates = sdp.matchAll(/^a=candidate:\S+ 1 udp \d+ (\S+) (\d+)/gim);
  return [...new Set([...candidates].map(([, ip, port]) => `${ip}:${port}`))];
}

const iceLine = (name: 'ufrag' | 'pwd', sdp: string): string =>
  new RegExp(`^a=ice-${name}:(\\S+)`, 'm').exec(sdp)![1]!;

describe('a socket unit', { timeout: 300_000 }, () => {
  it.each([
    ['SIGKILL', 137, LOOPBACK],
    // A socket unit's own default, which takes both families.
    ['SIGTERM', 0, '[::]'],
  ] as const)(
    'keeps what is sent after %s (exit %i), over UDP and TCP, for the next server on %s to answer',
    async (signal, ending, host) => {
      const unit = await openUnit({}, host);
      const pid = await unit.serve();
      const check = await visit();
      const early = await check();
      await until('the server answers', () => answered.includes(early));

      expect(await unit.stop(pid, signal)).toBe(ending);
      const waiting = [await check(), await check()];
      const request = fetch(server.url);
      await unit.serve();
      await until('what has waited is answered', () => waiting.every((one) => answered.includes(one)));
      expect((await request).status).toBe(200);
      expect(unit.output).toContain(
        `"given":["udp","tcp"],"port":${server.port},"udpPort":${server.udpPort}`,
      );
    },
  );

  it('is what makes the difference: without it the same is refused and lost', async () => {
    await server.start();
    const check = await visit();
    await server.kill();
    const lost = await check();
    await expect(fetch(server.url)).rejects.toThrow();
    await server.start();
    const late = await check();
    await until('the server answers', () => answered.includes(late));
    expect(answered).not.toContain(lost);
  });

  it('tells browsers the address and the port that it has, not those that are set', async () => {
    const unit = await openUnit({ ANNOUNCED_ADDRESS: '', ANNOUNCED_PORT: '', HOST: '0.0.0.0' });
    await unit.serve();
    expect(await offered()).toEqual([`${LOOPBACK}:${server.udpPort}`]);
  });

  it('has workers at the same address, whatever is set', async () => {
    const unit = await openUnit({ ANNOUNCED_ADDRESS: '', ANNOUNCED_PORT: '', HOST: '0.0.0.0', WORKERS: '1' });
    await unit.serve();
    expect(await offered()).toEqual([`${LOOPBACK}:${server.udpPort}`]);
    expect(await offered()).toEqual([`${LOOPBACK}:${server.udpPort + 1}`]);
  });

  it('has its sockets refused in words where they are of no use', async () => {
    const unit = await openUnit({ LISTEN_FDS: '3' });
    await unit.start();
    await until('the server has ended', () => unit.endings.length === 1);
    expect(unit.endings).toEqual([1]);
    expect(unit.output).toMatch(/file descriptor 5 is no socket.*CONFIG_INVALID/);
  });

  it('does not hand over to a server that would have to bind the ports', async () => {
    const unit = await openUnit();
    await unit.serve();
    server.spawn(['serve', '--takeover']);
    expect(await server.exited()).toEqual({ code: 1, signal: null });
    expect(server.run.stderr).toContain('restart the unit instead');
    expect(await (await fetch(`${server.url}readyz`)).text()).toBe('ready\n');
  });

  it('is not served by a process that it was not meant for, which says so', async () => {
    const unit = await openUnit({ LISTEN_PID: '1', PORT: '0', UDP_PORT: '0' });
    await unit.serve();
    expect(unit.output).toMatch(/"event":"sockets-ignored".*for process 1, and this is/);
    expect(unit.output).not.toContain('sockets-inherited');
  });
});

import { once } from 'node:events';
import { Agent, request } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import type { HttpPort } from '../../../src/signaling/http.ts';
import { SUBPROTOCOL } from '../../../src/signaling/protocol.ts';
import type { TlsPair } from '../../../src/signaling/tls.ts';
import { PageSockets } from '../../../src/signaling/ws.ts';
import { BOX_ORIGINS, pagePort } from '../../support/page-port.ts';
import { LOOPBACK } from '../../support/ports.ts';
import { RawClient } from '../../support/raw-http.ts';
import { certificatePair, type PemPair } from '../../support/tls.ts';
import { until } from '../../support/wait.ts';

let [first, second]: [PemPair, PemPair] = [
  { cert: '', key: '' },
  { cert: '', key: '' },
];
beforeAll(() => {
  [first, second] = [certificatePair(), certificatePair()];
});

const withDate = (pair: PemPair): TlsPair => ({ ...pair, validTo: Number.POSITIVE_INFINITY });
let http: HttpPort;
let pages: PageSockets;

beforeEach(async () => {
  const sockets = new PageSockets(
    {
      opened: (page) => page.send({ type: 'room', viewers: 0, onAir: false }),
      message: () => undefined,
      closed: () => undefined,
    },
    BOX_ORIGINS,
  );
  pages = sockets;
  http = await pagePort(() => sockets, {
    tls: withDate(first),
    // Nobody is hung up on for being slow.
    limits: { head: 600_000, request: 600_000, idle: 600_000 },
  });
});
afterEach(() => {
  pages.close(1001, 'over');
  http.close();
});

/** Asks over HTTPS, trusting this certificate and no other. */
async function ask(pair: PemPair, agent: Agent | false = false): Promise<number> {
  const asking = request({ host: LOOPBACK, port: http.port, ca: pair.cert, agent });
  asking.end();
  const [response] = (await once(asking, 'response')) as [{ statusCode: number; resume(): void }];
  response.resume();
  return response.statusCode;
}

async function handshake(options: object): Promise<TLSSocket> {
  const socket = connect({ host: LOOPBACK, port: http.port, ca: first.cert, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

async function openWebSocket(origin: string): Promise<string> {
  const socket = new WebSocket(`wss://${LOOPBACK}:${http.port}/ws`, [SUBPROTOCOL], {
    origin,
    ca: first.cert,
  });
  return new Promise((resolve) => {
    socket.once('message', (data) => {
      resolve(String(data));
      socket.terminate();
    });
    socket.once('error', (error) => resolve(error.message));
  });
}

describe('HTTPS', () => {
  it('is spoken with the certificate, and another is used for who comes after it was renewed', async () => {
    expect(await ask(first)).toBe(200);
    await expect(ask(second)).rejects.toThrow(/certificate|self/i);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await ask(first, agent)).toBe(200);
    http.renewTls(withDate(second));
    expect(await ask(second)).toBe(200);
    await expect(ask(first)).rejects.toThrow(/certificate|self/i);
    // Nobody is cut off.
    expect(await ask(first, agent)).toBe(200);
    agent.destroy();
  });

  it('is TLS 1.2 or later', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = await handshake({ minVersion: version, maxVersion: version });
      expect(socket.getProtocol()).toBe(version);
      socket.destroy();
    }
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
    await expect(handshake(old)).rejects.toThrow(/alert|version/i);
    await until('it was counted', () => http.drops.get('tls-failed') >= 1);
  });

  it('lets in the page of its own origin, which begins with https', async () => {
    expect(await openWebSocket(`https://${LOOPBACK}:${http.port}`)).toContain('"room"');
    expect(await openWebSocket(`http://${LOOPBACK}:${http.port}`)).toContain('403');
    expect(await openWebSocket('https://attacker.example')).toContain('403');
  });

  it('is all that is spoken: who begins otherwise is hung up on, and who begins nothing is so at the end', async () => {
    const plain = await RawClient.connect(http.port);
    plain.request('GET / HTTP/1.1');
    expect(await plain.ended()).not.toContain('HTTP/1.1 200');
    await until('it was counted', () => http.drops.get('tls-failed') === 1);
    const silent = connectTcp(http.port, LOOPBACK);
    silent.on('error', () => undefined);
    await once(silent, 'connect');
    expect(await ask(first)).toBe(200);
    http.close();
    await until('the silent one is hung up on', () => silent.closed);
  });

  it('gives one address as many connections as one may have', async () => {
    http.close();
    http = await pagePort(() => pages, { tls: withDate(first), limits: { connectionsPerAddress: 1 } });
    const held = await handshake({});
    await expect(handshake({})).rejects.toThrow();
    expect(http.drops.get('too-many-connections')).toBe(1);
    held.destroy();
    await until('its place is free', () => ask(first).catch(() => false));
  });
});

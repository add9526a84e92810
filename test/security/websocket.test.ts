import { once } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import WebSocket from 'ws';
import type { HttpPort } from '../../src/signaling/http.ts';
import { type ClientMessage, SUBPROTOCOL } from '../../src/signaling/protocol.ts';
import { type Page, PageSockets } from '../../src/signaling/ws.ts';
import { BOX_ORIGINS, pagePort } from '../support/page-port.ts';
import { RawClient, UPGRADE } from '../support/raw-http.ts';
import { until } from '../support/wait.ts';
import { WsClient } from '../support/ws-client.ts';

const HEARTBEAT_MS = 15_000;
const JOIN: ClientMessage = { type: 'join', capabilities: { rekeyInPlace: true } };

let pages: PageSockets;
let http: HttpPort;
let url: string;
let opened: Page[];
let messages: ClientMessage[];
let closed: Page[];
const clients: { close(): void }[] = [];

beforeEach(async () => {
  // The heartbeat, and nothing else, is moved on by hand.
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  // Of this test only: a page of the one before may still be going.
  const [openedNow, messagesNow, closedNow]: [Page[], ClientMessage[], Page[]] = [[], [], []];
  [opened, messages, closed] = [openedNow, messagesNow, closedNow];
  const events = {
    opened: (page: Page) => openedNow.push(page),
    message: (_page: Page, message: ClientMessage) => messagesNow.push(message),
    closed: (page: Page) => closedNow.push(page),
  };
  pages = new PageSockets(events, BOX_ORIGINS);
  http = await pagePort(() => pages);
  url = `http://127.0.0.1:${http.port}/`;
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  pages.close(1001, 'over');
  http.close();
  vi.useRealTimers();
});

async function page(): Promise<WsClient> {
  const client = await WsClient.connect(url);
  clients.push(client);
  return client;
}

/** A page that can say what the protocol of WebSockets allows and no browser does. */
async function odd(options: WebSocket.ClientOptions = {}): Promise<WebSocket & { closeCode?: number }> {
  const socket: WebSocket & { closeCode?: number } = new WebSocket(
    `${url.replace('http', 'ws')}ws`,
    [SUBPROTOCOL],
    options,
  );
  clients.push({ close: () => socket.terminate() });
  socket.on('error', () => undefined);
  socket.on('close', (code) => {
    socket.closeCode = code;
  });
  await once(socket, 'open');
  return socket;
}

const closeOf = (socket: { closeCode?: number | undefined }): Promise<number> =>
  until('the server closes the WebSocket', () => socket.closeCode);

async function expectServed(): Promise<void> {
  const before = messages.length;
  (await page()).say(JOIN);
  await until('a page is heard', () => messages.length > before);
}

/** Bytes behind a handshake made by hand. */
async function raw(headers: readonly string[] = []): Promise<RawClient> {
  const client = await RawClient.connect(http.port);
  clients.push(client);
  client.request('GET /ws HTTP/1.1', ...UPGRADE, `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`, ...headers);
  expect(await client.heard()).toMatch(/^HTTP\/1\.1 101 /);
  return client;
}

it('ws-payload: a frame that announces more than a message may have is refused before a byte of it is here', async () => {
  for (const length of [2 ** 32, 131_073]) {
    const client = await raw();
    const header = Buffer.alloc(14);
    header.set([0x81, 0xff]);
    header.writeBigUInt64BE(BigInt(length), 2);
    client.say(header);
    // RFC 6455 §7.4.1: 1009.
    expect(await client.ended()).toContain('\x88\x02\x03\xf1');
  }
  expect(messages).toEqual([]);
  await expectServed();
});

it('ws-fragments: a message in thousands of pieces is cut off, one in a few is read', async () => {
  const text = JSON.stringify(JOIN);
  const honest = await odd();
  for (let at = 0; at < text.length; at += 10)
    honest.send(text.slice(at, at + 10), { fin: at + 10 >= text.length });
  await until('it is read', () => messages.length === 1);
  const flood = await odd();
  for (let i = 0; i < 5_000; i++) flood.send('x', { fin: false });
  // RFC 6455 §7.4.1: 1008 is a policy.
  expect(await closeOf(flood)).toBe(1008);
  const empty = await odd();
  for (let i = 0; i < 5_000; i++) empty.send('', { fin: false });
  expect(await closeOf(empty)).toBe(1008);
  expect(messages.length).toBe(1);
  await expectServed();
});

it('ws-chunks: a frame that comes byte by byte is cut off where it holds more memory than it has bytes', async () => {
  const client = await raw();
  client.say(Uint8Array.of(0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0));
  const drip = setImmediateLoop(
    () => client.say('x'),
    () => client.over,
  );
  expect(await client.ended()).toContain('\x88');
  await drip;
  await expectServed();
});

it('ws-frames: what no browser sends ends the connection: no mask, reserved bits, unknown opcodes, compression', async () => {
  const mask = [0, 0, 0, 0];
  const frames: readonly (readonly [what: string, frame: readonly number[]])[] = [
    ['no mask', [0x81, 0x02, 0x7b, 0x7d]],
    ['a reserved bit', [0xa1, 0x82, ...mask, 0x7b, 0x7d]],
    ['compression that was not agreed on', [0xc1, 0x82, ...mask, 0x7b, 0x7d]],
    ['an unknown opcode', [0x83, 0x80, ...mask]],
    ['a continuation of nothing', [0x80, 0x80, ...mask]],
    ['a ping in pieces', [0x09, 0x80, ...mask]],
    ['a ping that is too long', [0x89, 0xfe, 0, 126, ...mask]],
    ['a close with half a code', [0x88, 0x81, ...mask, 3]],
    ['text that is no UTF-8', [0x81, 0x81, ...mask, 0xff]],
  ];
  for (const [what, frame] of frames) {
    const client = await raw(['Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits']);
    expect(client.answer).not.toMatch(/extensions/i);
    client.say(Uint8Array.from(frame));
    expect([what, await client.ended()]).toEqual([what, expect.stringMatching(/\x88/)]);
  }
  expect(messages).toEqual([]);
  const client = await raw();
  client.say(Uint8Array.from([0x89, 0x82, ...mask, 0x68, 0x69]));
  await until('an honest ping is answered', () => client.answer.endsWith('\x8a\x02hi'));
  await expectServed();
});

it('ws-rate: messages, binary ones and pings beyond the budget end the connection with one word about it', async () => {
  for (const say of [
    (socket: WebSocket) => socket.send(JSON.stringify(JOIN)),
    (socket: WebSocket) => socket.send(Buffer.from('{}')),
    (socket: WebSocket) => socket.ping(),
  ]) {
    const socket = await odd();
    const errors: string[] = [];
    socket.on('message', (data) => errors.push((JSON.parse(String(data)) as { code: string }).code));
    let pongs = 0;
    socket.on('pong', () => pongs++);
    for (let i = 0; i < 2_000; i++) say(socket);
    expect(await closeOf(socket)).toBe(4003);
    expect(errors.filter((code) => code === 'RATE_LIMITED')).toEqual(['RATE_LIMITED']);
    expect(errors.length).toBeLessThan(100);
    expect(pongs).toBeLessThan(2_000);
  }
  expect(messages.length).toBeLessThan(100);
  await expectServed();
});

it('ws-subprotocols: thousands of names, doubles, and tokens that are none reach nobody', async () => {
  const names = (list: readonly string[]): string => `Sec-WebSocket-Protocol: ${list.join(', ')}`;
  const cases: readonly (readonly [list: readonly string[], status: number])[] = [
    [Array.from({ length: 5_000 }, (_, i) => `${SUBPROTOCOL}.${i}`), 431],
    [[SUBPROTOCOL, SUBPROTOCOL], 400],
    [[`${SUBPROTOCOL}.`, 'rekeycast.token.x'], 400],
    [[SUBPROTOCOL.toUpperCase()], 400],
    [[SUBPROTOCOL, 'a b'], 400],
    [[SUBPROTOCOL, ''], 400],
  ];
  for (const [list, status] of cases) {
    const client = await RawClient.connect(http.port);
    clients.push(client);
    client.request('GET /ws HTTP/1.1', ...UPGRADE, names(list));
    await client.ended();
    expect([list.slice(0, 2), client.statuses]).toEqual([list.slice(0, 2), [status]]);
  }
  expect(opened).toEqual([]);
  // The answer names the protocol, never the token that stood beside it.
  const client = await RawClient.connect(http.port);
  clients.push(client);
  client.request('GET /ws HTTP/1.1', ...UPGRADE, names(['rekeycast.token.0123', SUBPROTOCOL]));
  expect(await client.heard()).toContain(`Sec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n`);
  expect(client.answer).not.toContain('0123');
});

it('ws-thousand: a thousand sockets of one visitor that never say anything are gone with the second heartbeat', async () => {
  const sockets: Promise<WsClient>[] = [];
  for (let i = 0; i < 1_000; i++) sockets.push(page());
  await Promise.all(sockets);
  const honest = await page();
  honest.say(JOIN);
  await until('the honest page is heard', () => messages.length === 1);
  expect(opened.length).toBe(1_001);
  await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
  expect(closed).toEqual([]);
  await until('every pong is here', () => opened.every(({ alive }) => alive));
  await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
  await until('they are gone', () => closed.length === 1_000);
  expect(honest.closeCode).toBeUndefined();
  await expectServed();
});

it('ws-halfopen: a page whose host is gone, and which answers no ping, is gone with the second heartbeat', async () => {
  const gone = await raw();
  const text = JSON.stringify(JOIN);
  gone.say(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]));
  await until('it was there', () => messages.length === 1);
  await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
  expect(closed).toEqual([]);
  await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
  await until('it is gone', () => closed.length === 1);
});

it('ws-unread: a page that reads nothing is cut off before it holds more than a few messages', async () => {
  const deaf = await raw();
  deaf.pause();
  const [held] = opened;
  let sent = 0;
  await until(
    'it is cut off',
    () => {
      for (let i = 0; i < 50 && pages.page(held!.id) !== undefined; i++, sent++)
        held!.send({ type: 'error', code: 'SDP_INVALID', message: 'x'.repeat(10_000) });
      return closed.length === 1;
    },
    undefined,
    1,
  );
  // What the two kernels hold, and the one megabyte that we do.
  expect(sent * 10_000).toBeLessThan(16 * 1024 * 1024);
  await expectServed();
});

/** Does something once a turn of the loop, so that each becomes a segment of its own. */
async function setImmediateLoop(work: () => void, done: () => boolean): Promise<void> {
  while (!done()) {
    work();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

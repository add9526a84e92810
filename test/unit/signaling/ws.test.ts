import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { Access, type Verdict } from '../../../src/signaling/admission.ts';
import type { HttpPort } from '../../../src/signaling/http.ts';
import {
  CLOSE_CODE,
  type ClientMessage,
  MAX_MESSAGE_BYTES,
  type PagePosition,
  SUBPROTOCOL,
} from '../../../src/signaling/protocol.ts';
import { Page, type PageEvents, PageSockets, type PageSocketsOptions } from '../../../src/signaling/ws.ts';
import { Secret } from '../../../src/util/secret.ts';
import { BOX_ORIGINS, pagePort } from '../../support/page-port.ts';
import { UPGRADE } from '../../support/raw-http.ts';
import { until } from '../../support/wait.ts';
import { WsClient } from '../../support/ws-client.ts';

interface Opened {
  readonly page: Page;
  readonly token: string | undefined;
  readonly position: PagePosition | undefined;
}

const OFFER = `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`;
const JOIN: ClientMessage = { type: 'join', capabilities: { rekeyInPlace: true } };

let pages: PageSockets;
let events: PageEvents;
let http: HttpPort;
let url: string;
let opened: Opened[];
let messages: ClientMessage[];
let closed: Page[];
const clients: WsClient[] = [];

beforeEach(async () => {
  // Of this test only: a page of the one before may still be going.
  const [openedNow, messagesNow, closedNow]: [Opened[], ClientMessage[], Page[]] = [[], [], []];
  [opened, messages, closed] = [openedNow, messagesNow, closedNow];
  events = {
    opened: (page, token, position) => {
      openedNow.push({ page, token, position });
      page.send({ type: 'room', viewers: 0, onAir: false });
    },
    message: (_page, message) => messagesNow.push(message),
    closed: (page) => closedNow.push(page),
  };
  pages = new PageSockets(events, BOX_ORIGINS);
  http = await pagePort(() => pages);
  url = `http://127.0.0.1:${http.port}/`;
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  pages.close(1001, 'over');
  http.close();
});

async function open(options: Parameters<typeof WsClient.connect>[1] = {}): Promise<WsClient> {
  const client = await WsClient.connect(url, options);
  clients.push(client);
  return client;
}

/** Talks HTTP by hand and returns all that comes back. */
async function upgrade(path: string, headers: readonly string[]): Promise<string> {
  const socket = connect(http.port, '127.0.0.1');
  let answer = '';
  socket.on('data', (data) => {
    answer += String(data);
  });
  const request = [
    `GET ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${http.port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    ...headers,
  ];
  socket.write(`${request.join('\r\n')}\r\n\r\n`);
  await until('the server hangs up', () => socket.closed);
  return answer;
}

describe('a server that asks for a token', () => {
  const access = (token: string) =>
    new Access({ viewToken: Secret.copy(Buffer.from(token)), publishToken: Secret.copy(PUBLISH) });
  const PUBLISH = Buffer.from('the one to publish');

  beforeEach(() => {
    pages.close(1001, 'another one');
    pages = new PageSockets(events, BOX_ORIGINS, { access: access('the one to watch') });
  });

  it.each([
    ['the one to watch', 'view'],
    ['the one to publish', 'publish'],
  ])('lets in who has %s, with the right to %s', async (token, right) => {
    const client = await open({ access: token });
    await client.hear('room');
    expect(opened.map(({ page }) => page.admission)).toMatchObject([{ right, until: undefined }]);
    expect(pages.drops.total).toBe(0);
  });

  it.each([
    [undefined, 'ACCESS_REQUIRED', 'token-missing'],
    ['the one to watc', 'ACCESS_REFUSED', 'token-wrong'],
    ['', 'ACCESS_REFUSED', 'token-wrong'],
  ] as const)('tells who comes with %j so, and closes', async (token, code, reason) => {
    const client = await open({ ...(token === undefined ? {} : { access: token }), token: 'resume' });
    expect((await client.hear('error')).code).toBe(code);
    client.say(JOIN);
    expect(await client.closed()).toBe(CLOSE_CODE.locked);
    expect([opened, messages, closed]).toEqual([[], [], []]);
    expect(pages.drops.get(reason)).toBe(1);
  });

  it('survives somebody who hangs up while a signature is looked at', async () => {
    const answers: ((verdict: Verdict) => void)[] = [];
    const slow = new Access();
    slow.judge = () => new Promise((resolve) => answers.push(resolve));
    pages = new PageSockets(events, BOX_ORIGINS, { access: slow });
    const socket = connect(http.port, '127.0.0.1');
    socket.write(`GET /ws HTTP/1.1\r\n${['Host: localhost', ...UPGRADE, OFFER].join('\r\n')}\r\n\r\n`);
    await until('it is looked at', () => answers.length === 1);
    socket.resetAndDestroy();
    const waiting = open();
    await until('the next one is looked at', () => answers.length === 2);
    for (const answer of answers) answer({ admits: { right: 'view', until: undefined } });
    await (await waiting).hear('room');
    expect(opened).toHaveLength(1);
  });

  it('lets in no more than one address may have of those whose signatures are looked at together', async () => {
    const answers: ((verdict: Verdict) => void)[] = [];
    const slow = new Access();
    slow.judge = () => new Promise((resolve) => answers.push(resolve));
    pages = new PageSockets(events, BOX_ORIGINS, { access: slow, pagesPerAddress: 2 });
    const asked = Array.from({ length: 5 }, () => open().then((client) => client.hear('room')));
    const outcomes = Promise.allSettled(asked);
    await until('all are looked at', () => answers.length === 5);
    for (const answer of answers) answer({ admits: { right: 'view', until: undefined } });
    const statuses = (await outcomes).map(({ status }) => status);
    expect(statuses.filter((status) => status === 'fulfilled')).toHaveLength(2);
    expect(opened).toHaveLength(2);
  });
});

describe('the upgrade', () => {
  it('takes a page of the same origin that speaks the protocol', async () => {
    const client = await open();
    expect(opened).toMatchObject([{ token: undefined, position: undefined }]);
    await client.hear('room');
  });

  it('keeps no socket of those whom it refuses, though they never hang up', async () => {
    const socket = connect({ port: http.port, host: '127.0.0.1', allowHalfOpen: true });
    let gone = false;
    let ended = false;
    socket.on('error', () => {
      gone = true;
    });
    socket.on('end', () => {
      ended = true;
    });
    socket.resume();
    socket.write(
      'GET /elsewhere HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    );
    await until('the answer is here', () => ended);
    const talk = setInterval(() => socket.write('x'), 5);
    await until('what is still said is refused', () => gone).finally(() => clearInterval(talk));
  });

  it('takes what is no page and so sends no origin', async () => {
    await open({ protocols: [SUBPROTOCOL], origin: '' });
    expect(opened.length).toBe(1);
  });

  it('takes the token and the position from the subprotocols', async () => {
    await open({ protocols: [SUBPROTOCOL, 'rekeycast.token.abc_-9', 'rekeycast.at.3.17.open'] });
    expect(opened).toMatchObject([
      { token: 'abc_-9', position: { connection: 3, epoch: 17, settled: false } },
    ]);
  });

  it.each([
    'rekeycast.at.',
    'rekeycast.at.1',
    'rekeycast.at.1.x',
    'rekeycast.at.1.2',
    'rekeycast.at.1.2.3',
    'rekeycast.at.1.-2.open',
  ])('knows no position where it says %s', async (text) => {
    await open({ protocols: [SUBPROTOCOL, 'rekeycast.token.abc', text] });
    expect(opened).toMatchObject([{ token: 'abc', position: undefined }]);
  });

  it('knows no position in a number too long to be one', async () => {
    await open({ protocols: [SUBPROTOCOL, 'rekeycast.at.1.1234567890'] });
    expect(opened).toMatchObject([{ position: undefined }]);
  });

  it.each([
    ['another path', '/other', [], '404', 'The WebSocket is at /ws.'],
    ['the path with a query', '/ws?token=1', [], '404', 'The WebSocket is at /ws.'],
    ['another origin', '/ws', ['Origin: http://evil.example'], '403', 'other origins'],
    ['another port of this host', '/ws', ['Origin: http://127.0.0.1:1'], '403', 'other origins'],
    ['an opaque origin', '/ws', ['Origin: null'], '403', 'other origins'],
    ['no protocol', '/ws', [], '400', SUBPROTOCOL],
    ['another protocol', '/ws', ['Sec-WebSocket-Protocol: chat, rekeycast.v0'], '400', SUBPROTOCOL],
  ])('refuses %s in words', async (_what, path, headers, status, words) => {
    const answer = await upgrade(path, headers);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer).toContain(words);
    const [head, body] = answer.split('\r\n\r\n');
    expect(head).toContain(`Content-Length: ${Buffer.byteLength(body!)}`);
    expect(opened).toEqual([]);
  });
});

describe('a message', () => {
  it('is handed over', async () => {
    const client = await open();
    client.say(JOIN);
    client.say({ type: 'answer', connection: 1, offer: 2, sdp: 'v=0' });
    await until('both are here', () => messages.length === 2);
    expect(messages).toEqual([JOIN, { type: 'answer', connection: 1, offer: 2, sdp: 'v=0' }]);
  });

  it.each([
    ['no JSON', 'hello'],
    ['an empty one', ''],
    ['no message of the protocol', '{"type":"shutdown"}'],
    ['not UTF-8', Buffer.from('ff00', 'hex').toString('latin1')],
  ])('that is %s is refused, and the connection stays', async (_what, text) => {
    const client = await open();
    client.sayRaw(text);
    expect(await client.hear('error')).toMatchObject({ code: 'MESSAGE_INVALID' });
    client.say(JOIN);
    await until('the next one is here', () => messages.length === 1);
    expect(client.closeCode).toBeUndefined();
  });

  it('in binary is refused, even where its bytes spell a message', async () => {
    const client = await open();
    client.sayRaw(Buffer.from(JSON.stringify(JOIN)));
    expect(await client.hear('error')).toMatchObject({ code: 'MESSAGE_INVALID' });
    expect(messages).toEqual([]);
  });

  it('of exactly the limit is read; a byte more is refused in words, and the connection stays', async () => {
    const client = await open();
    const fill = (length: number) => ' '.repeat(length - JSON.stringify(JOIN).length) + JSON.stringify(JOIN);
    client.sayRaw(fill(MAX_MESSAGE_BYTES));
    await until('the largest is here', () => messages.length === 1);
    client.sayRaw(fill(MAX_MESSAGE_BYTES + 1));
    expect(await client.hear('error')).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      message: expect.stringContaining(String(MAX_MESSAGE_BYTES + 1)),
    });
    client.say(JOIN);
    await until('the next one is here', () => messages.length === 2);
  });

  it('more than twice the limit is not even read: the connection is closed', async () => {
    const client = await open();
    client.sayRaw('x'.repeat(2 * MAX_MESSAGE_BYTES + 1));
    // RFC 6455 §7.4.1: 1009 is "message too big".
    expect(await client.closed()).toBe(1009);
    await until('the page is gone', () => closed.length === 1);
    expect(messages).toEqual([]);
    expect(pages.page(opened[0]!.page.id)).toBeUndefined();
  });

  it('too many are refused in words, and the page does not come back by itself', async () => {
    const client = await open();
    for (let i = 0; i < 200; i++) client.say(JOIN);
    expect(await client.hear('error')).toMatchObject({ code: 'RATE_LIMITED' });
    expect(await client.closed()).toBe(4003);
    expect(messages.length).toBeGreaterThanOrEqual(40);
    expect(messages.length).toBeLessThan(200);
  });
});

describe('a button of the demonstration', () => {
  const KILL = { type: 'demo', action: 'kill' } as const;
  const PUBLISH_TOKEN = 'a-token-to-publish-with';
  let pressed: [Page, string][];

  /** The same port with these pages behind it. */
  const demonstrate = (options: PageSocketsOptions): void => {
    const now: [Page, string][] = [];
    pressed = now;
    pages.close(1001, 'over');
    pages = new PageSockets({ ...events, pressed: (...press) => now.push(press) }, BOX_ORIGINS, options);
  };
  const withTokens = () =>
    new Access({
      viewToken: Secret.copy(Buffer.from('a-token-to-view-with')),
      publishToken: Secret.copy(Buffer.from(PUBLISH_TOKEN)),
    });
  const ELSEWHERE = { headers: { 'x-forwarded-for': '203.0.113.9' } };

  const expectRefused = async (options: Parameters<typeof WsClient.connect>[1]): Promise<void> => {
    const client = await open(options);
    client.say(KILL);
    expect(await client.hear('error')).toMatchObject({ code: 'MESSAGE_INVALID' });
    expect(opened.at(-1)!.page.presents).toBe(false);
    expect([pressed, messages]).toEqual([[], []]);
  };

  it('is handed over where a visitor of this machine presses it', async () => {
    demonstrate({ demo: true });
    const client = await open();
    client.say(KILL);
    await until('it is here', () => pressed.length === 1);
    expect(pressed).toEqual([[opened[0]!.page, 'kill']]);
    expect(messages).toEqual([]);
    expect(pages.drops.total).toBe(0);
  });

  it('is handed over where somebody with the token to publish does', async () => {
    demonstrate({ demo: true, access: withTokens() });
    const client = await open({ access: PUBLISH_TOKEN, ...ELSEWHERE });
    client.say(KILL);
    await until('it is here', () => pressed.length === 1);
  });

  it('is none where there is no demonstration', async () => {
    demonstrate({});
    await expectRefused({});
    expect(pages.drops.total).toBe(0);
  });

  it('is none, and counted, where a visitor from elsewhere presses it who may do all else', async () => {
    demonstrate({ demo: true });
    await expectRefused(ELSEWHERE);
    expect(pages.drops.get('demo-refused')).toBe(1);
  });

  it('is none where somebody with another token does', async () => {
    demonstrate({ demo: true, access: withTokens() });
    await expectRefused({ access: 'a-token-to-view-with', ...ELSEWHERE });
  });

  it('is told only to pages that have it, and that have spoken', async () => {
    demonstrate({ demo: true });
    const [local, silent, stranger] = [await open(), await open(), await open(ELSEWHERE)];
    for (const client of [local, stranger]) client.say(JOIN);
    await until('both have spoken', () => messages.length === 2);
    pages.tellPresenters({ type: 'demo', actions: [] });
    await local!.hear('demo');
    for (const client of [silent, stranger])
      expect(client!.messages.filter(({ type }) => type === 'demo')).toEqual([]);
  });
});

describe('a page', () => {
  it('that goes away is forgotten', async () => {
    const client = await open();
    const { page } = opened[0]!;
    expect(pages.page(page.id)).toBe(page);
    client.close();
    await until('the page is gone', () => closed.length === 1);
    expect(closed).toEqual([page]);
    expect(pages.page(page.id)).toBeUndefined();
  });

  it('hears the code and the reason when everything closes', async () => {
    const client = await open();
    pages.close(1012, 'restart');
    expect(await client.closed()).toBe(1012);
  });

  it('that does not answer is cut off a second later: a shutdown does not wait for it', async () => {
    const socket = connect(http.port, '127.0.0.1');
    const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==';
    socket.write(
      `GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n\r\n`,
    );
    await until('the page is there', () => opened.length === 1);
    pages.close(1012, 'restart');
    await until('the page is gone', () => closed.length === 1);
    socket.destroy();
  });

  it('may burst 40 messages, then ten a second', () => {
    const page = new Page(1, 'owner', { right: 'publish', until: undefined }, fakeSocket());
    // Whole, so that a second is one: the sum of two fractions is not always exact.
    const start = Math.ceil(performance.now());
    const taken = (now: number): number => {
      let count = 0;
      while (page.take(now)) count++;
      return count;
    };
    expect(taken(start + 1)).toBe(40);
    expect(taken(start + 1)).toBe(0);
    expect(taken(start + 1_001)).toBe(10);
    expect(taken(start + 600_000)).toBe(40);
  });

  it('is pinged, and cut off where the last ping got no answer', () => {
    const socket = fakeSocket();
    const page = new Page(1, 'owner', { right: 'publish', until: undefined }, socket);
    page.spoke = true;
    page.beat();
    expect(socket.calls).toEqual(['ping']);
    page.alive = true;
    page.beat();
    expect(socket.calls).toEqual(['ping', 'ping']);
    page.beat();
    expect(socket.calls).toEqual(['ping', 'ping', 'terminate']);
  });

  it('is cut off where it answers pings and never says anything', () => {
    const socket = fakeSocket();
    const page = new Page(1, 'owner', { right: 'publish', until: undefined }, socket);
    page.beat();
    page.alive = true;
    page.beat();
    expect(socket.calls).toEqual(['ping', 'terminate']);
  });

  it('is cut off where it does not take what is sent to it', () => {
    const socket = fakeSocket();
    const page = new Page(1, 'owner', { right: 'publish', until: undefined }, socket);
    page.send({ type: 'role', role: 'viewer' });
    socket.bufferedAmount = 1024 * 1024 + 1;
    page.send({ type: 'role', role: 'viewer' });
    expect(socket.calls).toEqual(['send {"type":"role","role":"viewer"}', 'terminate']);
  });
});

/** A WebSocket that notes what is done to it. */
function fakeSocket(): WebSocket & { calls: string[]; bufferedAmount: number } {
  const calls: string[] = [];
  const socket = {
    calls,
    bufferedAmount: 0,
    send: (text: string) => calls.push(`send ${text}`),
    ping: () => calls.push('ping'),
    terminate: () => calls.push('terminate'),
  };
  return socket as unknown as WebSocket & { calls: string[]; bufferedAmount: number };
}

import { createSocket } from 'node:dgram';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MAX_MESSAGE_BYTES } from '../../src/signaling/protocol.ts';
import { randomBytes } from '../../src/util/rng.ts';
import { Broadcast } from '../support/broadcast.ts';
import { describeFailures } from '../support/fixture.ts';
import { LOOPBACK } from '../support/ports.ts';
import { seededRandom } from '../support/seeded-rng.ts';
import { composures, expectComposed } from '../support/survival.ts';
import { until } from '../support/wait.ts';
import { WsClient } from '../support/ws-client.ts';

let broadcast: Broadcast;
let before: Awaited<ReturnType<typeof composures>>;
beforeAll(async () => {
  broadcast = await Broadcast.start({ viewers: 1 });
}, 300_000);
afterAll(() => broadcast?.dispose());
describeFailures(() => broadcast);
beforeEach(async () => {
  before = await composures(broadcast);
});

const clients: WsClient[] = [];
async function connect(options: Parameters<typeof WsClient.connect>[1] = {}): Promise<WsClient> {
  const client = await WsClient.connect(broadcast.server.url, options);
  clients.push(client);
  return client;
}

async function join(options: Parameters<typeof WsClient.connect>[1] = {}): Promise<WsClient> {
  const client = await connect(options);
  client.say({ type: 'join', capabilities: { rekeyInPlace: true } });
  return client;
}

describe('bad input over the WebSocket', { timeout: 300_000 }, () => {
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await expectUnharmed();
  });

  it.each([
    ['no JSON', 'hello'],
    ['JSON that is no object', '[]'],
    ['an unknown type', '{"type":"shutdown"}'],
    ['a missing field', '{"type":"join"}'],
    ['a field too many', '{"type":"leave","also":1}'],
    ['deep nesting', '['.repeat(30_000)],
    ['a prototype', '{"type":"join","__proto__":{"capabilities":{"rekeyInPlace":true}}}'],
  ])('answers %s with an error, and goes on with that visitor', async (_what, text) => {
    const client = await connect();
    client.sayRaw(text);
    await expectRefused(client);
  });

  it('answers a binary message with an error, and goes on with that visitor', async () => {
    const client = await connect();
    client.sayRaw(Uint8Array.of(1, 2, 3));
    await expectRefused(client);
  });

  it('says that a message over the limit is too large, and goes on with that visitor', async () => {
    const client = await join();
    await client.hear('welcome');
    client.sayRaw(JSON.stringify({ type: 'decline', reason: 'x'.repeat(MAX_MESSAGE_BYTES) }));
    expect((await client.hear('error')).code).toBe('MESSAGE_TOO_LARGE');
    expect(client.closeCode).toBeUndefined();
  });

  it('closes the WebSocket on a message far over the limit', async () => {
    const client = await join();
    await client.hear('welcome');
    client.sayRaw('x'.repeat(4 * MAX_MESSAGE_BYTES));
    // RFC 6455 §7.4.1: message too big.
    expect(await client.closed()).toBe(1009);
  });

  it('says that an answer is no SDP it can use, and goes on with that visitor', async () => {
    const client = await join();
    const { connection, offer } = await client.hear('offer');
    client.say({ type: 'answer', connection, offer, sdp: 'v=0\r\nthis is not SDP' });
    expect((await client.hear('error')).code).toBe('SDP_INVALID');
    expect(client.closeCode).toBeUndefined();
  });

  it('ignores answers to offers and connections that do not exist', async () => {
    const client = await join();
    const { connection, offer } = await client.hear('offer');
    client.say({ type: 'answer', connection: connection + 7, offer, sdp: 'v=0' });
    client.say({ type: 'answer', connection, offer: offer + 7, sdp: 'v=0' });
    client.say({ type: 'playing', connection: connection + 7 });
    client.say({ type: 'stalled', connection: connection + 7 });
    client.say({ type: 'answer', connection, offer, sdp: 'v=0' });
    // Messages are handled in order: the first complaint is about the last one.
    expect((await client.hear('error')).code).toBe('SDP_INVALID');
    expect(client.messages.filter((one) => one.type === 'error')).toHaveLength(1);
  });

  it('refuses a page of another site', async () => {
    await expect(WsClient.connect(broadcast.server.url, { origin: 'http://evil.example' })).rejects.toThrow(
      '403',
    );
  });

  it('refuses a WebSocket that does not speak our subprotocol', async () => {
    await expect(WsClient.connect(broadcast.server.url, { protocols: ['chat'] })).rejects.toThrow('400');
  });
});

describe('resume tokens', { timeout: 300_000 }, () => {
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await expectUnharmed();
  });

  it('resume the session they were given for', async () => {
    const first = await (await join()).hear('welcome');
    const again = await (await connect({ token: first.token })).hear('welcome');
    expect(again).toMatchObject({ resumed: true, session: first.session, role: 'viewer' });
    expect(again.token).not.toBe(first.token);
  });

  it.each([
    ['unknown', 'A'.repeat(43)],
    ['too short', 'AAAA'],
    ['too long', 'A'.repeat(500)],
  ])('that are %s resume nothing and say so', async (_what, token) => {
    const client = await connect({ token });
    expect((await client.hear('error')).code).toBe('TOKEN_UNKNOWN');
    expect(client.messages.some((one) => one.type === 'welcome' || one.type === 'offer')).toBe(false);
  });

  it('are void once the page has confirmed the next one', async () => {
    const first = await (await join()).hear('welcome');
    const second = await connect({ token: first.token });
    await second.hear('welcome');
    second.say({ type: 'confirm' });
    // Messages are handled in order: when this one was answered, the confirmation has been taken.
    second.say({ type: 'publish' });
    await second.hear('error');
    const thief = await connect({ token: first.token });
    expect((await thief.hear('error')).code).toBe('TOKEN_UNKNOWN');
    expect(second.closeCode).toBeUndefined();
  });

  it('move the session to the newest WebSocket and tell the older one', async () => {
    const older = await join();
    const { token } = await older.hear('welcome');
    const newer = await connect({ token });
    await newer.hear('welcome');
    expect(await older.closed()).toBe(4001);
    expect((await older.hear('error')).code).toBe('SUPERSEDED');
  });
});

describe('bad input over UDP', { timeout: 300_000 }, () => {
  afterEach(expectUnharmed);

  it('drops datagrams of any first byte and any length', async () => {
    const socket = createSocket('udp4');
    const rng = seededRandom(5);
    let sent = 0;
    for (let first = 0; first < 256; first++) {
      for (const length of [1, 2, 12, 13, 20, 36, 200, 1400]) {
        const bytes = randomBytes(rng, length);
        bytes[0] = first;
        socket.send(bytes, broadcast.server.udpPort, LOOPBACK, () => sent++);
      }
    }
    await until('all were sent', () => sent === 256 * 8);
    socket.close();
  });

  it('drops them from the address of a live connection too', async () => {
    const rng = seededRandom(6);
    // The broadcaster's and the viewer's.
    expect(broadcast.udp.peers.length).toBeGreaterThanOrEqual(2);
    for (const peer of broadcast.udp.peers) {
      for (let first = 0; first < 256; first++) {
        const bytes = randomBytes(rng, 1 + (first % 60));
        bytes[0] = first;
        broadcast.udp.sendAs(peer, bytes);
      }
    }
  });
});

async function expectRefused(client: WsClient): Promise<void> {
  expect((await client.hear('error')).code).toBe('MESSAGE_INVALID');
  expect(client.closeCode).toBeUndefined();
}

/** The server serves, and the pages of the real broadcast have noticed nothing. */
async function expectUnharmed(): Promise<void> {
  expect(await broadcast.server.isReady()).toBe(true);
  await expectComposed(broadcast, before);
}

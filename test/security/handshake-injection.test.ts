import { beforeAll, expect, it } from 'vitest';
import { FIRST_RETRANSMIT_MS } from '../../src/transport/dtls/flight.ts';
import { encodeFragment, encodeMessage, HANDSHAKE_TYPE } from '../../src/transport/dtls/handshake.ts';
import { MAX_MESSAGE_BYTES, MESSAGE_WINDOW } from '../../src/transport/dtls/reassembly.ts';
import {
  CONTENT_TYPE,
  DTLS_1_2,
  encodeRecord,
  RECORD_HEADER_BYTES,
} from '../../src/transport/dtls/record.ts';
import { ByteReader, concat } from '../../src/util/bytes.ts';
import { randomBytes } from '../../src/util/rng.ts';
import { encodeHelloVerifyRequest } from '../support/dtls-messages.ts';
import { ONE_WAY_MS, run } from '../support/dtls-network.ts';
import {
  expectConnected,
  type Identities,
  makeIdentities,
  makePair,
  type Pair,
  toServer,
} from '../support/dtls-pair.ts';
import { DtlsTestServer, type ServerKnobs } from '../support/dtls-server.ts';
import { flipped } from '../support/flipped.ts';
import { netGrowth } from '../support/growth.ts';
import { seededRandom } from '../support/seeded-rng.ts';

let identities: Identities;
beforeAll(async () => {
  identities = await makeIdentities();
});

it('handshake-alerts: an alert in the clear ends no handshake, whatever it says and whenever it comes', () => {
  for (const alert of [
    Uint8Array.of(2, 40),
    Uint8Array.of(1, 0),
    Uint8Array.of(2, 0),
    Uint8Array.of(2, 255),
  ]) {
    const early = makePair(identities);
    early.client.handleDatagram(plain(CONTENT_TYPE.alert, alert), 0);
    expect(early.client.drops.toJSON()).toEqual({ 'plaintext-alert': 1 });
    expectConnected(early, run(early.client, early.server));
    const late = upToKeys();
    late.client.handleDatagram(plain(CONTENT_TYPE.alert, alert), 0);
    expect(late.client.drops.toJSON()).toEqual({ 'plaintext-alert': 1 });
    expectEnd(late, 'connected');
  }
});

it('handshake-alerts-control: an alert under the keys ends it, but for a warning', () => {
  for (const [alert, end] of [
    [Uint8Array.of(2, 40), 'closed-by-peer'],
    [Uint8Array.of(1, 0), 'closed-by-peer'],
    [Uint8Array.of(1, 90), 'connected'],
  ] as const) {
    const pair = upToKeys();
    pair.server.sendProtected(CONTENT_TYPE.alert, alert);
    pair.client.handleDatagram(pair.server.pollDatagram()!, 0);
    expectEnd(pair, end);
  }
});

it('handshake-junk: what is not a part of the handshake is counted by its kind and changes nothing', () => {
  const cases: readonly (readonly [what: string, datagram: Uint8Array, reason: string])[] = [
    ['a HelloRequest', message(HANDSHAKE_TYPE.helloRequest, 0), 'unexpected-message'],
    ['application data', plain(CONTENT_TYPE.applicationData, Uint8Array.of(1)), 'unexpected-record'],
    [
      'an early ChangeCipherSpec',
      plain(CONTENT_TYPE.changeCipherSpec, Uint8Array.of(1)),
      'unexpected-record',
    ],
    ['a heartbeat', plain(24, Uint8Array.of(1, 0xff, 0xff)), 'unexpected-record'],
    ['a record of epoch 1', plain(CONTENT_TYPE.handshake, new Uint8Array(40), 1), 'wrong-epoch'],
    ['a record of epoch 2', plain(CONTENT_TYPE.handshake, new Uint8Array(40), 2), 'wrong-epoch'],
    ['half a record', plain(CONTENT_TYPE.handshake, new Uint8Array(40)).subarray(0, 30), 'malformed-record'],
    ['half a message', plain(CONTENT_TYPE.handshake, new Uint8Array(8)), 'malformed-message'],
    ['half a ServerHello', message(HANDSHAKE_TYPE.serverHello, 0, new Uint8Array(30)), 'malformed-message'],
    ['a ServerHelloDone first', message(HANDSHAKE_TYPE.serverHelloDone, 0), 'unexpected-message'],
    ['half a cookie', message(HANDSHAKE_TYPE.helloVerifyRequest, 0, Uint8Array.of(1)), 'malformed-message'],
    [
      'a message of the far future',
      message(HANDSHAKE_TYPE.finished, 500, new Uint8Array(12)),
      'out-of-window',
    ],
  ];
  for (const [what, datagram, reason] of cases) {
    const pair = makePair(identities);
    pair.client.handleDatagram(datagram, 0);
    expect([what, pair.client.drops.toJSON()]).toEqual([what, { [reason]: 1 }]);
    expectConnected(pair, run(pair.client, pair.server));
  }
});

it('handshake-noise: random bytes, half of them behind the head of a record, change nothing (30 seeds)', () => {
  for (let seed = 0; seed < 30; seed++) {
    const rng = seededRandom(seed);
    const pair = makePair(identities);
    for (let i = 0; i < 50; i++) {
      const datagram = randomBytes(rng, 1 + (i % 40) * 3);
      if (i % 2 === 0) datagram.set([CONTENT_TYPE.handshake, 0xfe, 0xfd, 0, 0].slice(0, datagram.length));
      pair.client.handleDatagram(datagram, 0);
    }
    expect(pair.client.drops.total).toBeGreaterThanOrEqual(50);
    expectConnected(pair, run(pair.client, pair.server));
  }
});

it('handshake-forged-flight: a flight of somebody else is forgotten, and the one of the peer is taken', () => {
  const forgeries: readonly (readonly [what: string, knobs: ServerKnobs, identity: 'client' | 'server'])[] = [
    ['with another certificate', {}, 'client'],
    ['with the right certificate and no key to it', { signature: 'random' }, 'server'],
    ['of an older version', { version: 0xfeff }, 'server'],
    ['without extended master secret', { extendedMasterSecret: null }, 'server'],
    ['that asks for no certificate', { askForCertificate: false }, 'server'],
  ];
  for (const [what, knobs, identity] of forgeries) {
    for (const helloInterval of [undefined, 10]) {
      const options = helloInterval === undefined ? {} : { helloInterval };
      const pair = makePair(identities, { options });
      const rogue = new DtlsTestServer({ identity: identities[identity], rng: seededRandom(9), knobs });
      for (const datagram of flightOf(rogue, helloOf(pair))) pair.client.handleDatagram(datagram, 0);
      expect([what, pair.client.drops.get('refused-flight')]).toEqual([what, 1]);
      expectConnected(pair, run(pair.client, pair.server));
    }
  }
});

it('handshake-forged-part: a forged ServerHello or Certificate in the midst of the right flight costs a round, and no more', () => {
  for (const part of [0, 1]) {
    const pair = makePair(identities, { knobs: { fragmentBytes: 2000 } });
    const rogue = new DtlsTestServer({
      identity: identities.client,
      rng: seededRandom(9),
      knobs: { fragmentBytes: 2000 },
    });
    const hello = helloOf(pair);
    const forged = flightOf(rogue, hello)[part]!;
    pair.server.handleDatagram(hello, 0);
    for (let i = 0; i < part; i++) pair.client.handleDatagram(pair.server.pollDatagram()!, 0);
    pair.client.handleDatagram(forged, 0);
    const outcome = run(pair.client, pair.server);
    expectConnected(pair, outcome);
    expect(pair.client.drops.get('refused-flight')).toBe(1);
    expect(outcome.connectedAt).toBeLessThan(1_000);
  }
});

it('handshake-second-message: a message that follows another of its number, or has something where nothing belongs, is ignored', () => {
  const second = makePair(identities, { knobs: { fragmentBytes: 2000 } });
  toServer(second);
  second.client.handleDatagram(second.server.pollDatagram()!, 0);
  second.client.handleDatagram(message(HANDSHAKE_TYPE.serverHello, 0, randomBytes(seededRandom(1), 80)), 0);
  expect(second.client.drops.toJSON()).toEqual({ retransmission: 1 });
  expectConnected(second, run(second.client, second.server));

  const filled = makePair(identities, { knobs: { fragmentBytes: 2000 } });
  toServer(filled);
  for (let seq = 0; seq < 4; seq++) filled.client.handleDatagram(filled.server.pollDatagram()!, 0);
  filled.client.handleDatagram(message(HANDSHAKE_TYPE.serverHelloDone, 4, Uint8Array.of(1)), 0);
  expect(filled.client.drops.toJSON()).toEqual({ 'malformed-message': 1 });
  expectConnected(filled, run(filled.client, filled.server));
});

it('handshake-replayed-flight: a whole flight of an earlier handshake with the same server gives no keys a second time', () => {
  const recorded: Uint8Array[] = [];
  const earlier = makePair(identities, { seed: 1 });
  const outcome = run(earlier.client, earlier.server);
  expectConnected(earlier, outcome);
  recorded.push(...outcome.sent.server);
  expect(recorded.length).toBeGreaterThan(1);
  const pair = makePair(identities, { seed: 2 });
  for (const datagram of recorded) pair.client.handleDatagram(datagram, 0);
  expect(pair.client.drops.get('refused-flight')).toBe(1);
  expect(drain(pair.client).ends).toEqual([]);
  pair.client.handleTimeout(1_000);
  expect(drain(pair.client).ends).toEqual(['bad-signature']);

  const again = makePair(identities, { seed: 2 });
  for (const datagram of recorded) again.client.handleDatagram(datagram, 0);
  expectConnected(again, run(again.client, again.server));
});

it('handshake-planted-finished: what was planted in the clear becomes no part of the protected Finished', () => {
  const ahead = makePair(identities);
  ahead.client.handleDatagram(message(HANDSHAKE_TYPE.finished, 5, new Uint8Array(12)), 0);
  expectConnected(ahead, run(ahead.client, ahead.server));

  const pair = upToKeys();
  pair.client.handleDatagram(message(HANDSHAKE_TYPE.finished, 5, new Uint8Array(12)), 0);
  pair.client.handleDatagram(message(HANDSHAKE_TYPE.helloVerifyRequest, 0, new Uint8Array(12)), 0);
  expect(pair.client.drops.toJSON()).toEqual({ 'unexpected-message': 2 });
  expectEnd(pair, 'connected');
});

it('handshake-epochs: behind ChangeCipherSpec nothing in the clear is heeded, and a forged record moves no window', () => {
  const changed = upToKeys();
  changed.client.handleDatagram(plain(CONTENT_TYPE.changeCipherSpec, Uint8Array.of(1)), 0);
  changed.client.handleDatagram(message(HANDSHAKE_TYPE.serverHelloDone, 4), 1000);
  expect(changed.client.drops.toJSON()).toEqual({ 'wrong-epoch': 1 });
  expect(drain(changed.client).transmits).toBe(0);
  expectEnd(changed, 'connected');

  const pair = upToKeys();
  const fragment = pair.held[0]!.subarray(-48);
  const head = { type: CONTENT_TYPE.handshake, version: DTLS_1_2, epoch: 1, fragment };
  pair.client.handleDatagram(encodeRecord({ ...head, sequence: 2 ** 40 }), 0);
  for (const at of [1, 2]) {
    const [flight] = pair.held;
    pair.client.handleDatagram(flipped(flight!, flight!.length - at, 0x80), 0);
  }
  expect(pair.client.drops.toJSON()).toEqual({ unauthenticated: 3, 'wrong-epoch': 1 });
  expectEnd(pair, 'connected');
});

it('handshake-record-replay: a protected record is taken once', () => {
  const pair = upToKeys();
  pair.server.sendProtected(CONTENT_TYPE.applicationData, Uint8Array.of(1, 2, 3));
  const datagram = pair.server.pollDatagram()!;
  for (let i = 0; i < 3; i++) pair.client.handleDatagram(datagram, 0);
  expect(pair.client.drops.toJSON()).toEqual({ 'application-data': 1, replayed: 2 });
  expectEnd(pair, 'connected');
});

it('handshake-renegotiation: a HelloRequest under the keys ends the association: nothing is renegotiated', () => {
  const pair = upToKeys();
  const request = encodeMessage({ type: HANDSHAKE_TYPE.helloRequest, seq: 5, body: new Uint8Array(0) });
  pair.server.sendProtected(CONTENT_TYPE.handshake, request);
  pair.client.handleDatagram(pair.server.pollDatagram()!, 0);
  expect(drain(pair.client).ends).toEqual(['unexpected-message']);
});

it('handshake-fragments: pieces that overlap are put together where they agree, and dropped where they lie', () => {
  const overlapping = makePair(identities, { knobs: { fragmentBytes: 60, fragmentOverlap: 20 } });
  expectConnected(overlapping, run(overlapping.client, overlapping.server));

  const pair = makePair(identities, { knobs: { fragmentBytes: 60 } });
  const { client } = pair;
  toServer(pair);
  const first = pair.server.pollDatagram()!;
  client.handleDatagram(first, 0);
  const length = new ByteReader(first.subarray(RECORD_HEADER_BYTES + 1)).u24();
  const piece = { type: HANDSHAKE_TYPE.serverHello, seq: 0, length, offset: 0, bytes: new Uint8Array(30) };
  const lies: readonly (readonly [what: string, datagram: Uint8Array, reason: string])[] = [
    ['other bytes', fragment(piece), 'conflicting-fragment'],
    ['another length', fragment({ ...piece, length: 1_000 }), 'conflicting-fragment'],
    ['another type', fragment({ ...piece, type: HANDSHAKE_TYPE.finished }), 'conflicting-fragment'],
    ['more than the message has', overreaching(), 'malformed-message'],
    ['nothing of something', fragment({ ...piece, bytes: new Uint8Array(0) }), 'malformed-message'],
    ['a message too large to keep', fragment({ ...piece, length: 20_000 }), 'message-too-large'],
  ];
  for (const [what, datagram, reason] of lies) {
    const before = client.drops.get(reason as 'malformed-message');
    client.handleDatagram(datagram, 0);
    expect([what, client.drops.get(reason as 'malformed-message')]).toEqual([what, before + 1]);
  }
  expectConnected(pair, run(client, pair.server));
});

it('handshake-endless-cookies: cookie after cookie is answered four times, a repeated one once', () => {
  const { client } = makePair(identities);
  for (let i = 1; i <= 100; i++) client.handleDatagram(cookie(i), 0);
  expect(client.drops.get('too-many-cookies')).toBe(96);
  expect(drain(client).transmits).toBe(1 + 4);
  const repeated = makePair(identities).client;
  for (let i = 0; i < 10; i++) repeated.handleDatagram(cookie(7), 0);
  expect(repeated.drops.get('retransmission')).toBe(9);
  expect(drain(repeated).transmits).toBe(1 + 1);
});

it('handshake-endless-messages: fragments without end fill no more than eight messages, and the deadline ends it', () => {
  const { client } = makePair(identities);
  const grown = netGrowth(() => {
    for (let i = 0; i < 20_000; i++) {
      const [seq, offset] = [i % 40, (i * 7) % 16_000];
      const { type, length, bytes } = { type: 11, length: MAX_MESSAGE_BYTES, bytes: Uint8Array.of(1) };
      client.handleDatagram(fragment({ type, seq, length, offset, bytes }), i);
    }
  });
  expect(grown).toBeLessThanOrEqual(MESSAGE_WINDOW + DROP_REASONS);
  expect(client.drops.get('out-of-window')).toBe(20_000 - (20_000 * MESSAGE_WINDOW) / 40);
  client.handleTimeout(29_999);
  expect(drain(client).ends).toEqual([]);
  client.handleTimeout(30_000);
  expect(drain(client).ends).toEqual(['timeout']);
});

it('handshake-endless-flights: flight after flight that is wrong ends it after a second, with one alert', () => {
  const { client } = makePair(identities);
  const wrong = message(HANDSHAKE_TYPE.serverHello, 0, concat(Uint8Array.of(0xfe, 0xff), new Uint8Array(36)));
  for (let now = 0; now < 1_000; now++) client.handleDatagram(wrong, now);
  expect(client.drops.get('refused-flight')).toBe(1_000);
  const before = drain(client);
  expect([before.transmits, before.ends]).toEqual([1, []]);
  client.handleTimeout(1_000);
  expect(drain(client)).toEqual({ transmits: 1, ends: ['unsupported-version'] });
});

it('handshake-repeated-flights: a flood of repeated flights gets one answer a retransmission time', () => {
  const once = upToKeys();
  once.client.handleDatagram(message(HANDSHAKE_TYPE.serverHelloDone, 4), 60);
  expect(drain(once.client).transmits).toBe(1);
  // Its wait begins anew and is no longer than before.
  expect(once.client.nextTimeout()).toBe(60 + FIRST_RETRANSMIT_MS);
  const pair = upToKeys();
  for (let now = 1; now <= 500; now++) {
    pair.client.handleDatagram(message(HANDSHAKE_TYPE.serverHelloDone, 4), now);
    pair.client.handleDatagram(message(HANDSHAKE_TYPE.certificate, 1, new Uint8Array(3)), now);
  }
  expect(drain(pair.client).transmits).toBe(10);
  expect(pair.client.drops.get('retransmission')).toBe(1_000);
});

/** More than one engine has reasons to count drops under. */
const DROP_REASONS = 16;

function helloOf({ client }: Pair): Uint8Array {
  const output = client.pollOutput();
  if (output?.kind !== 'transmit') throw new Error('there is no ClientHello');
  return output.datagram;
}

function flightOf(server: DtlsTestServer, hello: Uint8Array): Uint8Array[] {
  server.handleDatagram(hello, 0);
  const flight: Uint8Array[] = [];
  for (let sent = server.pollDatagram(); sent !== undefined; sent = server.pollDatagram()) flight.push(sent);
  return flight;
}

/** The client has its keys; the server's ChangeCipherSpec and Finished are held back. */
function upToKeys(): Pair & { readonly held: readonly Uint8Array[] } {
  const pair = makePair(identities);
  toServer(pair);
  for (let sent = pair.server.pollDatagram(); sent !== undefined; sent = pair.server.pollDatagram()) {
    pair.client.handleDatagram(sent, 0);
  }
  expect(toServer(pair)).toBeDefined();
  const held: Uint8Array[] = [];
  for (let sent = pair.server.pollDatagram(); sent !== undefined; sent = pair.server.pollDatagram()) {
    held.push(sent);
  }
  return { ...pair, held };
}

/** Delivers what was held back. */
function expectEnd({ client, held }: ReturnType<typeof upToKeys>, end: string): void {
  for (const datagram of held) client.handleDatagram(datagram, 2 * ONE_WAY_MS);
  expect(drain(client).ends).toEqual([end]);
}

function drain(client: Pair['client']): { transmits: number; ends: string[] } {
  const seen = { transmits: 0, ends: [] as string[] };
  for (let output = client.pollOutput(); output !== undefined; output = client.pollOutput()) {
    if (output.kind === 'transmit') seen.transmits++;
    if (output.kind === 'connected') seen.ends.push('connected');
    if (output.kind === 'failed') seen.ends.push(output.reason);
  }
  return seen;
}

function plain(type: number, body: Uint8Array, epoch = 0): Uint8Array {
  return encodeRecord({ type, version: DTLS_1_2, epoch, sequence: 77, fragment: body });
}

const fragment = (piece: Parameters<typeof encodeFragment>[0]): Uint8Array =>
  plain(CONTENT_TYPE.handshake, encodeFragment(piece));

const message = (type: number, seq: number, body: Uint8Array = new Uint8Array(0)): Uint8Array =>
  plain(CONTENT_TYPE.handshake, encodeMessage({ type, seq, body }));

const cookie = (n: number): Uint8Array =>
  message(HANDSHAKE_TYPE.helloVerifyRequest, 0, encodeHelloVerifyRequest(Uint8Array.of(1, n)));

const overreaching = (): Uint8Array =>
  plain(CONTENT_TYPE.handshake, concat(Uint8Array.of(2, 0, 0, 4, 0, 0, 0, 0, 2, 0, 0, 4), new Uint8Array(4)));

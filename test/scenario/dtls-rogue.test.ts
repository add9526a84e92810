import { beforeAll, describe, expect, it } from 'vitest';
import { fingerprintOf } from '../../src/transport/dtls/fingerprint.ts';
import { FIRST_RETRANSMIT_MS } from '../../src/transport/dtls/flight.ts';
import { encodeFragment, encodeMessage, HANDSHAKE_TYPE } from '../../src/transport/dtls/handshake.ts';
import { CONTENT_TYPE, DTLS_1_2, encodeRecord } from '../../src/transport/dtls/record.ts';
import { SIGNATURE_SCHEME } from '../../src/transport/dtls/signature.ts';
import { concat } from '../../src/util/bytes.ts';
import { randomBytes } from '../../src/util/rng.ts';
import {
  encodeCertificateRequest,
  encodeHelloVerifyRequest,
  encodeUseSrtp,
} from '../support/dtls-messages.ts';
import { ONE_WAY_MS, run } from '../support/dtls-network.ts';
import {
  expectConnected,
  expectFailed,
  type Identities,
  makeIdentities,
  makePair,
  type Pair,
  toServer,
} from '../support/dtls-pair.ts';
import type { ServerKnobs } from '../support/dtls-server.ts';
import { seededRandom } from '../support/seeded-rng.ts';

let identities: Identities;
beforeAll(async () => {
  identities = await makeIdentities();
});

const AES_CM = 0x0001;
const AEAD_128 = 0x0007;
const ALERT = {
  unexpected: 10,
  badCertificate: 42,
  illegal: 47,
  decrypt: 51,
  version: 70,
  handshake: 40,
  extension: 110,
};

describe('a rogue server', () => {
  const cases: readonly (readonly [what: string, knobs: ServerKnobs, reason: string, alert: number])[] = [
    ['forges the key exchange signature', { signature: 'forged' }, 'bad-signature', ALERT.decrypt],
    ['replays a signature made for another hello', { signature: 'stale' }, 'bad-signature', ALERT.decrypt],
    ['signs with a scheme that was not offered', { scheme: 0x0203 }, 'illegal-parameter', ALERT.illegal],
    [
      'names a scheme that does not go with its key',
      { scheme: SIGNATURE_SCHEME.rsaPkcs1Sha256 },
      'bad-signature',
      ALERT.decrypt,
    ],
    [
      'leaves extended master secret out',
      { extendedMasterSecret: null },
      'no-extended-master-secret',
      ALERT.handshake,
    ],
    [
      'garbles extended master secret',
      { extendedMasterSecret: Uint8Array.of(0) },
      'no-extended-master-secret',
      ALERT.handshake,
    ],
    ['leaves use_srtp out', { useSrtp: null }, 'no-srtp-profile', ALERT.handshake],
    [
      'selects two profiles',
      { useSrtp: encodeUseSrtp([AES_CM, AES_CM]) },
      'no-srtp-profile',
      ALERT.handshake,
    ],
    ['selects no profile', { useSrtp: encodeUseSrtp([]) }, 'no-srtp-profile', ALERT.handshake],
    [
      'selects a profile not offered',
      { useSrtp: encodeUseSrtp([AEAD_128]) },
      'no-srtp-profile',
      ALERT.handshake,
    ],
    ['selects an unknown profile', { useSrtp: encodeUseSrtp([0x0002]) }, 'no-srtp-profile', ALERT.handshake],
    [
      'wants an MKI',
      { useSrtp: encodeUseSrtp([AES_CM], Uint8Array.of(1)) },
      'no-srtp-profile',
      ALERT.handshake,
    ],
    [
      'sends a use_srtp that does not parse',
      { useSrtp: Uint8Array.of(0, 1, 0) },
      'no-srtp-profile',
      ALERT.handshake,
    ],
    ['downgrades to DTLS 1.0', { version: 0xfeff }, 'unsupported-version', ALERT.version],
    ['selects a suite without forward secrecy', { suite: 0x009c }, 'unsupported-suite', ALERT.illegal],
    ['selects a CBC suite', { suite: 0xc009 }, 'unsupported-suite', ALERT.illegal],
    ['compresses', { compression: 1 }, 'illegal-parameter', ALERT.illegal],
    [
      'grants a ticket that nobody asked for',
      { extraExtension: 35 },
      'unsupported-extension',
      ALERT.extension,
    ],
    [
      'speaks of a renegotiation',
      { renegotiationInfo: Uint8Array.of(1, 9) },
      'illegal-parameter',
      ALERT.illegal,
    ],
    ['offers a low-order X25519 point', { keyShare: new Uint8Array(32) }, 'bad-key-share', ALERT.illegal],
    ['offers a short X25519 point', { keyShare: new Uint8Array(31).fill(9) }, 'bad-key-share', ALERT.illegal],
    [
      'offers a point that is not on P-256',
      { group: 0x0017, keyShare: new Uint8Array(65).fill(4) },
      'bad-key-share',
      ALERT.illegal,
    ],
    [
      'offers a compressed point',
      { group: 0x0017, keyShare: new Uint8Array(33).fill(2) },
      'bad-key-share',
      ALERT.illegal,
    ],
    ['selects a group not offered', { group: 0x0018 }, 'illegal-parameter', ALERT.illegal],
    [
      'asks for RSA client certificates only',
      { certificateRequest: encodeCertificateRequest([1], [0x0403]) },
      'no-client-authentication',
      ALERT.handshake,
    ],
    [
      'takes no signature of ours',
      { certificateRequest: encodeCertificateRequest([64], [0x0804]) },
      'no-client-authentication',
      ALERT.handshake,
    ],
  ];

  it.each(cases)('that %s gets no keys', (_, knobs, reason, alert) => {
    const { client, server } = makePair(identities, { knobs });
    expectFailed(run(client, server), reason);
    expect(server.alerts).toEqual([{ epoch: 0, description: alert }]);
    expect(server.connected).toBe(false);
  });

  it('that shows another certificate gets no keys', () => {
    const knobs = { certificate: identities.client.certificate };
    const { client, server } = makePair(identities, { knobs });
    expectFailed(run(client, server), 'fingerprint-mismatch');
  });

  it('that shows the right certificate without its key gets no keys', () => {
    const remoteFingerprints = [fingerprintOf(identities.client.certificate, 'sha-256')];
    const knobs = { certificate: identities.client.certificate };
    const { client, server } = makePair(identities, { knobs, options: { remoteFingerprints } });
    expectFailed(run(client, server), 'bad-signature');
  });

  it('that has no fingerprint to match gets no keys', () => {
    const { client, server } = makePair(identities, { options: { remoteFingerprints: [] } });
    expectFailed(run(client, server), 'fingerprint-mismatch');
  });

  it('whose vouched-for certificate is no certificate gets no keys', () => {
    const certificate = Uint8Array.of(0x30, 3, 2, 1, 1);
    const remoteFingerprints = [fingerprintOf(certificate, 'sha-256')];
    const { client, server } = makePair(identities, {
      knobs: { certificate },
      options: { remoteFingerprints },
    });
    expectFailed(run(client, server), 'bad-certificate');
  });

  it('whose certificate does not go with its suite gets no keys', () => {
    const knobs = { suite: 0xc02b };
    const { client, server } = makePair(identities, { knobs, serverIdentity: identities.rsa });
    expectFailed(run(client, server), 'bad-certificate');
  });

  it('whose Finished is wrong is not connected, and is told so under the new keys', () => {
    const { client, server } = makePair(identities, { knobs: { finished: 'random' } });
    const outcome = run(client, server);
    expect(outcome.failed).toBe('bad-finished');
    expect(outcome.connectedAt).toBeUndefined();
    expect(server.alerts).toEqual([{ epoch: 1, description: ALERT.decrypt }]);
  });

  it('whose Finished is not protected is not connected', () => {
    const { client, server } = makePair(identities, { knobs: { finished: 'plaintext' } });
    const outcome = run(client, server);
    expect(outcome.failed).toBe('timeout');
    expect(outcome.connectedAt).toBeUndefined();
    expect(client.drops.get('wrong-epoch')).toBeGreaterThan(0);
  });
});

describe('somebody on the side', () => {
  const junk: readonly (readonly [what: string, datagram: () => Uint8Array, reason: string])[] = [
    ['a fatal alert', () => plain(CONTENT_TYPE.alert, Uint8Array.of(2, 40)), 'plaintext-alert'],
    ['a close_notify', () => plain(CONTENT_TYPE.alert, Uint8Array.of(1, 0)), 'plaintext-alert'],
    [
      'a HelloRequest',
      () => message(HANDSHAKE_TYPE.helloRequest, 0, new Uint8Array(0)),
      'unexpected-message',
    ],
    ['application data', () => plain(CONTENT_TYPE.applicationData, Uint8Array.of(1)), 'unexpected-record'],
    [
      'an early ChangeCipherSpec',
      () => plain(CONTENT_TYPE.changeCipherSpec, Uint8Array.of(1)),
      'unexpected-record',
    ],
    ['a record of epoch 1', () => plain(CONTENT_TYPE.handshake, new Uint8Array(40), 1), 'wrong-epoch'],
    ['a record of epoch 2', () => plain(CONTENT_TYPE.handshake, new Uint8Array(40), 2), 'wrong-epoch'],
    [
      'half a record',
      () => plain(CONTENT_TYPE.handshake, new Uint8Array(40)).subarray(0, 30),
      'malformed-record',
    ],
    ['half a message', () => plain(CONTENT_TYPE.handshake, new Uint8Array(8)), 'malformed-message'],
    [
      'a truncated ServerHello',
      () => message(HANDSHAKE_TYPE.serverHello, 0, new Uint8Array(30)),
      'malformed-message',
    ],
    [
      'a ServerHelloDone first',
      () => message(HANDSHAKE_TYPE.serverHelloDone, 0, new Uint8Array(0)),
      'unexpected-message',
    ],
    [
      'a truncated HelloVerifyRequest',
      () => message(HANDSHAKE_TYPE.helloVerifyRequest, 0, Uint8Array.of(1)),
      'malformed-message',
    ],
    ['a message too large to keep', () => oversized(), 'message-too-large'],
    [
      'a message of the far future',
      () => message(HANDSHAKE_TYPE.finished, 500, new Uint8Array(12)),
      'out-of-window',
    ],
    ['a fragment that reaches beyond its message', () => overreaching(), 'malformed-message'],
  ];

  it.each(junk)('who sends %s is ignored', (_, datagram, reason) => {
    const pair = makePair(identities);
    pair.client.handleDatagram(datagram(), 0);
    expect(pair.client.drops.toJSON()).toEqual({ [reason]: 1 });
    expectConnected(pair, run(pair.client, pair.server));
  });

  it.each(Array.from({ length: 30 }, (_, seed) => seed))(
    'who sends random bytes is ignored, seed %i',
    (seed) => {
      const rng = seededRandom(seed);
      const pair = makePair(identities);
      for (let i = 0; i < 50; i++) {
        const datagram = randomBytes(rng, 1 + (i % 40) * 3);
        // Half of them look like records of the handshake.
        if (i % 2 === 0) datagram.set([CONTENT_TYPE.handshake, 0xfe, 0xfd, 0, 0].slice(0, datagram.length));
        pair.client.handleDatagram(datagram, 0);
      }
      expect(pair.client.drops.total).toBeGreaterThanOrEqual(50);
      expectConnected(pair, run(pair.client, pair.server));
    },
  );

  it('who sends cookie after cookie is answered a few times only', () => {
    const { client } = makePair(identities);
    for (let i = 1; i <= 100; i++) client.handleDatagram(cookie(i), 0);
    expect(client.drops.get('too-many-cookies')).toBe(96);
    expect(drain(client).transmits).toBe(1 + 4);
  });

  it('who repeats a HelloVerifyRequest is answered once', () => {
    const { client } = makePair(identities);
    for (let i = 0; i < 10; i++) client.handleDatagram(cookie(7), 0);
    expect(client.drops.get('retransmission')).toBe(9);
    expect(drain(client).transmits).toBe(1 + 1);
  });

  it('who sends another ServerHello after the first is ignored', () => {
    const pair = makePair(identities, { knobs: { fragmentBytes: 2000 } });
    toServer(pair);
    pair.client.handleDatagram(pair.server.pollDatagram()!, 0);
    pair.client.handleDatagram(message(HANDSHAKE_TYPE.serverHello, 0, randomBytes(seededRandom(1), 80)), 0);
    expect(pair.client.drops.toJSON()).toEqual({ retransmission: 1 });
    expectConnected(pair, run(pair.client, pair.server));
  });

  it('who sends a ServerHelloDone with something in it is ignored', () => {
    const pair = makePair(identities, { knobs: { fragmentBytes: 2000 } });
    toServer(pair);
    for (let seq = 0; seq < 4; seq++) pair.client.handleDatagram(pair.server.pollDatagram()!, 0);
    pair.client.handleDatagram(message(HANDSHAKE_TYPE.serverHelloDone, 4, Uint8Array.of(1)), 0);
    expect(pair.client.drops.toJSON()).toEqual({ 'malformed-message': 1 });
    expectConnected(pair, run(pair.client, pair.server));
  });

  it('who plants a plaintext Finished ahead of time does not spoil the real one', () => {
    const pair = makePair(identities);
    pair.client.handleDatagram(message(HANDSHAKE_TYPE.finished, 5, new Uint8Array(12)), 0);
    expectConnected(pair, run(pair.client, pair.server));
  });
});

describe('while the Finished is awaited', () => {
  it('plaintext is not believed, whatever it says', () => {
    const pair = upToKeys();
    const { client } = pair;
    client.handleDatagram(message(HANDSHAKE_TYPE.finished, 5, new Uint8Array(12)), 0);
    client.handleDatagram(plain(CONTENT_TYPE.alert, Uint8Array.of(2, 40)), 0);
    client.handleDatagram(message(HANDSHAKE_TYPE.helloVerifyRequest, 0, new Uint8Array(12)), 0);
    expect(client.drops.toJSON()).toEqual({ 'unexpected-message': 2, 'plaintext-alert': 1 });
    expectEnd(pair, 'connected');
  });

  it('nothing of epoch 0 is heeded after ChangeCipherSpec', () => {
    const pair = upToKeys();
    pair.client.handleDatagram(plain(CONTENT_TYPE.changeCipherSpec, Uint8Array.of(1)), 0);
    pair.client.handleDatagram(message(HANDSHAKE_TYPE.serverHelloDone, 4, new Uint8Array(0)), 1000);
    expect(pair.client.drops.toJSON()).toEqual({ 'wrong-epoch': 1 });
    expect(drain(pair.client).transmits).toBe(0);
    expectEnd(pair, 'connected');
  });

  it('a forged record is dropped and moves no window', () => {
    const pair = upToKeys();
    const [finished] = pair.held;
    const forged = encodeRecord({
      type: CONTENT_TYPE.handshake,
      version: DTLS_1_2,
      epoch: 1,
      sequence: 2 ** 40,
      fragment: finished!.subarray(-48),
    });
    pair.client.handleDatagram(forged, 0);
    expect(pair.client.drops.toJSON()).toEqual({ unauthenticated: 1 });
    expectEnd(pair, 'connected');
  });

  it.each([0, 1])(
    'a Finished with a bit flipped is dropped, and the real one accepted (byte %i from the end)',
    (at) => {
      const pair = upToKeys();
      const tampered = pair.held[0]!.slice();
      tampered[tampered.length - 1 - at]! ^= 0x80;
      pair.client.handleDatagram(tampered, 0);
      expect(pair.client.drops.toJSON()).toEqual({ unauthenticated: 1 });
      expectEnd(pair, 'connected');
    },
  );

  it('a record is taken once', () => {
    const pair = upToKeys();
    pair.server.sendProtected(CONTENT_TYPE.applicationData, Uint8Array.of(1, 2, 3));
    const datagram = pair.server.pollDatagram()!;
    for (let i = 0; i < 3; i++) pair.client.handleDatagram(datagram, 0);
    expect(pair.client.drops.toJSON()).toEqual({ 'application-data': 1, replayed: 2 });
    expectEnd(pair, 'connected');
  });

  it.each([
    ['fatal', Uint8Array.of(2, 40)],
    ['close_notify', Uint8Array.of(1, 0)],
  ])('an authenticated alert (%s) ends it', (_, alert) => {
    const pair = upToKeys();
    pair.server.sendProtected(CONTENT_TYPE.alert, alert);
    pair.client.handleDatagram(pair.server.pollDatagram()!, 0);
    expect(drain(pair.client).ends).toEqual(['closed-by-peer']);
  });

  it('an authenticated warning does not', () => {
    const pair = upToKeys();
    pair.server.sendProtected(CONTENT_TYPE.alert, Uint8Array.of(1, 90));
    pair.client.handleDatagram(pair.server.pollDatagram()!, 0);
    expect(pair.client.drops.toJSON()).toEqual({ 'warning-alert': 1 });
    expectEnd(pair, 'connected');
  });

  it('an authenticated HelloRequest ends it: nothing is renegotiated', () => {
    const pair = upToKeys();
    const request = encodeMessage({ type: HANDSHAKE_TYPE.helloRequest, seq: 5, body: new Uint8Array(0) });
    pair.server.sendProtected(CONTENT_TYPE.handshake, request);
    pair.client.handleDatagram(pair.server.pollDatagram()!, 0);
    expect(drain(pair.client).ends).toEqual(['unexpected-message']);
  });

  it('our flight is repeated when the server repeats its own', () => {
    const pair = upToKeys();
    pair.client.handleDatagram(message(HANDSHAKE_TYPE.serverHelloDone, 4, new Uint8Array(0)), 60);
    expect(drain(pair.client).transmits).toBe(1);
    // Its wait begins anew and is no longer than before.
    expect(pair.client.nextTimeout()).toBe(60 + FIRST_RETRANSMIT_MS);
    expectEnd(pair, 'connected');
  });

  it('a flood of repeated flights gets one answer a retransmission time', () => {
    const pair = upToKeys();
    const done = message(HANDSHAKE_TYPE.serverHelloDone, 4, new Uint8Array(0));
    for (let now = 1; now <= 500; now++) pair.client.handleDatagram(done, now);
    expect(drain(pair.client).transmits).toBe(10);
    expect(pair.client.drops.get('retransmission')).toBe(500);
  });

  it('repeats of other messages of the flight get no answer', () => {
    const pair = upToKeys();
    pair.client.handleDatagram(message(HANDSHAKE_TYPE.certificate, 1, new Uint8Array(3)), 60);
    expect(drain(pair.client).transmits).toBe(0);
  });
});

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

function plain(type: number, fragment: Uint8Array, epoch = 0): Uint8Array {
  return encodeRecord({ type, version: DTLS_1_2, epoch, sequence: 77, fragment });
}

function message(type: number, seq: number, body: Uint8Array): Uint8Array {
  return plain(CONTENT_TYPE.handshake, encodeMessage({ type, seq, body }));
}

const cookie = (n: number): Uint8Array =>
  message(HANDSHAKE_TYPE.helloVerifyRequest, 0, encodeHelloVerifyRequest(Uint8Array.of(1, n)));

const oversized = (): Uint8Array =>
  plain(
    CONTENT_TYPE.handshake,
    encodeFragment({
      type: HANDSHAKE_TYPE.serverHello,
      seq: 0,
      length: 20_000,
      offset: 0,
      bytes: new Uint8Array(9),
    }),
  );

const overreaching = (): Uint8Array =>
  plain(CONTENT_TYPE.handshake, concat(Uint8Array.of(2, 0, 0, 4, 0, 0, 0, 0, 2, 0, 0, 4), new Uint8Array(4)));

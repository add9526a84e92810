import { beforeAll, describe, expect, it, vi } from 'vitest';
import { fingerprintOf } from '../../src/transport/dtls/fingerprint.ts';
import { FIRST_RETRANSMIT_MS, MAX_DATAGRAM_BYTES } from '../../src/transport/dtls/flight.ts';
import { NAMED_GROUP } from '../../src/transport/dtls/key-exchange.ts';
import { SIGNATURE_SCHEME } from '../../src/transport/dtls/signature.ts';
import type { DtlsSrtpKeys } from '../../src/transport/srtp/profile.ts';
import { Secret } from '../../src/util/secret.ts';
import { losing, ONE_WAY_MS, run } from '../support/dtls-network.ts';
import {
  expectConnected,
  expectFailed,
  type Identities,
  makeIdentities,
  makePair,
  type Pair,
  toServer,
} from '../support/dtls-pair.ts';

let identities: Identities;
beforeAll(async () => {
  identities = await makeIdentities();
});

describe('a handshake', () => {
  it('has keys after one round trip and is connected after two', () => {
    const pair = makePair(identities);
    const outcome = run(pair.client, pair.server);
    expectConnected(pair, outcome);
    expect(outcome.keysAt).toBe(2 * ONE_WAY_MS);
    expect(outcome.connectedAt).toBe(4 * ONE_WAY_MS);
    expect(pair.client.drops.total).toBe(0);
  });

  it('queues its Finished ahead of the keys', () => {
    const { client, server } = makePair(identities);
    expect(run(client, server).outputs).toEqual(['transmit', 'transmit', 'keys', 'connected']);
  });

  it('shows its certificate and proves that it holds the key', () => {
    const pair = makePair(identities);
    run(pair.client, pair.server);
    expect(pair.server.clientCertificate).toEqual(identities.client.certificate);
    expect(pair.server.refused).toBeUndefined();
  });

  it('offers no session, no ticket and exactly the suites of its table', () => {
    const { client, server } = makePair(identities);
    run(client, server);
    expect(server.hello!.sessionId).toHaveLength(0);
    expect(server.hello!.suites).toEqual([0xc02b, 0xc02f, 0xc02c, 0xc030]);
    expect(server.hello!.compressions).toEqual([0]);
    expect([...server.hello!.extensions.keys()].sort((a, b) => a - b)).toEqual([10, 11, 13, 14, 23, 0xff01]);
  });

  it.each([0xc02b, 0xc02c])('agrees on ECDSA suite %i', (suite) => {
    const pair = makePair(identities, { knobs: { suite } });
    expectConnected(pair, run(pair.client, pair.server));
  });

  it.each([0xc02f, 0xc030])('agrees on RSA suite %i', (suite) => {
    const pair = makePair(identities, { knobs: { suite }, serverIdentity: identities.rsa });
    expectConnected(pair, run(pair.client, pair.server));
  });

  it.each(Object.entries(NAMED_GROUP))('agrees over %s', (_, group) => {
    const pair = makePair(identities, { knobs: { group } });
    expectConnected(pair, run(pair.client, pair.server));
  });

  it.each([SIGNATURE_SCHEME.rsaPkcs1Sha256, SIGNATURE_SCHEME.rsaPssRsaeSha256])(
    'believes RSA signature scheme %i',
    (scheme) => {
      const pair = makePair(identities, { knobs: { scheme }, serverIdentity: identities.rsa });
      expectConnected(pair, run(pair.client, pair.server));
    },
  );

  it.each(['AES_CM_128_HMAC_SHA1_80', 'AEAD_AES_128_GCM', 'AEAD_AES_256_GCM'] as const)(
    'takes keys for %s',
    (profile) => {
      const pair = makePair(identities, { options: { srtpProfiles: [profile] } });
      const outcome = run(pair.client, pair.server);
      expectConnected(pair, outcome);
      expect(outcome.keys!.profile).toBe(profile);
    },
  );

  it.each(['sha-256', 'sha-384', 'sha-512'] as const)('matches a %s fingerprint', (algorithm) => {
    const remoteFingerprints = [fingerprintOf(identities.server.certificate, algorithm)];
    const pair = makePair(identities, { options: { remoteFingerprints } });
    expectConnected(pair, run(pair.client, pair.server));
  });

  it('accepts a certificate that matches the second of two fingerprints', () => {
    const remoteFingerprints = [identities.rsa, identities.server].map(({ certificate }) =>
      fingerprintOf(certificate, 'sha-256'),
    );
    const pair = makePair(identities, { options: { remoteFingerprints } });
    expectConnected(pair, run(pair.client, pair.server));
  });

  it('answers a HelloVerifyRequest with the same hello and the cookie', () => {
    const pair = makePair(identities, { knobs: { cookie: true } });
    expectConnected(pair, run(pair.client, pair.server));
    const [first, second] = pair.server.hellos;
    expect(pair.server.hellos).toHaveLength(2);
    // Version and random, then all that follows the cookie.
    expect(second!.subarray(0, 35)).toEqual(first!.subarray(0, 35));
    expect(second!.subarray(36 + 20)).toEqual(first!.subarray(36));
  });

  it('fails without client authentication (RFC 8827 §6.5)', () => {
    const { client, server } = makePair(identities, { knobs: { askForCertificate: false } });
    expectFailed(run(client, server), 'no-client-authentication');
  });

  it('cuts a long certificate so that no datagram is too large', () => {
    const pair = makePair(identities, { options: { identity: identities.long } });
    const outcome = run(pair.client, pair.server);
    expectConnected(pair, outcome);
    expect(pair.server.clientCertificate).toEqual(identities.long.certificate);
    expect(outcome.sent.client.length).toBeGreaterThan(2);
    expect(pair.server.largest).toBeLessThanOrEqual(MAX_DATAGRAM_BYTES);
  });

  it.each([1, 7, 100])('puts a flight together that comes in pieces of %i bytes', (fragmentBytes) => {
    const pair = makePair(identities, { knobs: { fragmentBytes } });
    expectConnected(pair, run(pair.client, pair.server));
  });
});

describe('a repeated hello', () => {
  it('is the identical datagram at the interval asked for, until the server is back', () => {
    const pair = makePair(identities, { options: { helloInterval: 20 } });
    const outcome = run(pair.client, pair.server, losing('client', 0, 1, 2));
    expectConnected(pair, outcome);
    const [first, ...repeated] = outcome.sent.client.slice(0, 4);
    for (const datagram of repeated) expect(datagram).toEqual(first);
    // Sent at 0, 20, 40 and 60: the fourth arrives.
    expect(outcome.keysAt).toBe(60 + 2 * ONE_WAY_MS);
  });

  it('goes on at its pace for as long as nobody answers', () => {
    const { client, server } = makePair(identities, { options: { helloInterval: 20, timeout: 1000 } });
    const outcome = run(client, server, () => []);
    expect(outcome.sent.client).toHaveLength(50);
    expect(outcome.failed).toBe('timeout');
  });

  it('is the same datagram at a slower and slower pace once the server is known to take it', () => {
    const { client } = makePair(identities, { options: { helloInterval: 20 } });
    const first = client.pollOutput();
    client.peerIsReady(5);
    const sentAt: number[] = [];
    for (let now = client.nextTimeout()!; now < 700; now = client.nextTimeout()!) {
      client.handleTimeout(now);
      expect(client.pollOutput()).toEqual(first);
      sentAt.push(now);
    }
    expect(sentAt).toEqual([20, 60, 140, 300, 620]);
  });

  it('is sent at once where it takes another way, before the server is heard', () => {
    const { client, server } = makePair(identities, { options: { helloInterval: 20 } });
    const first = client.pollOutput();
    client.pathChanged(5);
    expect(client.pollOutput()).toEqual(first);
    expect(client.nextTimeout()).toBe(25);
    if (first?.kind === 'transmit') server.handleDatagram(first.datagram, 10);
    for (let flight = server.pollDatagram(); flight !== undefined; flight = server.pollDatagram())
      client.handleDatagram(flight, 10);
    while (client.pollOutput() !== undefined);
    client.pathChanged(15);
    expect(client.pollOutput()).toBeUndefined();
  });

  it('takes no other way at once where no interval is asked for: it would be another record', () => {
    const { client } = makePair(identities, {});
    client.pollOutput();
    client.pathChanged(5);
    expect(client.pollOutput()).toBeUndefined();
    expect(client.nextTimeout()).toBe(FIRST_RETRANSMIT_MS);
  });

  it('leaves the pace of what answers the flight as it is', () => {
    const pair = makePair(identities, { options: { helloInterval: 20 } });
    const hello = pair.client.pollOutput();
    if (hello?.kind === 'transmit') pair.server.handleDatagram(hello.datagram, 0);
    for (let flight = pair.server.pollDatagram(); flight !== undefined; flight = pair.server.pollDatagram())
      pair.client.handleDatagram(flight, 10);
    pair.client.peerIsReady(15);
    expect(pair.client.nextTimeout()).toBe(10 + FIRST_RETRANSMIT_MS);
  });

  it('is a new record with a doubled wait where no interval is asked for', () => {
    const { client, server } = makePair(identities, { options: { timeout: 1000 } });
    const outcome = run(client, server, () => []);
    // At 0, 50, 150, 350, 750.
    expect(outcome.sent.client).toHaveLength(5);
    const numbers = outcome.sent.client.map((datagram) => datagram[10]);
    expect(numbers).toEqual([0, 1, 2, 3, 4]);
  });

  it('is a new record at the usual pace once the server has been heard', () => {
    const options = { helloInterval: 20 };
    const { client, server } = makePair(identities, { knobs: { fragmentBytes: 2000 }, options });
    const first = client.pollOutput();
    if (first?.kind === 'transmit') server.handleDatagram(first.datagram, 0);
    // The ServerHello, and nothing else of its flight.
    client.handleDatagram(server.pollDatagram()!, 10);
    expect(client.nextTimeout()).toBe(10 + FIRST_RETRANSMIT_MS);
    client.handleTimeout(10 + FIRST_RETRANSMIT_MS);
    const again = client.pollOutput();
    expect(again?.kind).toBe('transmit');
    expect(again).not.toEqual(first);
  });

  it('carries the cookie once there is one', () => {
    const pair = makePair(identities, { knobs: { cookie: true }, options: { helloInterval: 20 } });
    const outcome = run(pair.client, pair.server, losing('client', 1, 2));
    expectConnected(pair, outcome);
    expect(outcome.sent.client[2]).toEqual(outcome.sent.client[1]);
    expect(outcome.sent.client[1]).not.toEqual(outcome.sent.client[0]);
  });
});

describe('the end of a handshake', () => {
  it('comes at the timeout, and then nothing more is asked for', () => {
    const { client, server } = makePair(identities, { options: { timeout: 5000 } });
    const outcome = run(client, server, () => []);
    expectFailed(outcome, 'timeout');
    expect(outcome.endedAt).toBe(5000);
    expect(client.nextTimeout()).toBeUndefined();
  });

  it('drops whatever comes afterwards', () => {
    const { client, server } = makePair(identities);
    const { sent } = run(client, server);
    for (const datagram of sent.server) client.handleDatagram(datagram, 100);
    expect(client.pollOutput()).toBeUndefined();
    expect(client.drops.get('over')).toBeGreaterThan(2);
  });
});

describe('the secrets of a handshake', () => {
  it.each(Object.entries(NAMED_GROUP))(
    'are gone when it is connected over %s, but for the keys it handed out',
    (_, group) => {
      const watch = new SecretWatch();
      const pair = watch.during(() => makePair(identities, { knobs: { group } }));
      const keys = exchange(pair, watch);
      watch.stop();
      expect(pair.server.connected).toBe(true);
      expect(watch.made.length).toBeGreaterThan(10);
      expect(watch.live()).toEqual(secretsOf(keys!));
    },
  );

  it('are few between the keys and the end: record keys and the expected Finished', () => {
    const watch = new SecretWatch();
    const pair = watch.during(() => makePair(identities));
    const keys = exchange(pair, watch, 1);
    watch.stop();
    const held = watch.live().filter((secret) => !secretsOf(keys!).includes(secret));
    // Two keys of 16, two salts of 4, one verify_data of 12: the master secret of 48 is not among them.
    expect(held.map(({ length }) => length).sort((a, b) => a - b)).toEqual([4, 4, 12, 16, 16]);
  });

  it('are gone when it has failed', () => {
    const watch = new SecretWatch();
    const pair = watch.during(() => makePair(identities, { knobs: { finished: 'random' } }));
    const keys = exchange(pair, watch);
    watch.stop();
    expect(watch.live()).toEqual(secretsOf(keys!));
  });

  it('are gone when it has failed before there were keys', () => {
    const watch = new SecretWatch();
    // A low-order point: refused in the middle of the key agreement.
    const knobs = { keyShare: new Uint8Array(32) };
    const pair = watch.during(() => makePair(identities, { knobs }));
    exchange(pair, watch);
    watch.stop();
    expect(watch.made.length).toBeGreaterThan(0);
    expect(watch.live()).toEqual([]);
  });

  it('are gone when it is disposed, keys included that nobody has polled', () => {
    const watch = new SecretWatch();
    const pair = watch.during(() => makePair(identities));
    toServer(pair);
    toClient(pair, watch);
    pair.client.dispose();
    watch.stop();
    expect(watch.made.length).toBeGreaterThan(10);
    expect(watch.live()).toEqual([]);
    expect(pair.client.pollOutput()).toBeUndefined();
    expect(pair.client.nextTimeout()).toBeUndefined();
  });
});

/** Notes every Secret that is made while `during` runs. */
class SecretWatch {
  readonly made: Secret[] = [];
  readonly #spies = (['alloc', 'take', 'copy', 'random'] as const).map((name) => vi.spyOn(Secret, name));

  during<T>(work: () => T): T {
    const before = this.#spies.map(({ mock }) => mock.results.length);
    const result = work();
    this.#spies.forEach(({ mock }, i) => {
      for (const { value } of mock.results.slice(before[i])) this.made.push(value as Secret);
    });
    return result;
  }

  live(): Secret[] {
    return this.made.filter((secret) => !secret.disposed);
  }

  stop(): void {
    for (const spy of this.#spies) spy.mockRestore();
  }
}

const secretsOf = ({ local, remote }: DtlsSrtpKeys): Secret[] => [
  local.key,
  remote.key,
  local.salt,
  remote.salt,
];

/** Carries datagrams to and fro, watching the client's side only. */
function exchange(pair: Pair, watch: SecretWatch, rounds = 2): DtlsSrtpKeys | undefined {
  let keys = toServer(pair);
  for (let round = 0; round < rounds; round++) {
    toClient(pair, watch);
    keys = toServer(pair) ?? keys;
  }
  return keys;
}

function toClient({ client, server }: Pair, watch: SecretWatch): void {
  for (let sent = server.pollDatagram(); sent !== undefined; sent = server.pollDatagram()) {
    const datagram = sent;
    watch.during(() => client.handleDatagram(datagram, 0));
  }
}

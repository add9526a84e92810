import { expect } from 'vitest';
import { DtlsClient, type DtlsClientOptions, type DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { fingerprintOf } from '../../src/transport/dtls/fingerprint.ts';
import type { DtlsSrtpKeys } from '../../src/transport/srtp/profile.ts';
import { testIdentity } from './dtls-identity.ts';
import type { Outcome } from './dtls-network.ts';
import { DtlsTestServer, type ServerKnobs } from './dtls-server.ts';
import { seededRandom } from './seeded-rng.ts';

/** Identities for both sides: made once a file, as RSA keys take their time. */
export interface Identities {
  readonly client: DtlsIdentity;
  readonly server: DtlsIdentity;
  readonly rsa: DtlsIdentity;
  /** With a certificate that does not fit one datagram. */
  readonly long: DtlsIdentity;
}

export async function makeIdentities(): Promise<Identities> {
  return {
    client: await testIdentity(),
    server: await testIdentity(),
    rsa: await testIdentity('rsa'),
    long: await testIdentity('ec', 'x'.repeat(1500)),
  };
}

export interface Pair {
  readonly client: DtlsClient;
  readonly server: DtlsTestServer;
}

export interface PairOptions {
  readonly seed?: number;
  readonly knobs?: ServerKnobs;
  readonly options?: Partial<DtlsClientOptions>;
  readonly serverIdentity?: DtlsIdentity;
}

/** A client that expects this server, which may have its own idea. */
export function makePair(identities: Identities, pair: PairOptions = {}): Pair {
  const { seed = 1, serverIdentity = identities.server } = pair;
  const options: DtlsClientOptions = {
    identity: identities.client,
    rng: seededRandom(seed),
    remoteFingerprints: [fingerprintOf(serverIdentity.certificate, 'sha-256')],
    srtpProfiles: ['AES_CM_128_HMAC_SHA1_80'],
    ...pair.options,
  };
  const rng = seededRandom(seed + 1_000_000);
  const server = new DtlsTestServer({ identity: serverIdentity, rng, knobs: pair.knobs ?? {} });
  return { client: new DtlsClient(options, 0), server };
}

/** Carries what the client has to say to the server, and returns the keys if they were among it. */
export function toServer({ client, server }: Pair): DtlsSrtpKeys | undefined {
  let keys: DtlsSrtpKeys | undefined;
  for (let output = client.pollOutput(); output !== undefined; output = client.pollOutput()) {
    if (output.kind === 'transmit') server.handleDatagram(output.datagram, 0);
    if (output.kind === 'keys') keys = output.keys;
  }
  return keys;
}

/** Both sides are connected and hold the same keys, each its own for sending. */
export function expectConnected({ server }: Pair, outcome: Outcome): void {
  expect(outcome.failed).toBeUndefined();
  expect(outcome.connectedAt).toBeDefined();
  expect(server.connected).toBe(true);
  expect(plain(outcome.keys!)).toEqual(plain(mirrored(server.keys!)));
}

/** The handshake ended for this reason, and no keys were given away. */
export function expectFailed(outcome: Outcome, reason: string): void {
  expect(outcome.failed).toBe(reason);
  expect(outcome.keys).toBeUndefined();
  expect(outcome.connectedAt).toBeUndefined();
}

const mirrored = ({ profile, local, remote }: DtlsSrtpKeys): DtlsSrtpKeys => ({
  profile,
  local: remote,
  remote: local,
});

const plain = ({ profile, local, remote }: DtlsSrtpKeys): unknown => [
  profile,
  local.key.bytes.slice(),
  local.salt.bytes.slice(),
  remote.key.bytes.slice(),
  remote.salt.bytes.slice(),
];

import { DtlsClient } from '../../../src/transport/dtls/client.ts';
import { fingerprintOf } from '../../../src/transport/dtls/fingerprint.ts';
import { MAX_DATAGRAM_BYTES } from '../../../src/transport/dtls/flight.ts';
import { decodeFragments, type HandshakeFragment } from '../../../src/transport/dtls/handshake.ts';
import { decodeRecords } from '../../../src/transport/dtls/record.ts';
import { disposeMasterKey } from '../../../src/transport/srtp/profile.ts';
import type { Millis } from '../../../src/util/clock.ts';
import { testIdentity } from '../../support/dtls-identity.ts';
import { DtlsTestServer, type ServerKnobs } from '../../support/dtls-server.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import type { Step } from '../script.ts';

/** What one of its flights, an alert included, may have in datagrams. */
const MAX_DATAGRAMS_AT_ONCE = 6;
/** Four cookies, the first hello and the flight, and what time lets it repeat. */
const MAX_UNPROVOKED = 24;

const IDENTITIES: Awaited<ReturnType<typeof testIdentity>>[] = [];
/** Servers that differ in what the client computes with; the flight of each answers the hello of the one seed. */
export const SERVERS: readonly { readonly identity: number; readonly knobs: ServerKnobs }[] = [
  { identity: 1, knobs: {} },
  { identity: 2, knobs: { group: 0x17, suite: 0xc030 } },
];
export const FLIGHTS: HandshakeFragment[][] = [];

export async function prepareDtls(): Promise<void> {
  if (IDENTITIES.length > 0) return;
  IDENTITIES.push(await testIdentity(), await testIdentity(), await testIdentity('rsa'));
  for (let which = 0; which < SERVERS.length; which++) {
    const { client, server } = makePair(which);
    const hello = client.pollOutput();
    if (hello?.kind === 'transmit') server.handleDatagram(hello.datagram, 0);
    FLIGHTS.push(datagramsOf(server).flatMap(fragmentsOf));
    client.dispose();
  }
}

export function makePair(which: number): { readonly client: DtlsClient; readonly server: DtlsTestServer } {
  const { identity, knobs } = SERVERS[which]!;
  const shown = IDENTITIES[identity]!;
  const client = new DtlsClient(
    {
      identity: IDENTITIES[0]!,
      rng: seededRandom(1),
      remoteFingerprints: [fingerprintOf(shown.certificate, 'sha-256')],
      srtpProfiles: ['AES_CM_128_HMAC_SHA1_80'],
    },
    0,
  );
  return { client, server: new DtlsTestServer({ identity: shown, rng: seededRandom(2), knobs }) };
}

/** A client with what is seen of it, which is what the invariants are about. */
export class WatchedClient {
  readonly client: DtlsClient;
  now: Millis = 0;
  keys = 0;
  connected = 0;
  failed: string | undefined;
  datagrams = 0;

  constructor(client: DtlsClient) {
    this.client = client;
    this.drain();
  }

  get over(): boolean {
    return this.connected > 0 || this.failed !== undefined;
  }

  deliver(datagram: Uint8Array): Uint8Array[] {
    this.client.handleDatagram(datagram, this.now);
    return this.drain();
  }

  pass(time: Millis): void {
    this.now += time;
    this.client.handleTimeout(this.now);
    this.drain();
  }

  drain(): Uint8Array[] {
    const silent = this.over;
    const sent: Uint8Array[] = [];
    for (let output = this.client.pollOutput(); output !== undefined; output = this.client.pollOutput()) {
      if (silent) throw new Error(`${output.kind} after the end`);
      if (output.kind === 'transmit') sent.push(output.datagram);
      else if (output.kind === 'keys') {
        this.keys++;
        disposeMasterKey(output.keys.local);
        disposeMasterKey(output.keys.remote);
      } else if (output.kind === 'connected') this.connected++;
      else this.failed = output.reason;
    }
    this.datagrams += sent.length;
    if (sent.length > MAX_DATAGRAMS_AT_ONCE) throw new Error(`${sent.length} datagrams at once`);
    if (sent.some(({ length }) => length > MAX_DATAGRAM_BYTES))
      throw new Error('a datagram beyond the limit');
    if (this.datagrams > MAX_UNPROVOKED + this.now / 10)
      throw new Error(`${this.datagrams} datagrams in ${this.now} ms`);
    if (this.keys > 1 || this.connected > 1 || this.connected > this.keys)
      throw new Error('keys more than once');
    return sent;
  }

  get drops(): readonly string[] {
    return Object.keys(this.client.drops.toJSON());
  }
}

/** A step in numbers. */
export const op = (code: number, ...data: readonly number[]): Step => ({
  op: code,
  data: Uint8Array.from(data),
});

export function datagramsOf(server: DtlsTestServer): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  for (let datagram = server.pollDatagram(); datagram !== undefined; datagram = server.pollDatagram())
    datagrams.push(datagram);
  return datagrams;
}

/** The handshake messages of a datagram, none of which is cut. */
const fragmentsOf = (datagram: Uint8Array): HandshakeFragment[] =>
  [...decodeRecords(datagram)].flatMap((one) =>
    one === undefined ? [] : [...decodeFragments(one.fragment)].filter((part) => part !== undefined),
  );

import { isDeepStrictEqual } from 'node:util';
import { RECORD } from '../../../src/snapshot/codec/fields.ts';
import { decodeServer, decodeSession, encodeIdentity } from '../../../src/snapshot/codec/identity.ts';
import { decodePeers, decodeRoom } from '../../../src/snapshot/codec/media.ts';
import type { IdentitySnapshot, MediaSnapshot } from '../../../src/snapshot/schema.ts';
import { concat, utf8 } from '../../../src/util/bytes.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import {
  encodeMedia,
  revealed,
  sampleIdentity,
  sampleMedia,
  samplePeer,
  sampleSession,
} from '../../support/snapshots.ts';
import { ALL_PROFILES } from '../../support/srtp.ts';
import type { FuzzTarget } from '../fuzz.ts';

const IDENTITY = sampleIdentity(seededRandom(11), 1);
const MEDIA = sampleMedia(seededRandom(12), 0);

/** Copies of the records of a snapshot. */
export const recordsOf = (records: Iterable<Uint8Array>): readonly Uint8Array[] =>
  Array.from(records, (record) => record.slice());

export const identityRecord: FuzzTarget = {
  id: 'fuzz-identity-record',
  claim: 'a record of identity.sealed that decodes is, encoded again, the same to the byte',
  inputs: 12_000,
  maxBytes: 4_096,
  reaches: ['server', 'session', 'neither'],
  seeds: () => [
    ...recordsOf(encodeIdentity(IDENTITY)),
    ...sessionsOf([
      sampleSession(seededRandom(13), {
        connection: undefined,
        role: 'broadcaster',
        nextTokenHash: new Uint8Array(0),
      }),
    ]),
    // A byte order mark in front of a text: what a decoder swallows, its encoder cannot bring back.
    withMark(recordsOf(encodeIdentity(IDENTITY))[1]!),
  ],
  run: (input) => {
    const server = decodeServer(input);
    const session = decodeSession(input);
    if (server !== undefined) {
      sameBytes(input, recordsOf(encodeIdentity({ ...server, sessions: [] }))[0]!);
      server.certificate.privateKey.dispose();
      server.tokenKey.dispose();
      return 'server';
    }
    if (session === undefined) return 'neither';
    sameBytes(input, sessionsOf([session])[0]!);
    return 'session';
  },
};

export const mediaRecord: FuzzTarget = {
  id: 'fuzz-media-record',
  claim:
    'a record of media.sealed that decodes is, encoded again, the same to the byte, and its limits leave room to go on',
  inputs: 12_000,
  maxBytes: 4_096,
  reaches: ['room', 'peer', 'peers', 'neither'],
  seeds: () => [
    ...recordsOf(encodeMedia(MEDIA)),
    ...ALL_PROFILES.flatMap((profile, i) => peersOf([samplePeer(seededRandom(14 + i), profile)])),
    ...peersOf(ALL_PROFILES.map((profile, i) => samplePeer(seededRandom(17 + i), profile))),
    // As up to format 3: a peer in a record of its own.
    ...peersOf([samplePeer(seededRandom(20))]).map((record) =>
      Uint8Array.of(RECORD.peer3, ...record.subarray(1)),
    ),
  ],
  run: (input) => {
    const room = decodeRoom(input);
    const peers = decodePeers(input);
    if (room !== undefined) {
      sameBytes(input, recordsOf(encodeMedia({ ...MEDIA, room, peers: [] }))[0]!);
      // RFC 3711 §3.3.1: an index has 48 bits.
      if (room.streams.some(({ limit }) => limit > 2 ** 48)) throw new Error('a limit beyond every index');
      return 'room';
    }
    if (peers === undefined) return 'neither';
    // The encoder makes a record of its own of what is over the size of one.
    sameBytes(input.subarray(1), concat(...peersOf(peers).map((record) => record.subarray(1))));
    if (!isDeepStrictEqual(revealed(decodePeers(input)), revealed(peers)))
      throw new Error('a peer is another one');
    return peers.length === 1 ? 'peer' : 'peers';
  },
};

const sessionsOf = (sessions: IdentitySnapshot['sessions']): readonly Uint8Array[] =>
  recordsOf(encodeIdentity({ ...IDENTITY, sessions })).slice(1);

const peersOf = (peers: MediaSnapshot['peers']): readonly Uint8Array[] =>
  recordsOf(encodeMedia({ ...MEDIA, peers })).slice(1);

function sameBytes(input: Uint8Array, again: Uint8Array): void {
  if (Buffer.compare(input, again) !== 0) throw new Error('a record is another one when it is written');
}

/** The record with U+FEFF in front of its first ICE username. */
function withMark(record: Uint8Array): Uint8Array {
  const mark = utf8('\ufeff');
  const ufrag = IDENTITY.sessions[0]!.connection!.localUfrag;
  const at = Buffer.from(record).indexOf(ufrag);
  const length = Uint8Array.of(0, ufrag.length + mark.length);
  return concat(record.subarray(0, at - 2), length, mark, record.subarray(at));
}

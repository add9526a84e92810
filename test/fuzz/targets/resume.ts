import { decodeServer, decodeSession, encodeIdentity } from '../../../src/snapshot/codec/identity.ts';
import { decodePeers, decodeRoom } from '../../../src/snapshot/codec/media.ts';
import { disposeMasterKey } from '../../../src/transport/srtp/profile.ts';
import { videoPacket } from '../../support/room-media.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import {
  encodeMedia,
  SAMPLE_TIME,
  sampleIdentity,
  sampleMedia,
  samplePeer,
} from '../../support/snapshots.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateBytes } from '../mutate.ts';
import { decodeScript, encodeScript, mutateScript } from '../script.ts';
import { prepareBroadcast, WatchedBroadcast } from './broadcast.ts';
import { recordsOf } from './snapshot-codec.ts';

/** As the first byte of a record says. */
const OPS = 4;

export const resume: FuzzTarget = {
  id: 'fuzz-resume',
  claim:
    'whatever records decode, a server goes on from them, forwards, and can write what it has made of them',
  inputs: 1_800,
  maxBytes: 12 * 1_024,
  reaches: ['resumed', 'resumed with keys', 'nothing'],
  prepare: prepareBroadcast,
  seeds: () => {
    const rng = seededRandom(61);
    const identity = sampleIdentity(rng, 2);
    const peers = identity.sessions.map(({ id, connection }) => ({
      ...samplePeer(rng),
      session: id,
      connection: connection!.number,
    }));
    const media = { ...sampleMedia(rng, 0), peers };
    const script = (...records: readonly Uint8Array[]): Uint8Array =>
      encodeScript(records.map((data) => ({ op: 0, data })));
    const [server, ...sessions] = recordsOf(encodeIdentity(identity));
    const [room, together] = recordsOf(encodeMedia(media));
    const contexts = peers.map((peer) => recordsOf(encodeMedia({ ...media, peers: [peer] }))[1]!);
    return [
      script(server!, ...sessions, room!, together!),
      script(server!, ...sessions, room!, ...contexts),
      script(server!, ...sessions),
      script(server!, sessions[0]!, sessions[0]!, room!, contexts[0]!, contexts[0]!),
      script(server!, ...sessions, room!, contexts[1]!),
    ];
  },
  mutate: (input, random) => mutateScript(input, random, OPS, (data) => mutateBytes(data, random, data)),
  run: (input) => {
    const records = decodeScript(input).map(({ data }) => data);
    const server = records.map(decodeServer).find((one) => one !== undefined);
    if (server === undefined) return 'nothing';
    const sessions = records.map(decodeSession).filter((one) => one !== undefined);
    const room = records.map(decodeRoom).find((one) => one !== undefined);
    const peers = records.flatMap((record) => decodePeers(record) ?? []);
    const media = room && { writtenAt: SAMPLE_TIME, notAfter: SAMPLE_TIME + 30_000, room, peers };
    const watched = new WatchedBroadcast({ identity: { ...server, sessions }, media });
    const stale = [...watched.broadcast.sessions].some(({ current }) => current?.peer.isStale === true);
    for (const { connection } of sessions) {
      const from = connection?.remoteAddress;
      if (from !== undefined) watched.receive(videoPacket({ sequence: 1 }), from);
    }
    for (let i = 0; i < 4; i++) watched.pass(2_000);
    watched.finish();
    if (room === undefined) for (const peer of peers) disposeMasterKey(peer.send.master);
    return stale ? 'resumed with keys' : 'resumed';
  },
};

import type { Room } from '../room/room.ts';
import { digestOf } from '../session/rekey.ts';
import { Session } from '../session/session.ts';
import type { Capabilities, Role } from '../signaling/protocol.ts';
import { createOffer, parseAnswer } from '../signaling/sdp.ts';
import type { FormerConnection } from '../snapshot/schema.ts';
import type { DtlsIdentity } from '../transport/dtls/client.ts';
import { fingerprintOf } from '../transport/dtls/fingerprint.ts';
import { createIceCredentials } from '../transport/ice/ice-lite.ts';
import { Peer } from '../transport/peer.ts';
import type { Millis } from '../util/clock.ts';
import type { BroadcastOptions } from './broadcast-io.ts';

export interface Visitor {
  readonly id: string;
  readonly role: Role;
  readonly capabilities: Capabilities;
  readonly seenAt: Millis;
  readonly former?: FormerConnection | undefined;
}

interface Surroundings {
  readonly options: BroadcastOptions;
  readonly room: Room;
  /** What a handshake shows that begins now. */
  readonly shown: () => { readonly certificate: Uint8Array; readonly identity: DtlsIdentity };
  /** Has index limits raised, before it returns. */
  readonly reserve: () => void;
  /** What a snapshot holds of this peer is out of date. */
  readonly contextsChanged: (peer: Peer) => void;
}

/** A session with the transport below it and the offers to its page. */
export function createSession(
  { id, role, capabilities, seenAt, former }: Visitor,
  { options, room, shown, reserve, contextsChanged }: Surroundings,
): Session {
  const { rng, srtpProfiles, candidates, videoCodecs, staleKeyTtl, sessionTtl, rekeyInterval } = options;
  return new Session(
    {
      id,
      role,
      capabilities,
      former,
      staleKeyTtl,
      sessionTtl,
      rekeyInterval,
      createCredentials: () => createIceCredentials(rng),
      createPeer: (ice, restored) => {
        const peer: Peer = new Peer(
          {
            // Another one may come between two handshakes of a peer.
            get identity() {
              return shown().identity;
            },
            rng,
            srtpProfiles,
            ice,
            reserve,
            contextsChanged: () => contextsChanged(peer),
          },
          restored,
        );
        return peer;
      },
      createOffer: (connection) =>
        createOffer({
          role: connection.role,
          connection: connection.number,
          offer: connection.offers,
          ice: connection.peer.iceCredentials,
          fingerprint: fingerprintOf(shown().certificate, digestOf(connection.epoch)),
          candidates,
          videoCodecs,
          cname: room.cname,
          streams: room.capture().streams,
        }),
      parseAnswer,
    },
    seenAt,
  );
}

import type { Role } from '../signaling/protocol.ts';
import type { Peer } from '../transport/peer.ts';
import type { Millis } from '../util/clock.ts';

/** One RTCPeerConnection of a page, as its session sees it. */
export interface Connection {
  /** From {@link connectionId}. */
  readonly id: string;
  readonly number: number;
  readonly role: Role;
  readonly peer: Peer;
  /** Offers made for it so far. */
  offers: number;
  /** Epoch of the last offer. */
  epoch: number;
  /** The offer whose handshake is not complete. */
  pending: PendingOffer | undefined;
  /** When its present keys came; `undefined` while it has none that are fresh. */
  keyedAt: Millis | undefined;
}

interface PendingOffer {
  readonly sentAt: Millis;
  /** Past this the attempt is given up and a replacement is made. */
  readonly deadline: Millis;
}

/** Names a connection among all of the server. */
export const connectionId = (session: string, number: number): string => `${session}/${number}`;

export const sessionOf = (connection: string): string => connection.slice(0, connection.indexOf('/'));

import type { Role } from '../signaling/protocol.ts';
import type { Peer } from '../transport/peer.ts';
import type { Millis } from '../util/clock.ts';

/** One RTCPeerConnection of a page, as its session sees it. */
export interface Connection {
  /** Names it among all connections of the server: `<session>/<number>`. */
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
  /** The room has been told of it. */
  inRoom: boolean;
}

interface PendingOffer {
  readonly sentAt: Millis;
  /** Past this the attempt is given up and a replacement is made. */
  readonly deadline: Millis;
}

/** Where a page says it stands (`POSITION_SUBPROTOCOL_PREFIX`). */
export interface PagePosition {
  readonly connection: number;
  readonly epoch: number;
  /** The DTLS association of that epoch is complete: a ClientHello that comes before the next offer is applied does no harm. */
  readonly settled: boolean;
}

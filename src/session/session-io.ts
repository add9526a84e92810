import type { Capabilities, Role, ServerMessage } from '../signaling/protocol.ts';
import type { Answer } from '../signaling/sdp.ts';
import type { FormerConnection } from '../snapshot/schema.ts';
import type { Address } from '../transport/address.ts';
import type { IceCredentials } from '../transport/ice/ice-lite.ts';
import type { Peer, PeerContexts, PeerIdentity, SendFloor, StaleKeysEnd } from '../transport/peer.ts';
import type { Millis } from '../util/clock.ts';
import type { Connection } from './connection.ts';
import type { RekeyReason } from './rekey.ts';

export interface SessionOptions {
  readonly id: string;
  readonly role: Role;
  readonly capabilities: Capabilities;
  /** What it had in an earlier process, where it has no connection now. */
  readonly former?: FormerConnection | undefined;
  readonly staleKeyTtl: Millis;
  /** How long a session without its page is kept. */
  readonly sessionTtl: Millis;
  /** Age at which keys are replaced; `undefined`: never by age. */
  readonly rekeyInterval: Millis | undefined;
  readonly createCredentials: () => IceCredentials;
  readonly createPeer: (ice: IceCredentials, restored?: PeerIdentity) => Peer;
  readonly createOffer: (connection: Connection) => string;
  readonly parseAnswer: (sdp: string) => Answer | undefined;
}

export type SessionEvent =
  | {
      readonly event: 'rekey-started';
      readonly connection: string;
      readonly epoch: number;
      readonly reason: RekeyReason;
      readonly way: string;
    }
  | {
      readonly event: 'stale-keys-destroyed';
      readonly connection: string;
      readonly by: StaleKeysEnd;
      /** Since the offer of the new keys left; absent where no offer had. */
      readonly sinceOfferMs: Millis | undefined;
    }
  | {
      readonly event: 'keyed';
      readonly connection: string;
      readonly epoch: number;
      readonly sinceOfferMs: Millis | undefined;
    }
  | { readonly event: 'handshake-failed'; readonly connection: string; readonly reason: string }
  | { readonly event: 'consent-lost'; readonly connection: string };

export type SessionOutput =
  | { readonly kind: 'message'; readonly message: ServerMessage }
  | { readonly kind: 'transmit'; readonly to: Address; readonly datagram: Uint8Array }
  | { readonly kind: 'probing'; readonly connection: Connection; readonly transaction: string }
  | { readonly kind: 'validated'; readonly connection: Connection; readonly address: Address }
  | { readonly kind: 'rtp'; readonly connection: Connection; readonly packet: Uint8Array }
  | { readonly kind: 'rtcp'; readonly connection: Connection; readonly packet: Uint8Array }
  /** A re-key in place begins: what is sent from now on may have to be sent again. */
  | {
      readonly kind: 'rekey-started';
      readonly connection: Connection;
      /** The browser has the keys that were sent under until now, and every stream could be. */
      readonly served: boolean;
    }
  /** Fresh keys. */
  | { readonly kind: 'keyed'; readonly connection: Connection }
  /** The handshake is complete; how long the browser's last answer to it took. */
  | { readonly kind: 'connected'; readonly connection: Connection; readonly roundTrip: Millis }
  /** No media for this connection any more. */
  | { readonly kind: 'closed'; readonly connection: Connection }
  /** Something that the identity snapshot holds has changed. */
  | { readonly kind: 'changed' }
  /** No connection to the page comes about: the session is over. */
  | { readonly kind: 'unreachable' }
  | { readonly kind: 'event'; readonly event: SessionEvent };

/** SRTP contexts of an earlier process, and the room indices below which nothing may be sent under them. */
export interface StaleContexts {
  readonly contexts: PeerContexts;
  readonly floors: readonly SendFloor[];
}

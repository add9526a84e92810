/**
 * The messages between page and server, JSON over one WebSocket. The page imports this file; the server's parser of messages, with its
 * library, is `messages.ts`.
 *
 *   page                                   server
 *   (upgrade, token in subprotocol) ─────▶ known token: offer at once, welcome{resumed} when the next token is on disk
 *   join ────────────────────────────────▶ welcome, offer          (first visit)
 *   confirm ─────────────────────────────▶                         (after each welcome)
 *   answer ──────────────────────────────▶ keyed                   (each new epoch)
 *   playing ─────────────────────────────▶ close{old connection}   (after a replacement)
 */

/** The WebSocket subprotocol. */
export const SUBPROTOCOL = 'rekeycast.v1';
/** A resume token travels as a second subprotocol with this prefix, never in a URL. */
export const TOKEN_SUBPROTOCOL_PREFIX = 'rekeycast.token.';
/**
 * Beside a resume token, where the page stands: `rekeycast.at.<connection>.<epoch>.<settled|open>`. The connection in use; the epoch of the
 * last offer that the browser was given for it: the next one needs the other digest, since a browser starts a new DTLS association only
 * when the fingerprint changes, and the server may have been killed before it wrote its own idea of it; and whether the DTLS association of that
 * epoch is complete: an `open` one would take a ClientHello that is meant for the next.
 */
const POSITION_SUBPROTOCOL_PREFIX = 'rekeycast.at.';

export interface PagePosition {
  readonly connection: number;
  readonly epoch: number;
  readonly settled: boolean;
}

export const formatPosition = ({ connection, epoch, settled }: PagePosition): string =>
  `${POSITION_SUBPROTOCOL_PREFIX}${connection}.${epoch}.${settled ? 'settled' : 'open'}`;

/** `undefined` where the subprotocol is none of a position. */
export function parsePosition(subprotocol: string): PagePosition | undefined {
  if (!subprotocol.startsWith(POSITION_SUBPROTOCOL_PREFIX)) return undefined;
  const text = subprotocol.slice(POSITION_SUBPROTOCOL_PREFIX.length);
  const match = /^(\d{1,9})\.(\d{1,9})\.(settled|open)$/.exec(text);
  if (match === null) return undefined;
  return { connection: Number(match[1]), epoch: Number(match[2]), settled: match[3] === 'settled' };
}

/** Largest WebSocket message, in bytes. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

export type Role = 'broadcaster' | 'viewer';

/** What the page's browser can do, found by the page. */
export interface Capabilities {
  /** A changed fingerprint and an ICE restart start a new DTLS association on the same RTCPeerConnection. */
  readonly rekeyInPlace: boolean;
}

/**
 * `first`: the first connection of this page. `rekey`: new keys for the same connection, in place. `replacement`: a new connection
 * beside the one in use, which is closed when the page says `playing`.
 */
export type OfferKind = 'first' | 'rekey' | 'replacement';

export type ClientMessage =
  | { readonly type: 'join'; readonly capabilities: Capabilities }
  /** Holds the token of the last `welcome`: the one before it is void from now on. */
  | { readonly type: 'confirm' }
  /** The answer to offer number `offer` of `connection`. */
  | { readonly type: 'answer'; readonly connection: number; readonly offer: number; readonly sdp: string }
  /** The connection shows frames evenly (viewer), or is connected (broadcaster; there the server waits for the first frame). */
  | { readonly type: 'playing'; readonly connection: number }
  /** Nothing arrives or leaves on this connection though it should: asks for a replacement. */
  | { readonly type: 'stalled'; readonly connection: number }
  /** Wants to broadcast. */
  | { readonly type: 'publish' }
  /** Cannot or does not want to broadcast (camera denied, stopped): stays as a viewer. */
  | { readonly type: 'decline'; readonly reason: string }
  | { readonly type: 'leave' };

export type ServerMessage =
  /** `token` is for the next resume (the one used is void as soon as the page has spoken again); `instance` names this run of the server. */
  | {
      readonly type: 'welcome';
      readonly session: string;
      readonly token: string;
      readonly resumed: boolean;
      readonly instance: string;
      readonly role: Role;
    }
  | { readonly type: 'role'; readonly role: Role }
  | {
      readonly type: 'offer';
      readonly connection: number;
      readonly offer: number;
      readonly epoch: number;
      readonly kind: OfferKind;
      readonly role: Role;
      readonly sdp: string;
    }
  /** The server holds the keys of `epoch` and no older ones. */
  | { readonly type: 'keyed'; readonly connection: number; readonly epoch: number }
  /** The page closes this RTCPeerConnection. */
  | { readonly type: 'close'; readonly connection: number }
  | { readonly type: 'room'; readonly viewers: number; readonly onAir: boolean }
  | { readonly type: 'error'; readonly code: SignalingErrorCode; readonly message: string };

export type SignalingErrorCode =
  /** The resume token is unknown, expired or was used before: join anew. */
  | 'TOKEN_UNKNOWN'
  /** The session was opened from another connection. */
  | 'SUPERSEDED'
  /** Somebody else broadcasts. */
  | 'BROADCASTER_PRESENT'
  | 'MESSAGE_INVALID'
  | 'MESSAGE_TOO_LARGE'
  | 'SDP_INVALID'
  | 'RATE_LIMITED'
  | 'ROOM_FULL';

/** WebSocket close codes of ours (RFC 6455 §7.4.2: 4000-4999 are private). After these the page does not come back by itself. */
export const CLOSE_CODE = { superseded: 4001, left: 4002, invalid: 4003 } as const;

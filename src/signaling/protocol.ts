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
 *   demo ────────────────────────────────▶ demo, demo-outcome      (where the server has offered it, behind welcome)
 *   away ────────────────────────────────▶ its connections are closed and its place is kept for a moment
 *   (upgrade, token and no position) ────▶ offer of a first connection, welcome{resumed}
 */

/** The WebSocket subprotocol. */
export const SUBPROTOCOL = 'rekeycast.v1';
/** A resume token travels as a second subprotocol with this prefix, never in a URL. */
export const TOKEN_SUBPROTOCOL_PREFIX = 'rekeycast.token.';
/**
 * Beside a resume token, where the page stands: `rekeycast.at.<connection>.<epoch>.<settled|open>`. The connection in use; the epoch of the
 * last offer that the browser was given for it: the next one needs the other digest, since a browser starts a new DTLS association only
 * when the fingerprint changes, and the server may have been killed before it wrote its own idea of it; and whether the DTLS association of that
 * epoch is complete: an `open` one would take a ClientHello that is meant for the next. A page that has no connection, since it was loaded again,
 * names none.
 */
const POSITION_SUBPROTOCOL_PREFIX = 'rekeycast.at.';

/** Where a page that comes back stands, as it says itself: what it says may cost it its media, and nobody else anything. */
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

/** What lets a page in, where the server asks for it: base64url of its UTF-8. On every connection, beside a resume token too. */
export const ACCESS_SUBPROTOCOL_PREFIX = 'rekeycast.access.';

/** Largest WebSocket message, in bytes. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

/** How the answer to `GET /readyz` begins, beside its 503, where the server drains: it is there, for those whom it has. */
export const DRAINING = 'draining';

/** What a page is in the room: one broadcasts, the others view. */
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

/** What a page says, as JSON. */
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
  /** The browser can do more, or less, than the page has said when it joined: it was tried meanwhile. */
  | { readonly type: 'capabilities'; readonly capabilities: Capabilities }
  /** Is anybody there? Asked where the media says that something is wrong, or the machine has slept. */
  | { readonly type: 'ping' }
  /** The page is going, and may be back in a moment, without its connections: it cannot tell a reload from a close. */
  | { readonly type: 'away' }
  | { readonly type: 'leave' };

/** What the buttons of a demonstration do to the server. */
export const DEMO_ACTIONS = ['kill', 'deploy', 'rotate'] as const;
/** A button of the demonstration: it kills the server, replaces it by another one, or replaces its snapshot keys. */
export type DemoAction = (typeof DEMO_ACTIONS)[number];

/** What has come of one. `words` are for the visitor. */
export interface DemoOutcome {
  readonly done: boolean;
  readonly words: string;
}

/** A button of the demonstration, where the server has offered them. */
interface DemoPress {
  readonly type: 'demo';
  readonly action: DemoAction;
}

/** All that a page may say. */
export type PageMessage = ClientMessage | DemoPress;

/** As `RTCIceServer` has it. */
export interface IceServer {
  readonly urls: readonly string[];
  readonly username: string;
  readonly credential: string;
}

/** What the server says, as JSON. */
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
  /** Relays for the offer that follows: good for its checks, and not for ever. */
  | { readonly type: 'relays'; readonly servers: readonly IceServer[] }
  /** The server holds the keys of `epoch` and no older ones. */
  | { readonly type: 'keyed'; readonly connection: number; readonly epoch: number }
  /** The page closes this RTCPeerConnection. */
  | { readonly type: 'close'; readonly connection: number }
  /**
   * `onAirSeconds`: whole seconds since the present broadcast began, through restarts of the server; 0 when nobody broadcasts. A server of
   * an earlier version does not say it.
   */
  | {
      readonly type: 'room';
      readonly viewers: number;
      readonly onAir: boolean;
      readonly onAirSeconds?: number;
    }
  /** Behind `welcome`, to who may press: the buttons that do something now. None while one of them is under way. */
  | { readonly type: 'demo'; readonly actions: readonly DemoAction[] }
  /** To the same. A server that was killed or replaced says nothing: the next one says `welcome`. */
  | ({ readonly type: 'demo-outcome'; readonly action: DemoAction } & DemoOutcome)
  /** The answer to `ping`. */
  | { readonly type: 'pong' }
  | { readonly type: 'error'; readonly code: SignalingErrorCode; readonly message: string };

export type SignalingErrorCode =
  /** The resume token is unknown, expired or was used before: join anew. */
  | 'TOKEN_UNKNOWN'
  /** The session was opened from another connection. */
  | 'SUPERSEDED'
  /** Somebody else broadcasts. */
  | 'BROADCASTER_PRESENT'
  /** A token is needed to come in (`ACCESS_REQUIRED`), and this one is none (`ACCESS_REFUSED`) or none any more (`ACCESS_EXPIRED`). */
  | 'ACCESS_REQUIRED'
  | 'ACCESS_REFUSED'
  | 'ACCESS_EXPIRED'
  /** Publishing takes another token than the one that this page came with, or one that has not expired. */
  | 'PUBLISH_FORBIDDEN'
  | 'MESSAGE_INVALID'
  | 'MESSAGE_TOO_LARGE'
  | 'SDP_INVALID'
  | 'RATE_LIMITED'
  | 'ROOM_FULL'
  /** The address of this visitor has as many sessions as one may have. */
  | 'TOO_MANY_VISITS'
  /** The server is about to end: it keeps whom it has, and takes nobody new. */
  | 'SHUTTING_DOWN'
  /** No media connection came about, however often it was tried: the session is over. */
  | 'UNREACHABLE';

/** WebSocket close codes of ours (RFC 6455 §7.4.2: 4000-4999 are private). After these the page does not come back by itself. */
export const CLOSE_CODE = {
  superseded: 4001,
  left: 4002,
  invalid: 4003,
  unreachable: 4004,
  locked: 4005,
} as const;

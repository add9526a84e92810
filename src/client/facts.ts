import type { DemoAction, DemoOutcome, Role } from '../signaling/protocol.ts';
import type { Millis } from '../util/clock.ts';
import type { CertificateDigest, CertificateVerdict } from './certificate.ts';
import type { SealState } from './seal.ts';

/**
 * - `connecting`: not taken in yet, or the first connection is not up
 * - `camera`: waiting for the camera
 * - `live`: media moves
 * - `waiting`: nobody broadcasts
 * - `rekeying`: new keys are being agreed on, on the same connection
 * - `interrupted`: the media connection is down, signaling is up
 * - `reconnecting`: signaling is lost; the media may well go on
 * - `locked`: the server does not let the page in without a token, or with this one
 * - `stopped`: the page does not come back by itself
 */
export type PageState =
  | 'connecting'
  | 'camera'
  | 'live'
  | 'waiting'
  | 'rekeying'
  | 'interrupted'
  | 'reconnecting'
  | 'locked'
  | 'stopped';

/** Why this page does not broadcast. */
export type CameraProblem =
  | 'camera-denied'
  | 'camera-missing'
  | 'camera-in-use'
  | 'camera-insecure'
  | 'camera-lost'
  | 'camera-failed';

/** What another token would help against. */
export type AccessProblem = 'token-required' | 'token-refused' | 'token-expired' | 'publish-forbidden';

/** What stands between the visitor and the broadcast, or did until a moment ago. */
export type Problem =
  | CameraProblem
  | 'broadcaster-present'
  | 'room-full'
  | 'too-many-visits'
  | 'shutting-down'
  | AccessProblem
  | 'rate-limited'
  | 'superseded'
  | 'left'
  | 'unreachable'
  | 'refused';

/** What the page shows: in words on its face, and as data attributes of `<main id="app">`. */
export interface Facts {
  readonly role: Role | undefined;
  readonly state: PageState;
  /** Key epoch confirmed by the server. */
  readonly epoch: number | undefined;
  readonly viewers: number;
  readonly onAir: boolean;
  /** When the present broadcast began, on this page's monotonic clock (`performance.now()`); may lie before the page was opened. */
  readonly onAirSince: Millis | undefined;
  /** Restarts of the server during which this page kept its session and its picture. */
  readonly restarts: number;
  /** RTCPeerConnections ever made. */
  readonly connections: number;
  readonly certificate: CertificateVerdict;
  readonly certificateSource: CertificateDigest['source'] | undefined;
  readonly certificateSha256: string;
  /** What the browser itself has seen of the server's identity and of new keys. */
  readonly seal: SealState;
  /** Longest time without a frame (a broadcaster: without a connection) around the last restart. */
  readonly lastGapMs: number | undefined;
  readonly frames: number;
  readonly instance: string;
  readonly problem: Problem | undefined;
  /** The room shows something on this page now. */
  readonly picture: boolean;
  readonly canBroadcast: boolean;
  readonly canStop: boolean;
  /** The visitor is asked for a token. */
  readonly asksForToken: boolean;
  /** The buttons of a demonstration, where the server has offered any. */
  readonly demo: DemoOffer | undefined;
}

/** What a server that demonstrates itself lets this visitor press. */
export interface DemoOffer {
  /** Those that do something now. */
  readonly actions: readonly DemoAction[];
  /** What the server has said of the last one. Of a server that was killed or replaced, the next one's `instance` tells. */
  readonly outcome?: DemoOutcome & { readonly action: DemoAction };
}

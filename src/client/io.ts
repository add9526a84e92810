import type { DemoAction, IceServer, PageMessage, ServerMessage } from '../signaling/protocol.ts';
import type { Millis } from '../util/clock.ts';
import type { CertificateDigest } from './certificate.ts';
import type { ApplyOffer, PeerState } from './connections.ts';
import type { CameraProblem } from './facts.ts';
import type { NetworkPath } from './outages.ts';

/** What happens to the page. */
export type PageInput =
  | { readonly kind: 'start' }
  | { readonly kind: 'probed'; readonly attempt: number; readonly ready: boolean }
  | { readonly kind: 'opened'; readonly attempt: number }
  | { readonly kind: 'received'; readonly attempt: number; readonly message: ServerMessage }
  | { readonly kind: 'closed'; readonly attempt: number; readonly code: number }
  /** The network is back, or the page is looked at again. */
  | { readonly kind: 'wake' }
  | { readonly kind: 'visibility'; readonly hidden: boolean }
  /** The page goes, and does not come back. */
  | { readonly kind: 'leaving' }
  /** The document goes: the tab is closed or loaded again, nobody can tell. */
  | { readonly kind: 'away' }
  | {
      readonly kind: 'answered';
      readonly peer: number;
      readonly offer: number;
      readonly epoch: number;
      readonly sdp: string;
    }
  | { readonly kind: 'answerFailed'; readonly peer: number }
  | { readonly kind: 'peerState'; readonly peer: number; readonly state: PeerState }
  /** The DTLS transport is connected, or no longer. */
  | { readonly kind: 'transport'; readonly peer: number; readonly connected: boolean }
  /** A frame was presented at `at`; `peer` is `undefined` for the broadcaster's own preview. */
  | { readonly kind: 'frame'; readonly peer: number | undefined; readonly at: Millis }
  /** Decoded media was looked for: whether there was any since the last look. */
  | { readonly kind: 'progress'; readonly peer: number; readonly moved: boolean }
  /** `associations`: how often the peer's transport had become connected when its certificate was read. */
  | {
      readonly kind: 'certificate';
      readonly peer: number;
      readonly associations: number;
      readonly digest: CertificateDigest;
    }
  /** How far it is to the server, now and then. */
  | { readonly kind: 'path'; readonly peer: number; readonly path: NetworkPath }
  | { readonly kind: 'cameraReady' }
  | { readonly kind: 'cameraGone'; readonly problem: CameraProblem }
  /** The visitor has a token: it came with the link, or was typed in. */
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'demonstrate'; readonly action: DemoAction }
  /** What `tryRekey` has found out. */
  | { readonly kind: 'tried'; readonly rekeyInPlace: boolean }
  | { readonly kind: 'press'; readonly button: 'broadcast' | 'stop' };

/** What the page wants done. */
export type PageOutput =
  | { readonly kind: 'probe'; readonly attempt: number }
  | { readonly kind: 'openSocket'; readonly attempt: number; readonly protocols: readonly string[] }
  | { readonly kind: 'closeSocket'; readonly attempt: number }
  | { readonly kind: 'send'; readonly message: PageMessage }
  /** For the page that may be loaded in this one's place, and for nobody else. */
  | { readonly kind: 'keepPlace'; readonly token: string }
  /** For connections that are made, and offers that are answered, from now on. */
  | { readonly kind: 'useRelays'; readonly servers: readonly IceServer[] }
  | ApplyOffer
  | { readonly kind: 'show'; readonly peer: number | undefined }
  | { readonly kind: 'closePeer'; readonly peer: number }
  | { readonly kind: 'readCertificate'; readonly peer: number }
  /** Find out, when there is nothing else to do, whether the browser takes new keys in place. */
  | { readonly kind: 'tryRekey' }
  | { readonly kind: 'openCamera' }
  | { readonly kind: 'closeCamera' };

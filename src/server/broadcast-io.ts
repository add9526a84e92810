import type { SessionEvent } from '../session/session-io.ts';
import type { IceServer, Role, ServerMessage } from '../signaling/protocol.ts';
import type { VideoCodec } from '../signaling/sdp.ts';
import type { CertificateRecord, MediaSnapshot } from '../snapshot/schema.ts';
import type { Address } from '../transport/address.ts';
import type { DtlsIdentity } from '../transport/dtls/client.ts';
import type { SrtpProfile } from '../transport/srtp/profile.ts';
import type { Millis, WallMillis } from '../util/clock.ts';
import type { RandomSource } from '../util/rng.ts';
import type { Secret } from '../util/secret.ts';
import type { PageId } from './page-bindings.ts';

/** What a {@link Broadcast} is made with. Times are spans in milliseconds. */
export interface BroadcastOptions {
  readonly certificate: CertificateRecord;
  readonly identity: DtlsIdentity;
  readonly tokenKey: Secret;
  /** Names this run of the server to the pages. */
  readonly instance: string;
  readonly rng: RandomSource;
  readonly candidates: readonly Address[];
  readonly videoCodecs: readonly VideoCodec[];
  readonly srtpProfiles: readonly SrtpProfile[];
  readonly staleKeyTtl: Millis;
  readonly sessionTtl: Millis;
  readonly rekeyInterval: Millis | undefined;
  /** Relays that a page of this session is told with each offer. */
  readonly relaysFor?: ((session: string, wall: WallMillis) => readonly IceServer[]) | undefined;
  /** Wall-clock time minus monotonic time, as of now. */
  readonly wallOffset: number;
  /** More visitors than one process can feed are told that the room is full; as many as it can feed where it is absent. */
  readonly maxSessions?: number;
  /** As many of one owner (see `ownerOf`), however many there may be. */
  readonly maxSessionsPerOwner?: number | undefined;
  /** How long the contexts in a media snapshot may be resumed. */
  readonly mediaTtl: Millis;
  /**
   * Writes a media snapshot before it returns, or gives `false` when there is none on file any more. Absent in strict mode: no context
   * is ever written, and no index is limited.
   */
  readonly persistMedia?: (snapshot: MediaSnapshot) => boolean;
  /**
   * One of several that are one room (`server/workers/`). The one that `leads` has the broadcaster, lets visitors in and relays what it has rewritten;
   * those that `follow` have viewers, and it is their broadcaster. @internal
   */
  readonly place?: 'leads' | 'follows';
  /** Media for all viewers is not among the outputs: whoever drives it asks for it by `sendMedia`, some at a time. @internal */
  readonly holdMedia?: boolean;
}

/** What happened, for a log: `event` names it, and nothing in it is secret. */
export type BroadcastEvent =
  | SessionEvent
  | {
      readonly event: 'session-opened' | 'session-resumed' | 'session-closed';
      readonly session: string;
      readonly role: Role;
    }
  | { readonly event: 'token-refused' }
  | { readonly event: 'certificate-replaced'; readonly sha256: string; readonly before: string }
  | { readonly event: 'protect-failed'; readonly connection: string; readonly reason: string }
  | { readonly event: 'first-media-forwarded' };

/** What a {@link Broadcast} wants done: datagrams sent, pages told, the identity written. */
export type BroadcastOutput =
  | { readonly kind: 'transmit'; readonly to: Address; readonly datagram: Uint8Array }
  /** `afterWrite`: only once the identity snapshot holds what the message promises. */
  | {
      readonly kind: 'message';
      readonly page: PageId;
      readonly message: ServerMessage;
      readonly afterWrite: boolean;
    }
  | { readonly kind: 'disconnect'; readonly page: PageId; readonly code: number; readonly reason: string }
  /** The identity snapshot is out of date. */
  | { readonly kind: 'identity-changed' }
  | { readonly kind: 'event'; readonly event: BroadcastEvent };

/** What one of several engines has to say to the others. */
export type CrewOutput =
  /** Of the engine that leads: a session in another one gives up its place; pages whose sessions are there are told this. */
  | { readonly kind: 'dismiss'; readonly session: string }
  | { readonly kind: 'room'; readonly message: ServerMessage }
  /** Of one that follows: so many watch here; the broadcaster is asked for a keyframe. */
  | { readonly kind: 'viewers'; readonly viewers: number }
  | { readonly kind: 'keyframe-wanted' };

export type BroadcastDropReason = 'unanswerable' | 'unknown kind' | 'unknown peer' | 'media queue full';

import type { RoomState } from '../room/state.ts';
import type { Capabilities, Role } from '../signaling/protocol.ts';
import type { Address } from '../transport/address.ts';
import type { Fingerprint } from '../transport/dtls/fingerprint.ts';
import type { SrtpReceiveState, SrtpSendState } from '../transport/srtp/state.ts';
import type { WallMillis } from '../util/clock.ts';
import type { Secret } from '../util/secret.ts';

/** The DTLS identity of the server. */
export interface CertificateRecord {
  /** X.509, DER. */
  readonly certificate: Uint8Array;
  /** PKCS #8, DER. */
  readonly privateKey: Secret;
  readonly createdAt: WallMillis;
}

/** One visitor, as it lies on durable disk: identity, and nothing that decrypts media. */
export interface SessionRecord {
  /** 8 random bytes; shown as hex. */
  readonly id: Uint8Array;
  /** HMAC-SHA-256 of the resume token under the token key. */
  readonly tokenHash: Uint8Array;
  /** The token handed out last, not yet confirmed by the page; empty where there is none. */
  readonly nextTokenHash: Uint8Array;
  readonly role: Role;
  readonly capabilities: Capabilities;
  readonly lastSeenAt: WallMillis;
  readonly connection: ConnectionRecord | undefined;
  /** Where there is no connection, but was one. */
  readonly former: FormerConnection | undefined;
  /** When it began to broadcast, where it does. */
  readonly onAirSince: WallMillis | undefined;
}

/** What the next connection of a session counts on from. */
export interface FormerConnection {
  readonly number: number;
  readonly epoch: number;
  /** Its page has gone, and may be back in a moment: it is being loaded again. */
  readonly away: boolean;
}

/** The connection in use of a session: enough to answer STUN and to offer new keys. */
export interface ConnectionRecord {
  readonly number: number;
  /** Count of offers made for it: SDP session version and message number. */
  readonly offers: number;
  readonly epoch: number;
  readonly localUfrag: string;
  readonly localPwd: string;
  /** Empty while an ICE restart has not been answered. */
  readonly remoteUfrag: string;
  readonly remoteFingerprint: Fingerprint;
  readonly remoteAddress: Address | undefined;
}

/** What has to survive on disk: who the server is and who its visitors are. Nothing in it decrypts media. Its secrets belong to who holds it. */
export interface IdentitySnapshot {
  readonly certificate: CertificateRecord;
  /** Key of the token hashes, 32 bytes. */
  readonly tokenKey: Secret;
  /** The streams' numbering as of this write; `media.sealed` has the newer one. */
  readonly room: RoomState;
  readonly sessions: readonly SessionRecord[];
}

/** The SRTP contexts of one connection. */
export interface PeerMediaRecord {
  readonly session: Uint8Array;
  readonly connection: number;
  readonly epoch: number;
  readonly remoteAddress: Address;
  readonly send: SrtpSendState;
  readonly receive: SrtpReceiveState;
}

/** What lets media go on in the first instant: for RAM only, sealed, and to be taken once. Its secrets belong to who holds it. */
export interface MediaSnapshot {
  readonly writtenAt: WallMillis;
  /** Past this time the contexts are deleted unread. */
  readonly notAfter: WallMillis;
  readonly room: RoomState;
  readonly peers: readonly PeerMediaRecord[];
}

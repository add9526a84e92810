/**
 * rekeycast as a library: docs/api.md says how to use it, api/rekeycast.d.ts is the list of it. What is not named here is not promised.
 *
 * Nothing in it is global: any number of servers, engines and peers live in one process, each with what it was given.
 */

// A whole server: page, signaling, media, snapshots.
export { type Config, readConfig } from './config.ts';
export { type ErrorCode, RekeycastError } from './errors.ts';
// What survives, and who keeps it.
export { fetchedKeys } from './keyring/fetched-keys.ts';
export type { KeyEntry } from './keyring/files.ts';
export type { KeySource, KeyStore } from './keyring/source.ts';
export { createLog, type Logger } from './log.ts';
// The same without sockets and files.
export { Broadcast } from './server/broadcast.ts';
export type { BroadcastEvent, BroadcastOptions, BroadcastOutput } from './server/broadcast-io.ts';
// The resumable transport, for servers of somebody else's.
export { createCertificate, signingKey } from './server/certificate.ts';
export type { OpenedPage } from './server/page-bindings.ts';
export { type RunningServer, type StartOptions, startServer } from './server/server.ts';
export { openSnapshots, type Snapshots } from './server/snapshots.ts';
export type { StorageOptions } from './server/storage.ts';
export { digestOf, nextEpoch } from './session/rekey.ts';
export { ResumeTokens, type TokenHashes } from './session/tokens.ts';
export type { ClientMessage, PagePosition, Role, ServerMessage } from './signaling/protocol.ts';
export {
  type Answer,
  createOffer,
  type OfferOptions,
  parseAnswer,
  type VideoCodec,
} from './signaling/sdp.ts';
export type {
  CertificateRecord,
  ConnectionRecord,
  IdentitySnapshot,
  MediaSnapshot,
  PeerMediaRecord,
  SessionRecord,
} from './snapshot/schema.ts';
export type { SnapshotStore } from './snapshot/store.ts';
export type { Address } from './transport/address.ts';
export type { DtlsFailure, DtlsIdentity } from './transport/dtls/client.ts';
export { type Fingerprint, fingerprintOf } from './transport/dtls/fingerprint.ts';
export { createIceCredentials, type IceCredentials } from './transport/ice/ice-lite.ts';
export {
  Peer,
  type PeerContexts,
  type PeerIdentity,
  type PeerOptions,
  type PeerOutput,
  type RemoteParameters,
  type SendFloor,
} from './transport/peer.ts';
export type { SrtpProfile } from './transport/srtp/profile.ts';
export { type Millis, monotonicNow, type WallMillis, wallNow } from './util/clock.ts';
export { type RandomSource, secureRandom } from './util/rng.ts';
export { Secret } from './util/secret.ts';

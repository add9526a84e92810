import type { SrtpMasterKey, SrtpProfile } from './profile.ts';

/**
 * What a send context needs to go on in another process. Keys are shared with the live context (not copies): encode, then leave them.
 */
export interface SrtpSendState {
  readonly profile: SrtpProfile;
  readonly master: SrtpMasterKey;
  /** For each SSRC the room index that has SRTP index zero: a multiple of 2^16. */
  readonly streams: readonly { readonly ssrc: number; readonly base: number }[];
  /** No SRTCP index at or above this one has been used. */
  readonly srtcpLimit: number;
}

/** What a receive context needs to go on: floors below which nothing is accepted any more. */
export interface SrtpReceiveState {
  readonly profile: SrtpProfile;
  readonly master: SrtpMasterKey;
  /** For each SSRC the lowest acceptable 48-bit index: nothing at or above it has been accepted. */
  readonly streams: readonly { readonly ssrc: number; readonly limit: number }[];
  /** For each SSRC the lowest acceptable SRTCP index. */
  readonly srtcp: readonly { readonly ssrc: number; readonly limit: number }[];
}

/** How a context has its limits kept ahead of their use. */
export interface SrtpPersistence {
  /** An index is wanted at or above its limit: is expected to capture, write and call `granted` before it returns. */
  readonly reserve?: () => void;
  /** The next capture is another than the last. May be called again and again until there is one. */
  readonly changed?: () => void;
}

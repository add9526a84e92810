import type { Capabilities } from '../signaling/protocol.ts';

/**
 * There is no way to ask a browser whether it starts a new DTLS association when the fingerprint changes. `getRemoteCertificates` is the
 * hint: the WebRTC stack that does (libwebrtc) has brought it to every browser built on it, and the one that stays silent (Firefox) lacks
 * it. Where the hint is wrong, the first failed re-key corrects it for the page's later joins.
 */
export function detectCapabilities(): Capabilities {
  const transport = (globalThis as { RTCDtlsTransport?: { prototype: object } }).RTCDtlsTransport;
  return { rekeyInPlace: transport !== undefined && 'getRemoteCertificates' in transport.prototype };
}

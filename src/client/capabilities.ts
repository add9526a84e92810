import type { Capabilities } from '../signaling/protocol.ts';

/**
 * There is no way to ask a browser whether it starts a new DTLS association when the fingerprint changes. The hint is whether its
 * `RTCDtlsTransport` has an `error` event: the browsers built on libwebrtc, which does start one, have it, and Firefox (seen up to ESR
 * 153), which stays connected and silent, has all of that interface but this. Where the hint is wrong, the first failed re-key corrects
 * it for the page's later joins.
 */
export function detectCapabilities(): Capabilities {
  const transport = (globalThis as { RTCDtlsTransport?: { prototype: object } }).RTCDtlsTransport;
  return { rekeyInPlace: transport !== undefined && 'onerror' in transport.prototype };
}

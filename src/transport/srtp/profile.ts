import type { Secret } from '../../util/secret.ts';

/** DTLS-SRTP protection profiles (RFC 5764 §4.1.2, RFC 7714 §14.2), by their registered names. */
export type SrtpProfile = 'AES_CM_128_HMAC_SHA1_80' | 'AEAD_AES_128_GCM' | 'AEAD_AES_256_GCM';

export interface SrtpProfileParameters {
  /** The value in the use_srtp extension. */
  readonly id: number;
  readonly keyBytes: number;
  readonly saltBytes: number;
  /** Bytes of authentication tag on each packet. */
  readonly tagBytes: number;
}

export const SRTP_PROFILES: Readonly<Record<SrtpProfile, SrtpProfileParameters>> = {
  AES_CM_128_HMAC_SHA1_80: { id: 0x0001, keyBytes: 16, saltBytes: 14, tagBytes: 10 },
  AEAD_AES_128_GCM: { id: 0x0007, keyBytes: 16, saltBytes: 12, tagBytes: 16 },
  AEAD_AES_256_GCM: { id: 0x0008, keyBytes: 32, saltBytes: 12, tagBytes: 16 },
};

export function srtpProfileById(id: number): SrtpProfile | undefined {
  for (const [name, parameters] of Object.entries(SRTP_PROFILES)) {
    if (parameters.id === id) return name as SrtpProfile;
  }
  return undefined;
}

/** A master key and master salt for one direction (RFC 3711 §3.2.1). The holder disposes both. */
export interface SrtpMasterKey {
  readonly key: Secret;
  readonly salt: Secret;
}

export function disposeMasterKey(master: SrtpMasterKey): void {
  master.key.dispose();
  master.salt.dispose();
}

/** What a DTLS handshake yields for SRTP (RFC 5764 §4.2): `local` protects what we send, `remote` what we receive. */
export interface DtlsSrtpKeys {
  readonly profile: SrtpProfile;
  readonly local: SrtpMasterKey;
  readonly remote: SrtpMasterKey;
}

import { createCipheriv } from 'node:crypto';
import { Secret } from '../../util/secret.ts';
import { SRTP_PROFILES, type SrtpMasterKey, type SrtpProfile } from './profile.ts';

/** The keys of one direction, for RTP and for RTCP. The holder disposes each. */
export interface SessionKeys {
  readonly rtp: PacketKeys;
  readonly rtcp: PacketKeys;
}

export interface PacketKeys {
  readonly encryption: Secret;
  /** `undefined` in AEAD profiles, which have no separate authentication key (RFC 7714 §11). */
  readonly authentication: Secret | undefined;
  readonly salt: Secret;
}

/** Key derivation labels (RFC 3711 §4.3.2). */
const LABEL = {
  rtpEncryption: 0x00,
  rtpAuthentication: 0x01,
  rtpSalt: 0x02,
  rtcpEncryption: 0x03,
  rtcpAuthentication: 0x04,
  rtcpSalt: 0x05,
} as const;

/** HMAC-SHA1's key length (RFC 3711 §5.2). */
const AUTHENTICATION_KEY_BYTES = 20;

/** Derives a direction's session keys from its master key (RFC 3711 §4.3, key derivation rate zero). The master key stays the caller's. */
export function deriveSessionKeys(profile: SrtpProfile, master: SrtpMasterKey): SessionKeys {
  const { keyBytes, saltBytes } = SRTP_PROFILES[profile];
  const authenticated = profile === 'AES_CM_128_HMAC_SHA1_80';
  const derive = (label: number, length: number) => derivePart(master, label, length);
  return {
    rtp: {
      encryption: derive(LABEL.rtpEncryption, keyBytes),
      authentication: authenticated ? derive(LABEL.rtpAuthentication, AUTHENTICATION_KEY_BYTES) : undefined,
      salt: derive(LABEL.rtpSalt, saltBytes),
    },
    rtcp: {
      encryption: derive(LABEL.rtcpEncryption, keyBytes),
      authentication: authenticated ? derive(LABEL.rtcpAuthentication, AUTHENTICATION_KEY_BYTES) : undefined,
      salt: derive(LABEL.rtcpSalt, saltBytes),
    },
  };
}

/** The pseudorandom function: AES counter mode keystream, AES-256 where the master key is that long (RFC 3711 §4.3.3, RFC 6188 §3). */
function derivePart(master: SrtpMasterKey, label: number, length: number): Secret {
  // The salt is a secret: an array of this size would lie on the JavaScript heap, where copies of it stay behind.
  const iv = Secret.alloc(16);
  // A 96-bit salt is multiplied by 2^16 to make the 112 bits of RFC 3711 (RFC 7714 §11, erratum 4938).
  iv.bytes.set(master.salt.bytes);
  // RFC 3711 §4.3.1: key_id is the label and a 48-bit index, which is zero at derivation rate zero.
  iv.bytes[7] = iv.bytes[7]! ^ label;
  const algorithm = master.key.length === 32 ? 'aes-256-ctr' : 'aes-128-ctr';
  const cipher = createCipheriv(algorithm, master.key.bytes, iv.bytes);
  const part = Secret.take(cipher.update(new Uint8Array(length)));
  // Makes node:crypto cleanse its copy of the key now, and not when the cipher is collected.
  cipher.final();
  iv.dispose();
  return part;
}

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

const BLOCK_BYTES = 16;
/** HMAC-SHA1's key length (RFC 3711 §5.2). */
const AUTHENTICATION_KEY_BYTES = 20;

/** Derives a direction's session keys from its master key (RFC 3711 §4.3, key derivation rate zero). The master key stays the caller's. */
export function deriveSessionKeys(profile: SrtpProfile, master: SrtpMasterKey): SessionKeys {
  const { keyBytes, saltBytes } = SRTP_PROFILES[profile];
  const authenticationBytes = profile === 'AES_CM_128_HMAC_SHA1_80' ? AUTHENTICATION_KEY_BYTES : 0;
  const parts = deriveParts(master, [
    [LABEL.rtpEncryption, keyBytes],
    [LABEL.rtpAuthentication, authenticationBytes],
    [LABEL.rtpSalt, saltBytes],
    [LABEL.rtcpEncryption, keyBytes],
    [LABEL.rtcpAuthentication, authenticationBytes],
    [LABEL.rtcpSalt, saltBytes],
  ]);
  const packetKeys = ([encryption, authentication, salt]: readonly (Secret | undefined)[]): PacketKeys => ({
    encryption: encryption!,
    authentication,
    salt: salt!,
  });
  return { rtp: packetKeys(parts.slice(0, 3)), rtcp: packetKeys(parts.slice(3)) };
}

/**
 * The pseudorandom function: AES counter mode keystream, AES-256 where the master key is that long (RFC 3711 §4.3.3, RFC 6188 §3). The counters of all
 * parts go through one cipher: to make one takes longer than what it does. `undefined` in the place of a part without bytes.
 */
function deriveParts(
  master: SrtpMasterKey,
  parts: readonly (readonly [label: number, length: number])[],
): readonly (Secret | undefined)[] {
  const spans = parts.map(([, length]) => Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES);
  // The salt is a secret: an array of this size would lie on the JavaScript heap, where copies of it stay behind.
  const counters = Secret.alloc(spans.reduce((sum, span) => sum + span, 0));
  let at = 0;
  for (const [i, [label]] of parts.entries()) {
    for (let block = 0; block < spans[i]! / BLOCK_BYTES; block++, at += BLOCK_BYTES) {
      const counter = counters.bytes.subarray(at, at + BLOCK_BYTES);
      // A 96-bit salt is multiplied by 2^16 to make the 112 bits of RFC 3711 (RFC 7714 §11, erratum 4938).
      counter.set(master.salt.bytes);
      // RFC 3711 §4.3.1: key_id is the label and a 48-bit index, which is zero at derivation rate zero.
      counter[7] = counter[7]! ^ label;
      counter[BLOCK_BYTES - 1] = block;
    }
  }
  const algorithm = master.key.length === 32 ? 'aes-256-ecb' : 'aes-128-ecb';
  const cipher = createCipheriv(algorithm, master.key.bytes, null).setAutoPadding(false);
  const keystream = Secret.take(cipher.update(counters.bytes));
  // Makes node:crypto cleanse its copy of the key now, and not when the cipher is collected.
  cipher.final();
  counters.dispose();
  let from = 0;
  const cut = parts.map(([, length], i) => {
    const part = length === 0 ? undefined : Secret.copy(keystream.bytes.subarray(from, from + length));
    from += spans[i]!;
    return part;
  });
  keystream.dispose();
  return cut;
}

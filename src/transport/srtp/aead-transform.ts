import {
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
} from 'node:crypto';
import { concat } from '../../util/bytes.ts';
import { Secret } from '../../util/secret.ts';
import { SRTP_PROFILES, type SrtpProfile } from './profile.ts';
import type { PacketKeys, SessionKeys } from './session-keys.ts';
import {
  mixInto,
  RTCP_CLEAR_BYTES,
  readSrtcpWord,
  SRTCP_WORD_BYTES,
  type SrtcpTrailer,
  type SrtpTransform,
  ssrcOfRtcp,
  ssrcOfRtp,
  writeSrtcpWord,
} from './transform.ts';

const { tagBytes: TAG_BYTES } = SRTP_PROFILES.AEAD_AES_128_GCM;

/** AES-GCM (RFC 7714). */
export class AeadTransform implements SrtpTransform {
  readonly #rtp: AeadKeys;
  readonly #rtcp: AeadKeys;

  constructor(profile: Exclude<SrtpProfile, 'AES_CM_128_HMAC_SHA1_80'>, keys: SessionKeys) {
    const algorithm = profile === 'AEAD_AES_256_GCM' ? 'aes-256-gcm' : 'aes-128-gcm';
    this.#rtp = new AeadKeys(algorithm, keys.rtp);
    this.#rtcp = new AeadKeys(algorithm, keys.rtcp);
  }

  sealRtp(packet: Uint8Array, headerLength: number, index: number): Uint8Array {
    const iv = this.#rtpIv(packet, index);
    const header = packet.subarray(0, headerLength);
    return this.#rtp.seal(iv, header, header, packet.subarray(headerLength), EMPTY);
  }

  openRtp(datagram: Uint8Array, headerLength: number, index: number): Uint8Array | undefined {
    if (datagram.length < headerLength + TAG_BYTES) return undefined;
    const iv = this.#rtpIv(datagram, index);
    const header = datagram.subarray(0, headerLength);
    return this.#rtp.open(iv, header, header, datagram.subarray(headerLength));
  }

  sealRtcp(packet: Uint8Array, index: number): Uint8Array {
    const iv = this.#rtcpIv(packet, index);
    const header = packet.subarray(0, RTCP_CLEAR_BYTES);
    const word = writeSrtcpWord(index);
    // RFC 7714 §9.2: the E flag and index are authenticated with the header, and follow the tag.
    return this.#rtcp.seal(iv, concat(header, word), header, packet.subarray(RTCP_CLEAR_BYTES), word);
  }

  openRtcp(datagram: Uint8Array): Uint8Array | undefined {
    const trailer = this.readRtcpTrailer(datagram);
    if (trailer === undefined) return undefined;
    const end = datagram.length - SRTCP_WORD_BYTES;
    const iv = this.#rtcpIv(datagram, trailer.index);
    const header = datagram.subarray(0, RTCP_CLEAR_BYTES);
    const associated = concat(header, datagram.subarray(end));
    return this.#rtcp.open(iv, associated, header, datagram.subarray(RTCP_CLEAR_BYTES, end));
  }

  readRtcpTrailer(datagram: Uint8Array): SrtcpTrailer | undefined {
    if (datagram.length < RTCP_CLEAR_BYTES + TAG_BYTES + SRTCP_WORD_BYTES) return undefined;
    return readSrtcpWord(datagram, datagram.length - SRTCP_WORD_BYTES);
  }

  kernelKeys(): undefined {}

  dispose(): void {
    this.#rtp.dispose();
    this.#rtcp.dispose();
  }

  /** RFC 7714 §8.1: two zero bytes, SSRC and the 48-bit index, xor the salt. */
  #rtpIv(packet: Uint8Array, index: number): Uint8Array {
    const iv = this.#rtp.freshIv();
    mixInto(iv, 2, ssrcOfRtp(packet), 4);
    mixInto(iv, 6, index, 6);
    return iv;
  }

  /** RFC 7714 §9.1: two zero bytes, SSRC, two zero bytes and the 31-bit index, xor the salt. */
  #rtcpIv(packet: Uint8Array, index: number): Uint8Array {
    const iv = this.#rtcp.freshIv();
    mixInto(iv, 2, ssrcOfRtcp(packet), 4);
    mixInto(iv, 8, index, 4);
    return iv;
  }
}

const EMPTY = new Uint8Array(0);

class AeadKeys {
  readonly #algorithm: CipherGCMTypes;
  readonly #salt: Secret;
  /** Of one packet after the other: it tells the salt to whoever knows the packet. */
  readonly #iv: Secret;
  #encryption: KeyObject | undefined;

  constructor(algorithm: CipherGCMTypes, keys: PacketKeys) {
    this.#algorithm = algorithm;
    this.#encryption = createSecretKey(keys.encryption.bytes);
    this.#salt = keys.salt;
    this.#iv = Secret.alloc(keys.salt.length);
    keys.encryption.dispose();
    keys.authentication?.dispose();
  }

  /** The salt, to be made the IV of the next packet: valid until it is asked for again. */
  freshIv(): Uint8Array {
    this.#iv.bytes.set(this.#salt.bytes);
    return this.#iv.bytes;
  }

  /** header, ciphertext, tag, trailer. */
  seal(
    iv: Uint8Array,
    associated: Uint8Array,
    header: Uint8Array,
    plaintext: Uint8Array,
    trailer: Uint8Array,
  ): Uint8Array {
    const cipher = createCipheriv(this.#algorithm, this.#encryption!, iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(associated);
    const ciphertext = cipher.update(plaintext);
    cipher.final();
    return concat(header, ciphertext, cipher.getAuthTag(), trailer);
  }

  /** header and plaintext; `sealed` is ciphertext and tag. */
  open(
    iv: Uint8Array,
    associated: Uint8Array,
    header: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined {
    const decipher = createDecipheriv(this.#algorithm, this.#encryption!, iv, { authTagLength: TAG_BYTES });
    decipher.setAAD(associated);
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    const plaintext = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return concat(header, plaintext);
  }

  dispose(): void {
    this.#salt.dispose();
    this.#iv.dispose();
    this.#encryption = undefined;
  }
}

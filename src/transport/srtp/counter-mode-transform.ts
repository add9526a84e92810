import { createCipheriv, createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { concat, equalConstantTime } from '../../util/bytes.ts';
import { Secret } from '../../util/secret.ts';
import type { CryptoKernel, KernelKeys } from './crypto-kernel.ts';
import { SRTP_PROFILES } from './profile.ts';
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

/** The registered profile truncates the SRTCP tag to 80 bits as well (RFC 5764 §4.1.2). */
const { tagBytes: TAG_BYTES } = SRTP_PROFILES.AES_CM_128_HMAC_SHA1_80;

/** AES counter mode with HMAC-SHA1, 80-bit tags (RFC 3711 §4.1.1, §4.2.1). */
export class CounterModeTransform implements SrtpTransform {
  readonly #rtp: CounterModeKeys;
  readonly #rtcp: CounterModeKeys;

  constructor(keys: SessionKeys) {
    this.#rtp = new CounterModeKeys(keys.rtp);
    this.#rtcp = new CounterModeKeys(keys.rtcp);
  }

  sealRtp(packet: Uint8Array, headerLength: number, index: number): Uint8Array {
    const ssrc = ssrcOfRtp(packet);
    const payload = this.#rtp.crypt(packet.subarray(headerLength), ssrc, index);
    const sealed = new Uint8Array(packet.length + TAG_BYTES);
    sealed.set(packet.subarray(0, headerLength));
    sealed.set(payload, headerLength);
    sealed.set(this.#rtp.tag(sealed.subarray(0, packet.length), rolloverCounter(index)), packet.length);
    return sealed;
  }

  openRtp(datagram: Uint8Array, headerLength: number, index: number): Uint8Array | undefined {
    const length = datagram.length - TAG_BYTES;
    if (length < headerLength) return undefined;
    const expected = this.#rtp.tag(datagram.subarray(0, length), rolloverCounter(index));
    if (!equalConstantTime(expected, datagram.subarray(length))) return undefined;
    const ssrc = ssrcOfRtp(datagram);
    const payload = this.#rtp.crypt(datagram.subarray(headerLength, length), ssrc, index);
    return concat(datagram.subarray(0, headerLength), payload);
  }

  sealRtcp(packet: Uint8Array, index: number): Uint8Array {
    const ssrc = ssrcOfRtcp(packet);
    const encrypted = this.#rtcp.crypt(packet.subarray(RTCP_CLEAR_BYTES), ssrc, index);
    const authenticated = concat(packet.subarray(0, RTCP_CLEAR_BYTES), encrypted, writeSrtcpWord(index));
    return concat(authenticated, this.#rtcp.tag(authenticated));
  }

  openRtcp(datagram: Uint8Array): Uint8Array | undefined {
    const trailer = this.readRtcpTrailer(datagram);
    if (trailer === undefined) return undefined;
    const authenticated = datagram.length - TAG_BYTES;
    const expected = this.#rtcp.tag(datagram.subarray(0, authenticated));
    if (!equalConstantTime(expected, datagram.subarray(authenticated))) return undefined;
    const ssrc = ssrcOfRtcp(datagram);
    const encrypted = datagram.subarray(RTCP_CLEAR_BYTES, authenticated - SRTCP_WORD_BYTES);
    return concat(datagram.subarray(0, RTCP_CLEAR_BYTES), this.#rtcp.crypt(encrypted, ssrc, trailer.index));
  }

  readRtcpTrailer(datagram: Uint8Array): SrtcpTrailer | undefined {
    if (datagram.length < RTCP_CLEAR_BYTES + SRTCP_WORD_BYTES + TAG_BYTES) return undefined;
    return readSrtcpWord(datagram, datagram.length - TAG_BYTES - SRTCP_WORD_BYTES);
  }

  kernelKeys(kernel: CryptoKernel): KernelKeys | undefined {
    return this.#rtp.inKernel(kernel);
  }

  dispose(): void {
    this.#rtp.dispose();
    this.#rtcp.dispose();
  }
}

class CounterModeKeys {
  readonly #salt: Secret;
  /** Of one packet after the other: it tells the salt to whoever knows the packet. */
  readonly #iv = Secret.alloc(16);
  #encryption: KeyObject | undefined;
  #authentication: KeyObject | undefined;
  #inKernel: KernelKeys | undefined;

  constructor(keys: PacketKeys) {
    if (keys.authentication === undefined) throw new TypeError('counter mode needs an authentication key');
    this.#encryption = createSecretKey(keys.encryption.bytes);
    this.#authentication = createSecretKey(keys.authentication.bytes);
    this.#salt = keys.salt;
    keys.encryption.dispose();
    keys.authentication.dispose();
  }

  /** Encrypts and decrypts: both add the keystream of (SSRC, index). */
  crypt(bytes: Uint8Array, ssrc: number, index: number): Uint8Array {
    // RFC 3711 §4.1.1: IV = (salt * 2^16) xor (SSRC * 2^64) xor (index * 2^16).
    const iv = this.#iv.bytes;
    iv.set(this.#salt.bytes);
    mixInto(iv, 4, ssrc, 4);
    mixInto(iv, 8, index, 6);
    const cipher = createCipheriv('aes-128-ctr', this.#encryption!, iv);
    const mixed = cipher.update(bytes);
    // Makes node:crypto cleanse its copy of the key now, and not when the cipher is collected.
    cipher.final();
    return mixed;
  }

  tag(message: Uint8Array, suffix?: Uint8Array): Uint8Array {
    const hmac = createHmac('sha1', this.#authentication!).update(message);
    if (suffix !== undefined) hmac.update(suffix);
    return hmac.digest().subarray(0, TAG_BYTES);
  }

  inKernel(kernel: CryptoKernel): KernelKeys | undefined {
    if (this.#inKernel?.kernel === kernel) return this.#inKernel;
    this.#inKernel?.dispose();
    this.#inKernel = kernel.install(this.#encryption!, this.#authentication!, this.#salt.bytes);
    return this.#inKernel;
  }

  dispose(): void {
    this.#inKernel?.dispose();
    this.#inKernel = undefined;
    this.#salt.dispose();
    this.#iv.dispose();
    this.#encryption = undefined;
    this.#authentication = undefined;
  }
}

/** What SRTP authenticates behind the packet (RFC 3711 §4.2). */
function rolloverCounter(index: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, Math.floor(index / 2 ** 16));
  return bytes;
}

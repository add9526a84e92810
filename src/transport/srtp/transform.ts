import { readUint32 } from '../../util/bytes.ts';
import type { CryptoKernel, KernelKeys } from './crypto-kernel.ts';

/**
 * A cryptographic transform (RFC 3711 §4): encrypts and authenticates packets under session keys. It has no memory: which index a packet
 * has, and whether that index may be used or accepted, is the context's business.
 */
export interface SrtpTransform {
  /** Protects an RTP packet whose 48-bit index is `index`. */
  sealRtp(packet: Uint8Array, headerLength: number, index: number): Uint8Array;
  /** `undefined` where the datagram is not authentic under this index. */
  openRtp(datagram: Uint8Array, headerLength: number, index: number): Uint8Array | undefined;
  /** Protects a compound RTCP packet under a 31-bit index. */
  sealRtcp(packet: Uint8Array, index: number): Uint8Array;
  /** `undefined` where the datagram is not authentic under the index that it carries. */
  openRtcp(datagram: Uint8Array): Uint8Array | undefined;
  /** The E flag and SRTCP index of a datagram, not authenticated yet; `undefined` where it is too short. */
  readRtcpTrailer(datagram: Uint8Array): SrtcpTrailer | undefined;
  /** The keys for RTP in a kernel, placed there when they are first asked for; `undefined` in a profile that it has no part in, or where it is full. */
  kernelKeys(kernel: CryptoKernel): KernelKeys | undefined;
  dispose(): void;
}

export interface SrtcpTrailer {
  readonly encrypted: boolean;
  readonly index: number;
}

/** Bytes of an RTCP packet before the first that is encrypted: header and sender SSRC (RFC 3711 §3.4). */
export const RTCP_CLEAR_BYTES = 8;
/** Bytes of the E flag with the SRTCP index. */
export const SRTCP_WORD_BYTES = 4;

/** The SSRC of an RTP packet (RFC 3550 §5.1) and the sender's of an RTCP packet (§6.4.1), both in the clear. */
export const ssrcOfRtp = (packet: Uint8Array): number => readUint32(packet, 8);
export const ssrcOfRtcp = (packet: Uint8Array): number => readUint32(packet, 4);

/** The E flag, always set, and the index (RFC 3711 §3.4). */
export function writeSrtcpWord(index: number): Uint8Array {
  const word = new Uint8Array(SRTCP_WORD_BYTES);
  new DataView(word.buffer).setUint32(0, index + 2 ** 31);
  return word;
}

export function readSrtcpWord(datagram: Uint8Array, at: number): SrtcpTrailer {
  const word = readUint32(datagram, at);
  return { encrypted: word >= 2 ** 31, index: word % 2 ** 31 };
}

/** Adds (xor) an unsigned integer of `size` bytes to an initialization vector. */
export function mixInto(iv: Uint8Array, at: number, value: number, size: number): void {
  for (let i = at + size - 1, rest = value; i >= at; i--) {
    iv[i] = iv[i]! ^ (rest % 256);
    rest = Math.floor(rest / 256);
  }
}

/** What a datagram on the one UDP socket is, by its first byte (RFC 7983 §7, RFC 9443). */
export type DatagramKind = 'stun' | 'dtls' | 'srtp' | 'srtcp';

/** `undefined` where the datagram is none of these and is to be dropped. */
export function classifyDatagram(datagram: Uint8Array): DatagramKind | undefined {
  const first = datagram[0];
  const second = datagram[1];
  if (first === undefined || second === undefined) return undefined;
  if (first <= 3) return 'stun';
  if (first >= 20 && first <= 63) return 'dtls';
  // RTP and RTCP share 128-191; RFC 5761 §4 keeps payload types 64-95 (with the marker bit: 192-223) for RTCP.
  if (first >= 128 && first <= 191) return second >= 192 && second <= 223 ? 'srtcp' : 'srtp';
  return undefined;
}

import { writeRtp } from '../../src/rtp/packet.ts';
import { SRTP_PROFILES, type SrtpMasterKey, type SrtpProfile } from '../../src/transport/srtp/profile.ts';
import { fromHex } from '../../src/util/bytes.ts';
import { Secret } from '../../src/util/secret.ts';
import { seededRandom } from './seeded-rng.ts';

export const ALL_PROFILES = Object.keys(SRTP_PROFILES) as SrtpProfile[];

export const TEST_SSRC = 0xcafebabe;

/** A reproducible master key. Each call makes a new copy, since contexts own their keys. */
export function testMasterKey(profile: SrtpProfile, seed = 1): SrtpMasterKey {
  const rng = seededRandom(seed);
  const { keyBytes, saltBytes } = SRTP_PROFILES[profile];
  return { key: Secret.random(keyBytes, rng), salt: Secret.random(saltBytes, rng) };
}

export const masterKeyOf = (key: string, salt: string): SrtpMasterKey => ({
  key: Secret.take(fromHex(key)),
  salt: Secret.take(fromHex(salt)),
});

/** A copy as a snapshot makes it: keys in their own memory. */
export const copyOf = <State extends { readonly master: SrtpMasterKey }>(state: State): State => ({
  ...state,
  master: { key: Secret.copy(state.master.key.bytes), salt: Secret.copy(state.master.salt.bytes) },
});

/** An RTP packet with the sequence number of `index`. */
export const rtpPacket = (index: number, ssrc = TEST_SSRC, payload = fromHex('abcdef')): Uint8Array =>
  writeRtp({
    marker: false,
    payloadType: 96,
    sequenceNumber: index % 65536,
    timestamp: 3000,
    ssrc,
    payload,
  });

/** A receiver report without blocks. */
export const rtcpPacket = (ssrc = TEST_SSRC): Uint8Array => {
  const packet = fromHex('80c9000100000000');
  new DataView(packet.buffer).setUint32(4, ssrc);
  return packet;
};

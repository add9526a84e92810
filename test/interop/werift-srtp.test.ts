import { describe, expect, it } from 'vitest';
import { RtpHeader, RtpPacket, SrtcpSession, SrtpSession } from 'werift';
import { KernelProtector } from '../../src/transport/srtp/kernel-protector.ts';
import { SRTP_PROFILES, type SrtpProfile } from '../../src/transport/srtp/profile.ts';
import { SrtpReceiveContext } from '../../src/transport/srtp/receive-context.ts';
import { SrtpSendContext } from '../../src/transport/srtp/send-context.ts';
import { concat } from '../../src/util/bytes.ts';
import { flipped } from '../support/flipped.ts';
import { loadKernel } from '../support/kernel.ts';
import { rtcpPacket, rtpPacket, TEST_SSRC, testMasterKey } from '../support/srtp.ts';

/** werift 0.24 has no AES-256-GCM. */
const profiles: SrtpProfile[] = ['AES_CM_128_HMAC_SHA1_80', 'AEAD_AES_128_GCM'];

describe.each(profiles)('werift on %s', (profile) => {
  const config = (seed = 1) => {
    const [key, salt] = [testMasterKey(profile, seed).key.bytes, testMasterKey(profile, seed).salt.bytes].map(
      (bytes) => Buffer.from(bytes),
    );
    return {
      profile: SRTP_PROFILES[profile].id,
      keys: { localMasterKey: key!, localMasterSalt: salt!, remoteMasterKey: key!, remoteMasterSalt: salt! },
    };
  };
  const send = () => SrtpSendContext.create(profile, testMasterKey(profile));
  const receive = () => SrtpReceiveContext.create(profile, testMasterKey(profile));

  it('reads our SRTP across a wrap', () => {
    const [ours, theirs] = [send(), new SrtpSession(config())];
    for (let index = 9 * 65536 + 65533; index < 10 * 65536 + 3; index++) {
      const packet = rtpPacket(index);
      const read = theirs.decrypt(Buffer.from(ours.protectRtp(packet, index)!));
      expect(new Uint8Array(read)).toEqual(packet);
    }
  });

  it('reads what our kernel protects, each receiver its own, across a wrap', async () => {
    const protector = new KernelProtector(await loadKernel());
    const contexts = [1, 2, 3, 4, 5].map((seed) =>
      SrtpSendContext.create(profile, testMasterKey(profile, seed)),
    );
    const theirs = [1, 2, 3, 4, 5].map((seed) => new SrtpSession(config(seed)));
    for (let index = 9 * 65536 + 65533; index < 10 * 65536 + 3; index++) {
      const packet = {
        ssrc: TEST_SSRC,
        index,
        bytes: rtpPacket(index, TEST_SSRC, new Uint8Array(index % 1400)),
      };
      const read: Uint8Array[] = [];
      protector.protect(
        contexts.map((context, receiver) => ({ context, packet, receiver })),
        ({ receiver }, datagram) =>
          read.push(new Uint8Array(theirs[receiver]!.decrypt(Buffer.from(datagram)))),
        (_job, error) => expect.unreachable(String(error)),
      );
      expect(read).toEqual(contexts.map(() => packet.bytes));
    }
  });

  it('does not read our SRTP with a byte changed', () => {
    const datagram = Buffer.from(flipped(send().protectRtp(rtpPacket(1), 1)!, 13));
    expect(() => new SrtpSession(config()).decrypt(datagram)).toThrow();
  });

  it('writes SRTP that we read across a wrap', () => {
    const [ours, theirs] = [receive(), new SrtpSession(config())];
    for (let index = 65533; index < 65536 + 3; index++) {
      const packet = rtpPacket(index);
      const { header, payload } = RtpPacket.deSerialize(Buffer.from(packet));
      const datagram = theirs.encrypt(payload, new RtpHeader(header));
      expect(ours.unprotectRtp(datagram)).toEqual({ packet, index });
    }
  });

  it('reads our SRTCP', () => {
    const [ours, theirs] = [send(), new SrtcpSession(config())];
    for (let n = 0; n < 3; n++) {
      const packet = concat(rtcpPacket(), new Uint8Array(n * 4));
      expect(new Uint8Array(theirs.decrypt(Buffer.from(ours.protectRtcp(packet)!)))).toEqual(packet);
    }
  });

  it('writes SRTCP that we read', () => {
    const [ours, theirs] = [receive(), new SrtcpSession(config())];
    for (let n = 0; n < 3; n++) {
      const packet = concat(rtcpPacket(), new Uint8Array(n * 4));
      expect(ours.unprotectRtcp(theirs.encrypt(Buffer.from(packet)))).toEqual(packet);
    }
  });
});

import { describe, expect, it } from 'vitest';
import { PlainProtector } from '../../../../src/transport/srtp/protector.ts';
import { SrtpReceiveContext } from '../../../../src/transport/srtp/receive-context.ts';
import { SrtpSendContext } from '../../../../src/transport/srtp/send-context.ts';
import { rtpPacket, TEST_SSRC, testMasterKey } from '../../../support/srtp.ts';

const profile = 'AES_CM_128_HMAC_SHA1_80';

function viewers(count: number) {
  return Array.from({ length: count }, (_, seed) => ({
    name: seed,
    context: SrtpSendContext.create(profile, testMasterKey(profile, seed)),
    receive: SrtpReceiveContext.create(profile, testMasterKey(profile, seed)),
    packet: { ssrc: TEST_SSRC, index: 7, bytes: rtpPacket(7) },
  }));
}

const expectNoError = (_job: unknown, error: unknown): never => {
  throw error;
};

describe('PlainProtector', () => {
  it('gives each receiver the packet under its own keys, in order', () => {
    const jobs = viewers(3);
    const got: number[] = [];
    new PlainProtector().protect(
      jobs,
      (job, datagram) => {
        got.push(job.name);
        expect(job.receive.unprotectRtp(datagram)).toEqual({ packet: rtpPacket(7), index: 7 });
      },
      expectNoError,
    );
    expect(got).toEqual([0, 1, 2]);
  });

  it('emits nothing for a packet that cannot be sent under the keys of one receiver', () => {
    const jobs = viewers(2);
    jobs[0]!.context.protectRtp(rtpPacket(65536), 65536);
    const got: number[] = [];
    new PlainProtector().protect(jobs, (job) => got.push(job.name), expectNoError);
    expect(got).toEqual([1]);
  });

  it('hands an error to its own job and goes on with the others', () => {
    const jobs = viewers(3);
    jobs[1]!.context.protectRtp(rtpPacket(7), 7);
    const got: number[] = [];
    const failed: unknown[] = [];
    new PlainProtector().protect(
      jobs,
      (job) => got.push(job.name),
      (job, error) => failed.push([job.name, error]),
    );
    expect(got).toEqual([0, 2]);
    expect(failed).toEqual([[1, expect.objectContaining({ code: 'NONCE_REUSE' })]]);
  });
});

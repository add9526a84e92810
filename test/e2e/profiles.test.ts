import { describe, expect, it } from 'vitest';
import { sharedBrowser, startBroadcast } from '../support/fixture.ts';
import { expectSurvival } from '../support/survival.ts';

const browser = sharedBrowser();

describe('what browsers are offered', { timeout: 300_000 }, () => {
  it.each([
    {
      env: { SRTP_PROFILES: 'AES_CM_128_HMAC_SHA1_80' },
      srtp: 'SRTP_AES128_CM_HMAC_SHA1_80',
      codec: 'video/VP8',
    },
    { env: { SRTP_PROFILES: 'AEAD_AES_128_GCM' }, srtp: 'SRTP_AEAD_AES_128_GCM', codec: 'video/VP8' },
    { env: { SRTP_PROFILES: 'AEAD_AES_256_GCM' }, srtp: 'SRTP_AEAD_AES_256_GCM', codec: 'video/VP8' },
    { env: { VIDEO_CODECS: 'H264' }, srtp: 'SRTP_AES128_CM_HMAC_SHA1_80', codec: 'video/H264' },
  ])('carries $codec under $srtp over kill -9', async ({ env, srtp, codec }) => {
    const running = await startBroadcast({ browser: browser(), record: true, env });
    await expectSurvival(running, () => running.server.restart(500));
    for (const viewer of running.viewers) {
      const all = await viewer.stats();
      const { codecId } = await viewer.stat('inbound-rtp', 'video');
      expect(all.find(({ id }) => id === codecId)?.mimeType).toBe(codec);
      expect((await viewer.stat('transport')).srtpCipher).toBe(srtp);
    }
    expect((await running.nonceReport()).reuses).toEqual([]);
  });
});

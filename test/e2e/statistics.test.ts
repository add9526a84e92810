import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Broadcast } from '../support/broadcast.ts';
import { describeFailures } from '../support/fixture.ts';
import { until } from '../support/wait.ts';

const OBSERVED_PACKETS = 1_000;
/** Loopback loses nothing; a busy test machine may overflow a socket buffer now and then. A server that loses something loses more. */
const MAX_LOST_SHARE = 0.02;
/** What is wrong by a unit, a clock rate or a half of an NTP time is wrong by much more; what is late is the machine's. */
const MAX_JITTER_S = 0.3;
const MAX_RTT_S = 2;
const MIN_BITRATE = 500_000;

let broadcast: Broadcast;
beforeAll(async () => {
  broadcast = await Broadcast.start();
}, 300_000);
afterAll(() => broadcast?.dispose());
describeFailures(() => broadcast);

describe('what Chromium measures of a healthy broadcast', { timeout: 300_000 }, () => {
  it('aims the encoder at more than 500 kbit/s', async () => {
    const target = async (): Promise<number> =>
      Number((await broadcast.broadcaster.stat('outbound-rtp', 'video')).targetBitrate);
    await until('the bitrate is up', async () => (await target()) > MIN_BITRATE);
  });

  it.each(['audio', 'video'] as const)('has no loss to speak of and little jitter in %s', async (kind) => {
    const viewer = broadcast.viewers[0]!;
    const first = await viewer.stat('inbound-rtp', kind);
    const packets = kind === 'video' ? OBSERVED_PACKETS : OBSERVED_PACKETS / 5;
    const last = await until('enough packets came', async () => {
      const now = await viewer.stat('inbound-rtp', kind);
      return Number(now.packetsReceived) - Number(first.packetsReceived) > packets ? now : undefined;
    });
    const received = Number(last.packetsReceived) - Number(first.packetsReceived);
    const lost = Number(last.packetsLost) - Number(first.packetsLost);
    expect(lost).toBeLessThanOrEqual(received * MAX_LOST_SHARE);
    expect(Number(last.jitter)).toBeLessThan(MAX_JITTER_S);
    expect(Number(last.packetsDiscarded ?? 0)).toBeLessThanOrEqual(received * MAX_LOST_SHARE);
  });

  it('tells the broadcaster a round-trip time and no loss through receiver reports', async () => {
    const report = await until('a receiver report came', async () => {
      const remote = await broadcast.broadcaster.stat('remote-inbound-rtp', 'video');
      return Number(remote.roundTripTime) > 0 ? remote : undefined;
    });
    expect(Number(report.roundTripTime)).toBeLessThan(MAX_RTT_S);
    expect(Number(report.fractionLost)).toBeLessThanOrEqual(MAX_LOST_SHARE);
  });

  it('tells the viewer the sender’s clock through sender reports', async () => {
    await until('a sender report came', async () => {
      const remote = await broadcast.viewers[0]!.stat('remote-outbound-rtp', 'video');
      return Number(remote.reportsSent) > 0 && Number(remote.packetsSent) > 0;
    });
  });

  it('does not ask for keyframes again and again', async () => {
    const before = Number((await broadcast.viewers[0]!.stat('inbound-rtp', 'video')).pliCount);
    const from = Date.now();
    await until(
      'five seconds of frames came',
      async () => ((await broadcast.viewers[0]!.frames()).at(-1) ?? 0) > from + 5_000,
    );
    const after = Number((await broadcast.viewers[0]!.stat('inbound-rtp', 'video')).pliCount);
    expect(after - before).toBeLessThanOrEqual(1);
  });
});

import { describe, expect, it } from 'vitest';
import { QualityMeter, type StatsEntry } from '../../../src/client/quality.ts';

const received = (timestamp: number, bytes: number, packets: number, lost: number): StatsEntry[] => [
  { type: 'codec' },
  {
    type: 'inbound-rtp',
    kind: 'video',
    timestamp,
    bytesReceived: bytes,
    packetsReceived: packets,
    packetsLost: lost,
    frameWidth: 1280,
    frameHeight: 720,
    framesPerSecond: 30,
  },
  {
    type: 'inbound-rtp',
    kind: 'audio',
    timestamp,
    bytesReceived: 1_000,
    packetsReceived: 50,
    packetsLost: 0,
  },
];

const sent = (timestamp: number, bytes: number, rest: StatsEntry = {}): StatsEntry[] => [
  { type: 'outbound-rtp', kind: 'video', timestamp, bytesSent: bytes, packetsSent: bytes / 1_000, ...rest },
  { type: 'remote-inbound-rtp', kind: 'video', timestamp, fractionLost: 0.25 },
  { type: 'remote-inbound-rtp', kind: 'audio', timestamp, fractionLost: 0.5 },
];

describe('the quality that a viewer gets', () => {
  it('has a picture at once, and rates from the second look on', () => {
    const meter = new QualityMeter();
    expect(meter.read(received(1_000, 10_000, 100, 0))).toEqual({
      width: 1280,
      height: 720,
      framesPerSecond: 30,
    });
    // 125 kB in a second are 1000 kbit/s; one packet of four was lost.
    const now = meter.read(received(2_000, 135_000, 175, 25));
    expect(now).toMatchObject({ kilobitsPerSecond: 1_000, loss: 0.25 });
  });

  it('counts packets that come late after all as not lost', () => {
    const meter = new QualityMeter();
    meter.read(received(1_000, 10_000, 100, 10));
    expect(meter.read(received(2_000, 20_000, 200, 4)).loss).toBe(0);
  });

  it('does not compare with another connection, nor with what was before a reset', () => {
    const meter = new QualityMeter();
    meter.read(received(1_000, 100_000, 100, 0));
    expect(meter.read(received(2_000, 5_000, 10, 0))).not.toHaveProperty('kilobitsPerSecond');
    meter.reset();
    expect(meter.read(received(3_000, 6_000, 20, 0))).not.toHaveProperty('kilobitsPerSecond');
  });

  it('does not know what is not there', () => {
    const meter = new QualityMeter();
    expect(meter.read([])).toEqual({});
    expect(meter.read([])).toEqual({});
  });

  it('has no loss where nothing was expected', () => {
    const meter = new QualityMeter();
    meter.read(received(1_000, 10_000, 100, 0));
    expect(meter.read(received(2_000, 10_000, 100, 0))).not.toHaveProperty('loss');
  });
});

describe('the quality that a broadcaster sends', () => {
  it('has the loss of the video that the server reports, and what limits it', () => {
    const meter = new QualityMeter();
    meter.read(sent(1_000, 0));
    const now = meter.read(sent(3_000, 250_000, { qualityLimitationReason: 'bandwidth' }));
    expect(now).toEqual({ kilobitsPerSecond: 1_000, loss: 0.25, limitedBy: 'bandwidth' });
  });

  it('is not limited where the browser says none', () => {
    const meter = new QualityMeter();
    expect(meter.read(sent(1_000, 0, { qualityLimitationReason: 'none' }))).not.toHaveProperty('limitedBy');
  });
});

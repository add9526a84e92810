import { describe, expect, it } from 'vitest';
import { SrtpReceiveContext } from '../../../../src/transport/srtp/receive-context.ts';
import { SEND_WINDOW_PACKETS, SrtpSendContext } from '../../../../src/transport/srtp/send-context.ts';
import type { SrtpSendState } from '../../../../src/transport/srtp/state.ts';
import {
  ALL_PROFILES,
  copyOf,
  rtcpPacket,
  rtpPacket,
  TEST_SSRC,
  testMasterKey,
} from '../../../support/srtp.ts';

const profile = 'AEAD_AES_128_GCM';
const reuse = expect.objectContaining({ code: 'NONCE_REUSE' });

const sender = (reserve = () => {}) => SrtpSendContext.create(profile, testMasterKey(profile), { reserve });
const receiver = () => SrtpReceiveContext.create(profile, testMasterKey(profile));
const send = (context: SrtpSendContext, index: number) => context.protectRtp(rtpPacket(index), index);

/** The SRTCP index in a protected packet. */
const srtcpIndex = (datagram: Uint8Array | undefined) =>
  datagram && Buffer.from(datagram).readUInt32BE(datagram.length - 4) - 2 ** 31;

describe('the base of a stream', () => {
  it('starts a receiver at rollover counter zero, whatever the room index, and wraps to one', () => {
    const start = 5 * 65536 + 65530;
    const [context, receive] = [sender(), receiver()];
    const indices = [];
    for (let i = 0; i < 12; i++) indices.push(receive.unprotectRtp(send(context, start + i)!)?.index);
    expect(indices).toEqual([...Array(12).keys()].map((i) => 65530 + i));
  });

  it('is kept for each SSRC', () => {
    const context = sender();
    send(context, 65536 + 1);
    context.protectRtp(rtpPacket(3 * 65536, 7), 3 * 65536);
    expect(context.capture().streams).toEqual([
      { ssrc: TEST_SSRC, base: 65536 },
      { ssrc: 7, base: 3 * 65536 },
    ]);
  });

  it('drops and counts what lies below it, and sends the base itself', () => {
    const context = sender();
    send(context, 65536 + 1);
    expect(send(context, 65535)).toBeUndefined();
    expect(context.drops.get('belowBase')).toBe(1);
    expect(send(context, 65536)).toBeDefined();
  });
});

describe('the same nonce', () => {
  it('is refused for an index that was protected before', () => {
    const context = sender();
    send(context, 100);
    expect(() => send(context, 100)).toThrowError(reuse);
  });

  it('is not the same for another SSRC', () => {
    const context = sender();
    send(context, 100);
    expect(context.protectRtp(rtpPacket(100, 7), 100)).toBeDefined();
  });

  it('lets a late packet through once', () => {
    const context = sender();
    send(context, 100);
    expect(send(context, 98)).toBeDefined();
    expect(() => send(context, 98)).toThrowError(reuse);
  });

  it('is assumed where the packet is too old to know', () => {
    const context = sender();
    send(context, SEND_WINDOW_PACKETS);
    expect(send(context, 1)).toBeDefined();
    expect(() => send(context, 0)).toThrowError(reuse);
  });

  it('cannot arise from an index that is not of the packet', () => {
    expect(() => sender().protectRtp(rtpPacket(100), 101)).toThrowError(RangeError);
    expect(() => sender().protectRtp(new Uint8Array(8), 0)).toThrowError(RangeError);
  });

  it('never occurs in SRTCP: indices count up from zero', () => {
    const context = sender();
    const indices = [1, 2, 3].map((ssrc) => srtcpIndex(context.protectRtcp(rtcpPacket(ssrc))));
    expect(indices).toEqual([0, 1, 2]);
  });
});

describe('the end of the indices', () => {
  it('comes for SRTP at 2^48 packets', () => {
    const context = sender();
    send(context, 0);
    expect(send(context, 2 ** 48 - 1)).toBeDefined();
    expect(send(context, 2 ** 48)).toBeUndefined();
    expect(context.drops.get('exhausted')).toBe(1);
  });

  it('comes for SRTCP at 2^31 packets', () => {
    const state: SrtpSendState = {
      profile,
      master: testMasterKey(profile),
      streams: [],
      srtcpLimit: 2 ** 31 - 1,
    };
    const context = SrtpSendContext.restore(state);
    expect(srtcpIndex(context.protectRtcp(rtcpPacket()))).toBe(2 ** 31 - 1);
    expect(context.protectRtcp(rtcpPacket())).toBeUndefined();
    expect(context.drops.get('exhausted')).toBe(1);
  });
});

describe('the SRTCP limit', () => {
  it('does not exist for a context that is never captured', () => {
    const context = sender(() => expect.fail('nothing to reserve'));
    for (let i = 0; i < 1000; i++) expect(context.protectRtcp(rtcpPacket())).toBeDefined();
  });

  it('stops packets until a snapshot is written', () => {
    const context = sender();
    context.granted(context.capture(3));
    for (let i = 0; i < 3; i++) expect(context.protectRtcp(rtcpPacket())).toBeDefined();
    expect(context.protectRtcp(rtcpPacket())).toBeUndefined();
    expect(context.drops.get('aboveLimit')).toBe(1);
    const state = context.capture(3);
    expect(context.protectRtcp(rtcpPacket())).toBeUndefined();
    context.granted(state);
    expect(srtcpIndex(context.protectRtcp(rtcpPacket()))).toBe(3);
  });

  it('asks for a reservation right before it would be passed', () => {
    let writes = 0;
    const context: SrtpSendContext = sender(() => {
      writes++;
      context.granted(context.capture(2));
    });
    context.granted(context.capture(2));
    for (let i = 0; i < 2; i++) context.protectRtcp(rtcpPacket());
    expect(writes).toBe(0);
    expect(srtcpIndex(context.protectRtcp(rtcpPacket()))).toBe(2);
    expect(writes).toBe(1);
  });
});

describe.each(ALL_PROFILES)('a resumed send context for %s', (name) => {
  const create = () => SrtpSendContext.create(name, testMasterKey(name));

  it('continues each stream with its base, so that the receiver reads on', () => {
    const receive = SrtpReceiveContext.create(name, testMasterKey(name));
    const before = create();
    const start = 2 * 65536 + 65534;
    receive.unprotectRtp(before.protectRtp(rtpPacket(start), start)!);
    const after = SrtpSendContext.restore(copyOf(before.capture()), undefined, [
      { ssrc: TEST_SSRC, limit: start + 1 },
    ]);
    before.dispose();
    const next = start + 100;
    const read = receive.unprotectRtp(after.protectRtp(rtpPacket(next), next)!);
    expect(read).toEqual({ packet: rtpPacket(next), index: 65534 + 100 });
  });

  it('refuses a stream whose base it does not know', () => {
    const after = SrtpSendContext.restore(copyOf(create().capture()));
    expect(after.protectRtp(rtpPacket(1), 1)).toBeUndefined();
    expect(after.drops.get('unknownStream')).toBe(1);
  });

  it('sends nothing below the floor of its room, and the floor itself', () => {
    const before = create();
    before.protectRtp(rtpPacket(100), 100);
    const after = SrtpSendContext.restore(copyOf(before.capture()), undefined, [
      { ssrc: TEST_SSRC, limit: 150 },
    ]);
    expect(after.protectRtp(rtpPacket(155), 155)).toBeDefined();
    expect(after.protectRtp(rtpPacket(149), 149)).toBeUndefined();
    expect(after.drops.get('belowFloor')).toBe(1);
    expect(after.protectRtp(rtpPacket(150), 150)).toBeDefined();
  });

  it('sends nothing of a stream that the room has no limit for', () => {
    const before = create();
    before.protectRtp(rtpPacket(100), 100);
    const after = SrtpSendContext.restore(copyOf(before.capture()), undefined, [
      { ssrc: TEST_SSRC + 1, limit: 150 },
    ]);
    expect(after.protectRtp(rtpPacket(155), 155)).toBeUndefined();
    expect(after.drops.get('unknownStream')).toBe(1);
  });
});

describe('a disposed send context', () => {
  it('has wiped its master key and protects nothing', () => {
    const master = testMasterKey(profile);
    const context = SrtpSendContext.create(profile, master);
    const view = master.key.bytes;
    context.dispose();
    expect(view.every((byte) => byte === 0)).toBe(true);
    expect(master.salt.disposed).toBe(true);
    const disposed = expect.objectContaining({ code: 'SECRET_DISPOSED' });
    expect(() => send(context, 1)).toThrowError(disposed);
    expect(() => context.protectRtcp(rtcpPacket())).toThrowError(disposed);
    expect(() => context.capture()).toThrowError(disposed);
  });

  it('spends no index where what it asks throws', () => {
    let fault = true;
    const context: SrtpSendContext = sender(() => {
      if (fault) throw new Error('the store is gone');
      context.granted(context.capture(2));
    });
    context.granted(context.capture(1));
    expect(srtcpIndex(context.protectRtcp(rtcpPacket()))).toBe(0);
    for (let i = 0; i < 2; i++) expect(() => context.protectRtcp(rtcpPacket())).toThrow('the store is gone');
    fault = false;
    expect(srtcpIndex(context.protectRtcp(rtcpPacket()))).toBe(1);
  });
});

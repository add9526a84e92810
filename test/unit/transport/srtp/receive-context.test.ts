import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MAX_STREAMS,
  REPLAY_WINDOW_PACKETS,
  SrtpReceiveContext,
} from '../../../../src/transport/srtp/receive-context.ts';
import { SrtpSendContext } from '../../../../src/transport/srtp/send-context.ts';
import type { SrtpReceiveState } from '../../../../src/transport/srtp/state.ts';
import { concat, fromHex, toHex } from '../../../../src/util/bytes.ts';
import { flipped } from '../../../support/flipped.ts';
import { seededNumbers } from '../../../support/seeded-rng.ts';
import {
  ALL_PROFILES,
  copyOf,
  rtcpPacket,
  rtpPacket,
  TEST_SSRC,
  testMasterKey,
} from '../../../support/srtp.ts';

fc.configureGlobal({ seed: 3711 });

const profile = 'AES_CM_128_HMAC_SHA1_80';
const sender = () => SrtpSendContext.create(profile, testMasterKey(profile));
const receiver = (reserve = () => {}) =>
  SrtpReceiveContext.create(profile, testMasterKey(profile), { reserve });
const sealed = (peer: SrtpSendContext, index: number, ssrc = TEST_SSRC) =>
  peer.protectRtp(rtpPacket(index, ssrc), index)!;
/** Captures, pretends to write and grants. Returns what was written. */
const persist = (context: SrtpReceiveContext, reserve?: { rtp: number; rtcp: number }): SrtpReceiveState => {
  const state = context.capture(reserve);
  context.granted(state);
  return copyOf(state);
};

describe.each(ALL_PROFILES)('%s', (name) => {
  const pair = () => ({
    send: SrtpSendContext.create(name, testMasterKey(name)),
    receive: SrtpReceiveContext.create(name, testMasterKey(name)),
  });

  it('reads back any RTP packet that the other side protects', () => {
    const header = fc.constantFrom(
      '80e00000000000005501a0b2',
      '82e00000000000005501a0b20000000100000002',
      '90e00000000000005501a0b2bede000110aa0000',
    );
    fc.assert(
      fc.property(
        header,
        fc.uint8Array({ maxLength: 100 }),
        fc.integer({ min: 0, max: 65535 }),
        (start, payload, index) => {
          const { send, receive } = pair();
          const packet = concat(fromHex(start), payload);
          new DataView(packet.buffer).setUint16(2, index);
          const datagram = send.protectRtp(packet, index)!;
          expect(receive.unprotectRtp(datagram)).toEqual({ packet, index });
        },
      ),
      { numRuns: 50 },
    );
  });

  it('reads back any RTCP packet that the other side protects', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (body) => {
        const { send, receive } = pair();
        const packet = concat(rtcpPacket(), body);
        expect(receive.unprotectRtcp(send.protectRtcp(packet)!)).toEqual(packet);
      }),
      { numRuns: 50 },
    );
  });

  it('leaves the datagram as it is, a Buffer too, and keeps no view of it', () => {
    const { send, receive } = pair();
    const [rtp, rtcp] = [send.protectRtp(rtpPacket(1), 1)!, send.protectRtcp(rtcpPacket())!];
    const [rtpBuffer, rtcpBuffer] = [Buffer.from(rtp), Buffer.from(rtcp)];
    const read = [receive.unprotectRtp(rtpBuffer)!.packet, receive.unprotectRtcp(rtcpBuffer)!];
    expect([new Uint8Array(rtpBuffer), new Uint8Array(rtcpBuffer)]).toEqual([rtp, rtcp]);
    rtpBuffer.fill(0);
    rtcpBuffer.fill(0);
    expect(read).toEqual([rtpPacket(1), rtcpPacket()]);
  });

  it('hides the payload', () => {
    const { send } = pair();
    const secret = fromHex('0123456789abcdef0123456789abcdef');
    const datagram = send.protectRtp(rtpPacket(1, TEST_SSRC, secret), 1)!;
    expect(toHex(datagram).includes('01234567')).toBe(false);
  });

  it('drops a packet with any one bit of any byte changed, and changes no state for it', () => {
    const { send, receive } = pair();
    const [rtp, rtcp] = [send.protectRtp(rtpPacket(300), 300)!, send.protectRtcp(rtcpPacket())!];
    const random = seededNumbers(1);
    const bit = () => 1 << Math.floor(random() * 8);
    for (let at = 0; at < rtp.length; at++)
      expect(receive.unprotectRtp(flipped(rtp, at, bit())), `byte ${at}`).toBeUndefined();
    for (let at = 0; at < rtcp.length; at++)
      expect(receive.unprotectRtcp(flipped(rtcp, at, bit())), `byte ${at}`).toBeUndefined();
    expect(receive.drops.total).toBe(rtp.length + rtcp.length);
    expect(receive.unprotectRtp(rtp)).toBeDefined();
    expect(receive.unprotectRtcp(rtcp)).toBeDefined();
    const { streams, srtcp } = receive.capture();
    expect([...streams, ...srtcp].map(({ ssrc }) => ssrc)).toEqual([TEST_SSRC, TEST_SSRC]);
  });

  it('drops what was protected under other keys', () => {
    const { receive } = pair();
    const other = SrtpSendContext.create(name, testMasterKey(name, 2));
    expect(receive.unprotectRtp(other.protectRtp(rtpPacket(1), 1)!)).toBeUndefined();
    expect(receive.unprotectRtcp(other.protectRtcp(rtcpPacket())!)).toBeUndefined();
    expect(receive.drops.get('unauthenticated')).toBe(2);
  });

  it('drops stubs of every length, and garbage, without throwing', () => {
    const { send, receive } = pair();
    const [rtp, rtcp] = [send.protectRtp(rtpPacket(1), 1)!, send.protectRtcp(rtcpPacket())!];
    for (let length = 0; length < rtp.length; length++)
      expect(receive.unprotectRtp(rtp.subarray(0, length))).toBeUndefined();
    for (let length = 0; length < rtcp.length; length++)
      expect(receive.unprotectRtcp(rtcp.subarray(0, length))).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(receive.unprotectRtp(bytes)).toBeUndefined();
        expect(receive.unprotectRtcp(bytes)).toBeUndefined();
      }),
      { numRuns: 50 },
    );
  });

  it('goes on behind its limits when it is resumed, and drops what came before', () => {
    const { send, receive } = pair();
    const old = [65533, 65534, 65535].map((index) => send.protectRtp(rtpPacket(index), index)!);
    for (const datagram of old) expect(receive.unprotectRtp(datagram)).toBeDefined();
    const oldRtcp = send.protectRtcp(rtcpPacket())!;
    expect(receive.unprotectRtcp(oldRtcp)).toBeDefined();
    const state = persist(receive, { rtp: 10, rtcp: 4 });
    receive.dispose();

    const resumed = SrtpReceiveContext.restore(state);
    for (const datagram of old) expect(resumed.unprotectRtp(datagram)).toBeUndefined();
    expect(resumed.unprotectRtcp(oldRtcp)).toBeUndefined();
    expect(resumed.drops.get('belowFloor')).toBe(4);
    const floor = state.streams[0]!.limit;
    expect(floor).toBe(65536 + 10);
    expect(resumed.unprotectRtp(send.protectRtp(rtpPacket(floor - 1), floor - 1)!)).toBeUndefined();
    expect(resumed.unprotectRtp(send.protectRtp(rtpPacket(floor), floor)!)?.index).toBe(floor);
  });
});

describe('index estimation', () => {
  it('follows the rollover counter through loss and reordering across many wraps', () => {
    const random = seededNumbers(7);
    const [peer, receive] = [sender(), receiver()];
    const held: { index: number; datagram: Uint8Array }[] = [];
    let accepted = 0;
    for (let index = 65000; index < 3 * 65536 + 500; index += 1 + Math.floor(random() ** 3 * 500)) {
      held.push({ index, datagram: sealed(peer, index) });
      if (held.length < 4 && random() < 0.5) continue;
      const [packet] = held.splice(Math.floor(random() * held.length), 1);
      if (random() < 0.2) continue;
      const read = receive.unprotectRtp(packet!.datagram);
      if (read === undefined) continue;
      expect(read.index).toBe(packet!.index);
      accepted++;
    }
    expect(accepted).toBeGreaterThan(500);
    expect(receive.drops.get('unauthenticated')).toBe(0);
  });

  it('takes a late packet from before a wrap for what it is', () => {
    const [peer, receive] = [sender(), receiver()];
    const datagrams = [65534, 65535, 65536, 65537].map((index) => sealed(peer, index));
    const order = [0, 2, 3, 1];
    expect(order.map((n) => receive.unprotectRtp(datagrams[n]!)?.index)).toEqual([
      65534, 65536, 65537, 65535,
    ]);
  });

  it('finds a stream whose packets before the first wrap were all lost', () => {
    const [peer, receive] = [sender(), receiver()];
    sealed(peer, 65535);
    expect(receive.unprotectRtp(sealed(peer, 65537))?.index).toBe(65537);
    expect(receive.unprotectRtp(sealed(peer, 65536))?.index).toBe(65536);
  });

  it('cannot follow a jump of more than 2^15', () => {
    const [peer, receive] = [sender(), receiver()];
    receive.unprotectRtp(sealed(peer, 40_000));
    expect(receive.unprotectRtp(sealed(peer, 40_000 + 2 ** 15 + 1))).toBeUndefined();
    expect(receive.drops.total).toBe(1);
  });

  it('knows no index below zero', () => {
    const [peer, receive] = [sender(), receiver()];
    receive.unprotectRtp(sealed(peer, 5));
    expect(receive.unprotectRtp(sealed(peer, 65535))?.index).toBe(65535);
  });

  it('keeps each SSRC apart', () => {
    const [peer, receive] = [sender(), receiver()];
    receive.unprotectRtp(sealed(peer, 65535, 1));
    expect(receive.unprotectRtp(sealed(peer, 65536, 1))?.index).toBe(65536);
    expect(receive.unprotectRtp(sealed(peer, 0, 2))?.index).toBe(0);
  });
});

describe('replays', () => {
  it('are dropped, and the packets around them are not', () => {
    const [peer, receive] = [sender(), receiver()];
    const datagrams = [10, 11, 12].map((index) => sealed(peer, index));
    expect(receive.unprotectRtp(datagrams[0]!)).toBeDefined();
    expect(receive.unprotectRtp(datagrams[2]!)).toBeDefined();
    expect(receive.unprotectRtp(datagrams[0]!)).toBeUndefined();
    expect(receive.unprotectRtp(datagrams[1]!)).toBeDefined();
    expect(receive.unprotectRtp(datagrams[1]!)).toBeUndefined();
    expect(receive.drops.toJSON()).toEqual({ replayed: 2 });
  });

  it('are assumed below the window', () => {
    const [peer, receive] = [sender(), receiver()];
    const [tooOld, justNot] = [sealed(peer, 100), sealed(peer, 101)];
    receive.unprotectRtp(sealed(peer, 100 + REPLAY_WINDOW_PACKETS));
    expect(receive.unprotectRtp(tooOld)).toBeUndefined();
    expect(receive.unprotectRtp(justNot)).toBeDefined();
  });

  it('are dropped for SRTCP too', () => {
    const [peer, receive] = [sender(), receiver()];
    const [first, second] = [peer.protectRtcp(rtcpPacket())!, peer.protectRtcp(rtcpPacket())!];
    expect(receive.unprotectRtcp(second)).toBeDefined();
    expect(receive.unprotectRtcp(first)).toBeDefined();
    expect(receive.unprotectRtcp(first)).toBeUndefined();
    expect(receive.unprotectRtcp(second)).toBeUndefined();
    expect(receive.drops.toJSON()).toEqual({ replayed: 2 });
  });

  it('do not move the window when they are forged', () => {
    const [peer, receive] = [sender(), receiver()];
    receive.unprotectRtp(sealed(peer, 10));
    expect(receive.unprotectRtp(flipped(sealed(sender(), 20_000)))).toBeUndefined();
    expect(receive.unprotectRtp(sealed(peer, 11))).toBeDefined();
  });
});

describe('SRTCP that is not encrypted', () => {
  // RFC 7714 §17.3: a packet that is only tagged, under session keys; the E flag stands in clear.
  it('is dropped by its E flag', () => {
    const receive = SrtpReceiveContext.create('AEAD_AES_128_GCM', testMasterKey('AEAD_AES_128_GCM'));
    const tagged = fromHex(
      '81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef' +
        '841dd9683dd78ec92ae58790125f62b3000005d4',
    );
    expect(receive.unprotectRtcp(tagged)).toBeUndefined();
    expect(receive.drops.get('unencrypted')).toBe(1);
  });
});

describe('the number of streams', () => {
  it('is bounded for RTP and RTCP each', () => {
    const [peer, receive] = [sender(), receiver()];
    for (let ssrc = 1; ssrc <= MAX_STREAMS; ssrc++) {
      expect(receive.unprotectRtp(sealed(peer, 5, ssrc))).toBeDefined();
      expect(receive.unprotectRtcp(peer.protectRtcp(rtcpPacket(ssrc))!)).toBeDefined();
    }
    expect(receive.unprotectRtp(sealed(peer, 5, 100))).toBeUndefined();
    expect(receive.unprotectRtcp(peer.protectRtcp(rtcpPacket(100))!)).toBeUndefined();
    expect(receive.drops.get('tooManyStreams')).toBe(2);
    expect(receive.unprotectRtp(sealed(peer, 6, 1))).toBeDefined();
  });

  it('does not grow by forged packets', () => {
    const [peer, receive] = [SrtpSendContext.create(profile, testMasterKey(profile, 9)), receiver()];
    for (let ssrc = 1; ssrc <= 2 * MAX_STREAMS; ssrc++) receive.unprotectRtp(sealed(peer, 5, ssrc));
    expect(receive.drops.toJSON()).toEqual({ unauthenticated: 2 * MAX_STREAMS });
    expect(receive.capture().streams).toEqual([]);
  });
});

describe('the limits', () => {
  it('do not exist for a context that is never captured', () => {
    const [peer, receive] = [sender(), receiver(() => expect.fail('nothing to reserve'))];
    for (let index = 0; index < 200; index++) expect(receive.unprotectRtp(sealed(peer, index))).toBeDefined();
  });

  it('are asked for before a packet beyond them is accepted, and the packet is not lost', () => {
    const peer = sender();
    let writes = 0;
    const receive: SrtpReceiveContext = receiver(() => {
      writes++;
      persist(receive);
    });
    receive.unprotectRtp(sealed(peer, 100));
    const { limit } = persist(receive, { rtp: 5, rtcp: 1 }).streams[0]!;
    expect(receive.unprotectRtp(sealed(peer, limit - 1))).toBeDefined();
    expect(writes).toBe(0);
    expect(receive.unprotectRtp(sealed(peer, limit))).toBeDefined();
    expect(writes).toBe(1);
  });

  it('drop a packet where no write raises them, and the next capture reserves for it', () => {
    const [peer, receive] = [sender(), receiver()];
    receive.unprotectRtp(sealed(peer, 100));
    persist(receive, { rtp: 5, rtcp: 1 });
    const early = sealed(peer, 120);
    expect(receive.unprotectRtp(early)).toBeUndefined();
    expect(receive.drops.toJSON()).toEqual({ aboveLimit: 1 });
    expect(persist(receive, { rtp: 5, rtcp: 1 }).streams[0]!.limit).toBeGreaterThan(120);
    expect(receive.unprotectRtp(early)).toBeDefined();
  });

  it('are not passed where what is asked for them throws, and the packet counts as not received', () => {
    const peer = sender();
    let fault = true;
    const receive: SrtpReceiveContext = receiver(() => {
      if (fault) throw new Error('the store is gone');
      persist(receive);
    });
    receive.unprotectRtp(sealed(peer, 100));
    const { limit } = persist(receive, { rtp: 5, rtcp: 1 }).streams[0]!;
    const beyond = sealed(peer, limit);
    for (let i = 0; i < 2; i++) expect(() => receive.unprotectRtp(beyond)).toThrow('the store is gone');
    fault = false;
    expect(receive.unprotectRtp(beyond)).toBeDefined();
    expect(receive.unprotectRtp(beyond)).toBeUndefined();
  });

  it('cover an RTP stream that begins after the first capture', () => {
    const peer = sender();
    const written: SrtpReceiveState[] = [];
    const receive: SrtpReceiveContext = receiver(() => written.push(persist(receive)));
    persist(receive);
    const first = sealed(peer, 30_000);
    expect(receive.unprotectRtp(first)).toBeDefined();
    expect(written).toHaveLength(1);
    const resumed = SrtpReceiveContext.restore(written[0]!);
    expect(resumed.unprotectRtp(first)).toBeUndefined();
    expect(resumed.drops.get('belowFloor')).toBe(1);
  });

  it('let a resumed context accept an RTP stream that no snapshot knew', () => {
    const [peer, receive] = [sender(), receiver()];
    const resumed = SrtpReceiveContext.restore(persist(receive));
    expect(resumed.unprotectRtp(sealed(peer, 30_000))).toBeDefined();
  });

  it('need no write for RTCP of a new SSRC, which a resumed context refuses instead', () => {
    const [peer, receive] = [sender(), receiver(() => expect.fail('nothing to reserve'))];
    const state = persist(receive);
    const datagram = peer.protectRtcp(rtcpPacket())!;
    expect(receive.unprotectRtcp(datagram)).toBeDefined();
    const resumed = SrtpReceiveContext.restore(state);
    expect(resumed.unprotectRtcp(datagram)).toBeUndefined();
    expect(resumed.drops.get('unknownStream')).toBe(1);
  });

  it('reach further for a stream that moves fast', () => {
    const [peer, receive] = [sender(), receiver()];
    for (let index = 0; index < 100; index++) receive.unprotectRtp(sealed(peer, index));
    for (let n = 0; n < 20; n++) receive.unprotectRtcp(peer.protectRtcp(rtcpPacket())!);
    const state = persist(receive);
    expect(state.streams[0]!.limit).toBe(225);
    expect(state.srtcp[0]!.limit).toBe(45);
  });

  it('stay near a stream that begins anywhere or jumps far, so that a resume skips little', () => {
    const [peer, receive] = [sender(), receiver()];
    receive.unprotectRtp(sealed(peer, 30_000));
    expect(persist(receive).streams[0]!.limit).toBeLessThan(30_000 + 20);
    const resumed = SrtpReceiveContext.restore(persist(receive));
    resumed.unprotectRtp(sealed(peer, 50_000));
    expect(persist(resumed).streams[0]!.limit).toBeLessThan(50_000 + 20);
  });
});

describe('a disposed receive context', () => {
  it('has wiped its master key and reads nothing', () => {
    const master = testMasterKey(profile);
    const receive = SrtpReceiveContext.create(profile, master);
    const view = master.key.bytes;
    receive.dispose();
    expect(view.every((byte) => byte === 0)).toBe(true);
    expect(master.salt.disposed).toBe(true);
    const disposed = expect.objectContaining({ code: 'SECRET_DISPOSED' });
    expect(() => receive.unprotectRtp(rtpPacket(1))).toThrowError(disposed);
    expect(() => receive.unprotectRtcp(rtcpPacket())).toThrowError(disposed);
    expect(() => receive.capture()).toThrowError(disposed);
  });
});

import type { RoomState } from '../../../src/room/state.ts';
import { rtpHeaderLength } from '../../../src/rtp/packet.ts';
import { writeRtcp } from '../../../src/rtp/rtcp.ts';
import type { Address } from '../../../src/transport/address.ts';
import { classifyDatagram } from '../../../src/transport/demux.ts';
import { createTransform } from '../../../src/transport/srtp/create-transform.ts';
import { deriveSessionKeys } from '../../../src/transport/srtp/session-keys.ts';
import { RTCP_CLEAR_BYTES, type SrtpTransform } from '../../../src/transport/srtp/transform.ts';
import { ByteReader, concat, fromHex, readUint16, toHex } from '../../../src/util/bytes.ts';
import { videoPacket } from '../../support/room-media.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import {
  SAMPLE_TIME,
  sampleIdentity,
  sampleMedia,
  samplePeer,
  sampleSession,
} from '../../support/snapshots.ts';
import { testMasterKey } from '../../support/srtp.ts';
import { bindingRequest } from '../../support/stun.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { bigEndian, mutateBytes, overwritten } from '../mutate.ts';
import { decodeScript, encodeScript, mutateScript, type Step } from '../script.ts';
import { prepareBroadcast, type Restored, WatchedBroadcast } from './broadcast.ts';
import { mutateRtcp, SAMPLE_RTCP } from './rtcp.ts';

const PROFILE = 'AES_CM_128_HMAC_SHA1_80';
const VIDEO_SSRC = 0x0a0b0c0d;

/** Three that were there before a restart. Their numbers are those of their keys, sessions and addresses. */
const WHO = { broadcaster: 0, hostile: 1, bystander: 2, stranger: 3 } as const;
/** Who does what happens, by the first byte of its data. */
const BY = { stranger: 0, hostile: 1 } as const;
const ADDRESSES: readonly Address[] = [0, 1, 2, 3].map((i) => ({ ip: `192.0.2.${i}`, port: 5_000 + i }));

/** Where hostile datagrams end, the rarest first. */
const DROPS = [
  'srtp: replayed',
  'srtp: unknownStream',
  'srtp: malformed',
  'srtp: unauthenticated',
  'peer: no handshake',
  'server: unknown kind',
  'server: unknown peer',
];

const OP = { raw: 0, rtp: 1, rtcp: 2, check: 3, patched: 4, time: 5 } as const;
const OPS = 6;
const step = (op: number, ...parts: readonly (Uint8Array | number)[]): Step => ({
  op,
  data: concat(...parts.map((part) => (typeof part === 'number' ? Uint8Array.of(part) : part))),
});
const check = (who: number): Step => step(OP.check, who, fromHex('0102030405060708'));

export const server: FuzzTarget = {
  id: 'fuzz-server',
  claim:
    'no datagram of a stranger or of a hostile viewer with good keys keeps a packet of the broadcaster from a bystander',
  inputs: 1_000,
  maxBytes: 12 * 1_024,
  reaches: ['nothing dropped', ...DROPS],
  prepare: prepareBroadcast,
  seeds: () =>
    [
      [
        check(BY.hostile),
        ...SAMPLE_RTCP.map((packet) => step(OP.rtcp, BY.hostile, bigEndian(600, 4), writeRtcp([packet]))),
      ],
      [
        step(OP.raw, BY.stranger, fromHex('16fefd0000000000000000000c0e00000000000000000000')),
        check(BY.stranger),
      ],
      [
        step(OP.raw, BY.hostile, fromHex('15fefd00000000000000000002' + '0228')),
        step(OP.raw, BY.hostile, new Uint8Array(40).fill(0x80)),
      ],
      [
        step(OP.rtp, BY.hostile, bigEndian(1, 4), videoPacket({ sequence: 9 })),
        step(OP.patched, BY.hostile, 0, 30, 1),
        step(OP.time, 0, 200),
      ],
      [step(OP.rtcp, BY.hostile, bigEndian(700, 4), nackOf(7)), step(OP.time, 19, 0), check(BY.hostile)],
      [
        step(OP.raw, BY.stranger, fromHex(`000100002112a442${'00'.repeat(12)}`)),
        step(OP.raw, BY.stranger, fromHex('80600001')),
      ],
    ].map(encodeScript),
  mutate: (input, random) =>
    mutateScript(input, random, OPS, (data) =>
      random.chance(0.5)
        ? mutateBytes(data, random, data)
        : concat(data.subarray(0, 5), mutateRtcp(data.subarray(5), random)),
    ),
  run: (input) => {
    const room = new Visited();
    for (const one of decodeScript(input)) room.play(one);
    return room.finish();
  },
};

function nackOf(sender: number): Uint8Array {
  return writeRtcp([
    { type: 'nack', sender, media: VIDEO_SSRC, sequences: Array.from({ length: 400 }, (_, i) => i) },
  ]);
}

class Visited {
  readonly #server = new WatchedBroadcast(restored());
  readonly #transforms = [WHO.broadcaster, WHO.hostile, WHO.bystander].map(transformOf);
  #sequence = 100;
  #transaction = 0;

  constructor() {
    // With the answers of an earlier process, which this one has not got, checks are believed.
    this.#feed();
  }

  play({ op, data }: Step): void {
    const reader = new ByteReader(data);
    const before = this.#server.sent.length;
    // The broadcaster is nobody's to play: what he loses by his own doing is no attack.
    const who = reader.u8() % 2 === BY.stranger ? WHO.stranger : WHO.hostile;
    const from = ADDRESSES[who]!;
    switch (op % OPS) {
      case OP.rtp: {
        const index = reader.u32() * 65_536;
        const packet = reader.rest();
        const header = rtpHeaderLength(packet);
        const sealed =
          header && this.#transforms[WHO.hostile]!.sealRtp(packet, header, index + readUint16(packet, 2));
        this.#server.receive(sealed || packet, from);
        break;
      }
      case OP.rtcp: {
        const index = reader.u32() % 2 ** 31;
        const packet = reader.rest();
        const sealed =
          packet.length < RTCP_CLEAR_BYTES ? packet : this.#transforms[WHO.hostile]!.sealRtcp(packet, index);
        this.#server.receive(sealed, from);
        break;
      }
      case OP.check:
        this.#server.receive(this.#check(WHO.hostile, reader.rest()), from);
        break;
      case OP.patched: {
        const request = this.#check(WHO.bystander, new Uint8Array(8));
        this.#server.receive(
          overwritten(request, reader.u16() % request.length, Uint8Array.of(reader.u8() | 1)),
          from,
        );
        break;
      }
      case OP.time:
        // Not as far as the deadline of the keys: those who were there have not come back.
        this.#server.pass(reader.u8() % 64);
        break;
      default:
        this.#server.receive(reader.rest(), from);
    }
    const sent = this.#server.sent.slice(before);
    if (sent.some(({ to }) => to.ip === ADDRESSES[WHO.stranger]!.ip && op % OPS !== OP.check))
      throw new Error('a stranger is sent something');
    this.#feed();
  }

  finish(): string {
    const drops = Object.keys(this.#server.broadcast.dropCounts.toJSON());
    this.#server.finish();
    for (const transform of this.#transforms) transform.dispose();
    return DROPS.find((reason) => drops.includes(reason)) ?? drops[0] ?? 'nothing dropped';
  }

  /** A packet of the broadcaster arrives, and leaves for the bystander. */
  #feed(): void {
    const sequence = this.#sequence++;
    const packet = videoPacket({ sequence, ssrc: 0x77, keyframe: true, timestamp: sequence * 3_000 });
    const before = this.#server.sent.length;
    this.#server.receive(
      this.#transforms[WHO.broadcaster]!.sealRtp(packet, 12, sequence),
      ADDRESSES[WHO.broadcaster]!,
    );
    const forwarded = this.#server.sent
      .slice(before)
      .filter(
        ({ to, datagram }) => to.ip === ADDRESSES[WHO.bystander]!.ip && classifyDatagram(datagram) === 'srtp',
      );
    if (forwarded.length !== 1) throw new Error(`the bystander got ${forwarded.length} packets for one`);
  }

  #check(who: number, patch: Uint8Array): Uint8Array {
    const { localUfrag, localPwd, remoteUfrag } = SESSIONS[who]!.connection!;
    const request = bindingRequest({
      transactionId: concat(bigEndian(++this.#transaction, 4), patch).subarray(0, 12),
      username: `${localUfrag}:${remoteUfrag}`,
      password: localPwd,
      priority: 1,
      tieBreaker: new Uint8Array(8),
      useCandidate: (patch[0] ?? 0) % 2 === 1,
    });
    return request.length < 20 ? patch : request;
  }
}

/** From the other end's side: what the server receives with is what this seals with. */
const transformOf = (who: number): SrtpTransform =>
  createTransform(PROFILE, deriveSessionKeys(PROFILE, testMasterKey(PROFILE, 100 + who)));

const SESSIONS = [WHO.broadcaster, WHO.hostile, WHO.bystander].map((who) => {
  const record = sampleSession(seededRandom(40 + who), {
    role: who === WHO.broadcaster ? 'broadcaster' : 'viewer',
  });
  return { ...record, connection: { ...record.connection!, remoteAddress: ADDRESSES[who]! } };
});

/** What an earlier process has left: all three have keys, and the broadcaster was on air. */
function restored(): Restored {
  const rng = seededRandom(50);
  const sample = sampleMedia(rng, 0);
  const room: RoomState = {
    producer: `${toHex(SESSIONS[WHO.broadcaster]!.id)}/${SESSIONS[WHO.broadcaster]!.connection.number}`,
    streams: sample.room.streams.map((stream) =>
      stream.kind === 'video'
        ? {
            ...stream,
            ssrc: VIDEO_SSRC,
            limit: 1_000,
            source: { ssrc: 0x77, highest: 98, indexOffset: 900, timestampOffset: 0 },
          }
        : stream,
    ),
  };
  const peers = SESSIONS.map(({ id, connection }, who) => {
    const { send, receive, ...rest } = samplePeer(rng, PROFILE);
    return {
      ...rest,
      session: id,
      connection: connection.number,
      epoch: connection.epoch,
      remoteAddress: connection.remoteAddress,
      send: { ...send, streams: [{ ssrc: VIDEO_SSRC, base: 0 }] },
      receive: {
        ...receive,
        master: testMasterKey(PROFILE, 100 + who),
        streams: [],
        srtcp: [{ ssrc: 7, limit: 500 }],
      },
    };
  });
  return {
    identity: { ...sampleIdentity(rng, 0), room, sessions: SESSIONS },
    media: { writtenAt: SAMPLE_TIME, notAfter: SAMPLE_TIME + 30_000, room, peers },
  };
}

import { rtpHeaderLength } from '../../../src/rtp/packet.ts';
import { createTransform } from '../../../src/transport/srtp/create-transform.ts';
import { MAX_STREAMS, SrtpReceiveContext } from '../../../src/transport/srtp/receive-context.ts';
import { deriveSessionKeys } from '../../../src/transport/srtp/session-keys.ts';
import { RTCP_CLEAR_BYTES, type SrtpTransform } from '../../../src/transport/srtp/transform.ts';
import { ByteReader, concat, readUint16, toHex } from '../../../src/util/bytes.ts';
import { ALL_PROFILES, copyOf, rtcpPacket, rtpPacket, testMasterKey } from '../../support/srtp.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { bigEndian, mutateBytes, overwritten } from '../mutate.ts';
import { decodeScript, encodeScript, mutateScript, type Step } from '../script.ts';

const OP = { rtp: 0, rtcp: 1, raw: 2, again: 3, patched: 4, resume: 5, capture: 6 } as const;
const OPS = 7;

/** A sealed packet's rollover counter or SRTCP index, then the packet. */
const rtpStep = (index: number, ssrc?: number): Step => ({
  op: OP.rtp,
  data: concat(bigEndian(Math.floor(index / 65_536), 4), rtpPacket(index, ssrc)),
});
const rtcpStep = (index: number, ssrc?: number): Step => ({
  op: OP.rtcp,
  data: concat(bigEndian(index, 4), rtcpPacket(ssrc)),
});
const step = (op: number, ...data: readonly number[]): Step => ({ op, data: Uint8Array.from(data) });

export const srtp: FuzzTarget = {
  id: 'fuzz-srtp',
  claim:
    'what is accepted was sealed under the key, is what was sealed, and is accepted once, over resumes as well',
  inputs: 3_600,
  reaches: [
    'accepted',
    'replayed',
    'unauthenticated',
    'malformed',
    'belowFloor',
    'tooManyStreams',
    'unknownStream',
  ],
  seeds: () =>
    ALL_PROFILES.flatMap((_, profile) =>
      [
        [rtpStep(1), rtpStep(2), rtpStep(70_000), rtcpStep(1), rtcpStep(5)],
        [
          rtpStep(65_535),
          rtpStep(65_536),
          step(OP.again, 0),
          step(OP.patched, 0, 30, 1),
          step(OP.raw, 0x80, 96, 1),
        ],
        [
          rtpStep(9),
          rtcpStep(9),
          step(OP.resume),
          step(OP.again, 0),
          step(OP.again, 1),
          rtpStep(10),
          rtcpStep(1, 4),
          rtpStep(900),
        ],
        [step(OP.capture), ...Array.from({ length: MAX_STREAMS + 2 }, (__, i) => rtpStep(i, i))],
        [rtcpStep(1), step(OP.raw, 0x80, 200, 0, 1, ...new Array(30).fill(0))],
      ].map((steps) => concat(Uint8Array.of(profile), encodeScript(steps))),
    ),
  mutate: (input, random) =>
    concat(
      input.subarray(0, 1),
      mutateScript(input.subarray(1), random, OPS, (data) => mutateBytes(data, random, data)),
    ),
  run: (input) => {
    const receiver = new Receiver((input[0] ?? 0) % ALL_PROFILES.length);
    for (const one of decodeScript(input.subarray(1))) receiver.take(one);
    return receiver.finish();
  },
};

class Receiver {
  readonly #profile: (typeof ALL_PROFILES)[number];
  readonly #transform: SrtpTransform;
  readonly #sealed: Uint8Array[] = [];
  /** Plaintext by ciphertext: what may be accepted. */
  readonly #plain = new Map<string, string>();
  readonly #accepted = new Set<string>();
  readonly #seen = new Set<string>();
  #context: SrtpReceiveContext;

  constructor(profile: number) {
    this.#profile = ALL_PROFILES[profile]!;
    this.#transform = createTransform(
      this.#profile,
      deriveSessionKeys(this.#profile, testMasterKey(this.#profile)),
    );
    this.#context = SrtpReceiveContext.create(this.#profile, testMasterKey(this.#profile), {
      reserve: () => this.#write(),
    });
  }

  take({ op, data }: Step): void {
    const reader = new ByteReader(data);
    switch (op % OPS) {
      case OP.rtp:
        this.#sealRtp(reader.u32(), reader.rest());
        break;
      case OP.rtcp:
        this.#sealRtcp(reader.u32() % 2 ** 31, reader.rest());
        break;
      case OP.again:
        this.#receive(this.#sealed[reader.u8() % Math.max(1, this.#sealed.length)] ?? data);
        break;
      case OP.patched: {
        const original = this.#sealed[reader.u8() % Math.max(1, this.#sealed.length)] ?? data;
        this.#receive(overwritten(original, reader.u8() % Math.max(1, original.length), reader.rest()));
        break;
      }
      case OP.resume:
        this.#resume();
        break;
      case OP.capture:
        this.#write();
        break;
      default:
        this.#receive(data);
    }
  }

  finish(): string {
    this.#note();
    const { streams, srtcp } = this.#context.capture();
    if (streams.length > MAX_STREAMS || srtcp.length > MAX_STREAMS)
      throw new Error('more streams than there may be');
    this.#context.dispose();
    this.#transform.dispose();
    if (this.#accepted.size > 0) this.#seen.add('accepted');
    // One word says enough: a class of its own for each set would keep inputs without end.
    return (
      [...this.#seen].sort().findLast((word) => RARE.includes(word)) ?? [...this.#seen].sort()[0] ?? 'nothing'
    );
  }

  #sealRtp(rollover: number, packet: Uint8Array): void {
    const header = rtpHeaderLength(packet);
    if (header === undefined) {
      this.#receive(packet);
      return;
    }
    const index = rollover * 65_536 + readUint16(packet, 2);
    this.#keep(this.#transform.sealRtp(packet, header, index), packet);
  }

  #sealRtcp(index: number, packet: Uint8Array): void {
    if (packet.length < RTCP_CLEAR_BYTES) this.#receive(packet);
    else this.#keep(this.#transform.sealRtcp(packet, index), packet);
  }

  #keep(datagram: Uint8Array, packet: Uint8Array): void {
    this.#sealed.push(datagram);
    this.#plain.set(toHex(datagram), toHex(packet));
    this.#receive(datagram);
  }

  /** As either kind: who tells them apart is somebody else. */
  #receive(datagram: Uint8Array): void {
    const results = [this.#context.unprotectRtp(datagram)?.packet, this.#context.unprotectRtcp(datagram)];
    for (const packet of results) {
      if (packet === undefined) continue;
      const key = toHex(datagram);
      if (this.#plain.get(key) !== toHex(packet)) throw new Error('accepted what was not sealed');
      if (this.#accepted.has(key)) throw new Error('accepted twice');
      this.#accepted.add(key);
    }
  }

  #write(): void {
    this.#context.granted(this.#context.capture());
  }

  #resume(): void {
    this.#write();
    this.#note();
    const state = copyOf(this.#context.capture());
    this.#context.dispose();
    this.#context = SrtpReceiveContext.restore(state, { reserve: () => this.#write() });
  }

  #note(): void {
    for (const reason of Object.keys(this.#context.drops.toJSON())) this.#seen.add(reason);
  }
}

const RARE = ['belowFloor', 'replayed', 'tooManyStreams', 'unknownStream', 'aboveLimit'];

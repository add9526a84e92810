import { classifyIngress } from '../../../src/room/ingress.ts';
import { isKeyframeStart } from '../../../src/room/keyframe.ts';
import { PAYLOAD_TYPE } from '../../../src/room/media.ts';
import { parseRtp, RTP_FIXED_HEADER_BYTES, rtpHeaderLength, writeRtp } from '../../../src/rtp/packet.ts';
import { Succession } from '../../../src/server/succession.ts';
import { concat, fromHex } from '../../../src/util/bytes.ts';
import { audioPacket, retransmissionOf, videoPacket } from '../../support/room-media.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateBytes, overwritten } from '../mutate.ts';

export const rtp: FuzzTarget = {
  id: 'fuzz-rtp',
  claim:
    'a packet that parses lies within its bytes, is the same when it is written, and its extensions and payload too',
  inputs: 24_000,
  reaches: [
    'audio',
    'video',
    'video keyframe',
    'video again',
    'unknown payload type',
    'malformed',
    'video +extension',
  ],
  seeds: () => [
    videoPacket({ sequence: 1, keyframe: true }),
    videoPacket({ sequence: 2, marker: true }),
    videoPacket({ sequence: 3, payload: fromHex('90e08001000000') }),
    videoPacket({ sequence: 3, payload: fromHex('90e0010000009d012a') }),
    videoPacket({ sequence: 4, payloadType: PAYLOAD_TYPE.h264, payload: fromHex('6742e01f') }),
    videoPacket({
      sequence: 5,
      payloadType: PAYLOAD_TYPE.h264,
      payload: fromHex('18000267420001680002650a'),
    }),
    videoPacket({ sequence: 6, payloadType: PAYLOAD_TYPE.h264, payload: fromHex('7c8588') }),
    videoPacket({ sequence: 7, payloadType: 127 }),
    audioPacket({ sequence: 8 }),
    retransmissionOf({ sequence: 9, keyframe: true }, 4, 0x77),
    withExtension(videoPacket({ sequence: 10, keyframe: true }), 'bede0002' + '1100073210ff0000'),
    withExtension(audioPacket({ sequence: 11 }), '100000020102000703010000'),
    padded(videoPacket({ sequence: 12 }), 4),
    withSources(videoPacket({ sequence: 13 }), 3),
  ],
  mutate: (input, random) => {
    const header = Math.min(rtpHeaderLength(input) ?? RTP_FIXED_HEADER_BYTES, input.length);
    const payload = input.subarray(header);
    switch (random.below(4)) {
      case 0:
        return withExtension(
          input.subarray(0),
          `${random.pick(['bede', '1000', '100f', '0000'])}0002${'11'.repeat(8)}`,
        );
      case 1:
        return padded(input, random.below(8));
      case 2:
        return overwritten(
          input,
          1,
          Uint8Array.of(random.pick(Object.values(PAYLOAD_TYPE)) | random.pick([0, 0x80])),
        );
      default:
        return concat(input.subarray(0, header), mutateBytes(payload, random, payload));
    }
  },
  run: (input) => {
    const packet = parseRtp(input);
    const length = rtpHeaderLength(input);
    new Succession().add('1', input);
    if (packet === undefined) return 'malformed';
    if (
      length !== packet.headerLength ||
      length + packet.payload.length + packet.paddingLength !== input.length
    )
      throw new Error('the parts are not the whole');
    const again = parseRtp(writeRtp(packet));
    if (
      again === undefined ||
      again.marker !== packet.marker ||
      again.payloadType !== packet.payloadType ||
      again.sequenceNumber !== packet.sequenceNumber ||
      again.timestamp !== packet.timestamp ||
      again.ssrc !== packet.ssrc ||
      Buffer.compare(again.payload, packet.payload) !== 0
    )
      throw new Error('a packet is another one when it is written');
    let extensions = 0;
    for (let id = 0; id < 256; id++) extensions += packet.extension(id) === undefined ? 0 : 1;
    if (extensions * 2 > length) throw new Error('more extensions than bytes for them');
    const ingress = classifyIngress(packet);
    if (ingress === undefined) return 'unknown payload type';
    const { original } = ingress;
    const keyframe = original !== undefined && isKeyframeStart(original.payloadType, original.payload);
    if (original !== undefined && original.payload.length > input.length)
      throw new Error('a payload beyond the packet');
    return `${ingress.kind}${ingress.retransmission ? ' again' : ''}${keyframe ? ' keyframe' : ''}${extensions > 0 ? ' +extension' : ''}`;
  },
};

/** With an extension block (RFC 8285) behind the fixed header, where there is none. */
function withExtension(packet: Uint8Array, block: string): Uint8Array {
  const marked = overwritten(packet, 0, Uint8Array.of(0x90));
  return concat(
    marked.subarray(0, RTP_FIXED_HEADER_BYTES),
    fromHex(block),
    marked.subarray(RTP_FIXED_HEADER_BYTES),
  );
}

function padded(packet: Uint8Array, count: number): Uint8Array {
  const padding = new Uint8Array(count);
  padding[count - 1] = count;
  return concat(overwritten(packet, 0, Uint8Array.of((packet[0] ?? 0x80) | 0x20)), padding);
}

function withSources(packet: Uint8Array, count: number): Uint8Array {
  const marked = overwritten(packet, 0, Uint8Array.of(0x80 | count));
  return concat(
    marked.subarray(0, RTP_FIXED_HEADER_BYTES),
    new Uint8Array(count * 4),
    marked.subarray(RTP_FIXED_HEADER_BYTES),
  );
}

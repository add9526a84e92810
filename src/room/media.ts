/** The two media of a room. */
export type MediaKind = 'audio' | 'video';

/**
 * A rewritten RTP packet, the same plaintext for every viewer.
 *
 * `index` is the packet's 48-bit room index (its low 16 bits are the sequence number in `bytes`); one numbering for each
 * SSRC, never reused.
 */
export interface MediaPacket {
  readonly ssrc: number;
  readonly index: number;
  readonly bytes: Uint8Array;
}

/** Payload types are the same for everybody, so that a packet never has to be rewritten for a viewer. */
export const PAYLOAD_TYPE = { vp8: 96, vp8Rtx: 97, h264: 102, h264Rtx: 103, opus: 111 } as const;

/** In hertz. Every codec of a medium has the same, so that a stream keeps its clock when its source changes. */
export const CLOCK_RATE: Readonly<Record<MediaKind, number>> = { audio: 48_000, video: 90_000 };

export interface Codec {
  readonly kind: MediaKind;
  readonly payloadType: number;
  /** The payload type of its retransmissions (RFC 4588 §8.1), where they are asked for. */
  readonly rtx: number | undefined;
}

/** What a room carries, by the names of SDP. */
export const CODECS = {
  opus: { kind: 'audio', payloadType: PAYLOAD_TYPE.opus, rtx: undefined },
  VP8: { kind: 'video', payloadType: PAYLOAD_TYPE.vp8, rtx: PAYLOAD_TYPE.vp8Rtx },
  H264: { kind: 'video', payloadType: PAYLOAD_TYPE.h264, rtx: PAYLOAD_TYPE.h264Rtx },
} as const satisfies Readonly<Record<string, Codec>>;

const BY_PAYLOAD_TYPE: ReadonlyMap<number, Codec> = new Map(
  Object.values<Codec>(CODECS).map((codec) => [codec.payloadType, codec]),
);
const BY_RTX: ReadonlyMap<number | undefined, Codec> = new Map(
  Object.values<Codec>(CODECS)
    .filter(({ rtx }) => rtx !== undefined)
    .map((codec) => [codec.rtx, codec]),
);

/** The medium of a payload type, be it of packets or of their retransmissions; `undefined` where it was not offered. */
export const kindOf = (payloadType: number): MediaKind | undefined =>
  (BY_PAYLOAD_TYPE.get(payloadType) ?? BY_RTX.get(payloadType))?.kind;

/** The payload type under which packets of this one are sent again; `undefined` where they are not. */
export const rtxOf = (payloadType: number): number | undefined => BY_PAYLOAD_TYPE.get(payloadType)?.rtx;

/** The payload type that a retransmission brings again; `undefined` where this is none of a retransmission. */
export const originalOf = (payloadType: number): number | undefined => BY_RTX.get(payloadType)?.payloadType;

/** Header extension ids in the broadcaster's offer. Toward viewers no extension is negotiated. */
export const EXTENSION_ID = { transportSequence: 1 } as const;

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

/** Header extension ids in the broadcaster's offer. Toward viewers no extension is negotiated. */
export const EXTENSION_ID = { transportSequence: 1 } as const;

export const VIDEO_CLOCK_RATE = 90_000;
export const AUDIO_CLOCK_RATE = 48_000;

import type { MediaKind } from './media.ts';

/** What a room needs to go on as the same streams in another process. Plain data. */
export interface RoomState {
  /** Connection id of the broadcaster (`<session in hex>/<number>`), or empty. */
  readonly producer: string;
  readonly streams: readonly RoomStreamState[];
}

export interface RoomStreamState {
  readonly kind: MediaKind;
  readonly ssrc: number;
  /** 0 where the stream has no retransmission stream. */
  readonly rtxSsrc: number;
  /** No room index at or above this one has been sent. */
  readonly limit: number;
  /** Timestamp of the newest packet sent, and the wall-clock time it was sent at (ms), for a successor's timestamps. */
  readonly timestamp: number;
  readonly timestampAt: number;
  /** The current source; `undefined` before the first packet. */
  readonly source: RoomSourceState | undefined;
}

/** How the broadcaster's numbering maps to the room's. */
export interface RoomSourceState {
  readonly ssrc: number;
  /** Highest extended sequence number seen from the source. */
  readonly highest: number;
  /** room index = extended sequence number + indexOffset. */
  readonly indexOffset: number;
  /** room timestamp = (source timestamp + timestampOffset) mod 2^32. */
  readonly timestampOffset: number;
}

import { kindOf } from '../room/media.ts';
import { parseRtp } from '../rtp/packet.ts';

/** More than any first frame has; what goes on without an end of a frame is taken as it is. */
const MAX_HELD = 500;

/**
 * Holds what the broadcaster's new connection sends until its first frame is whole: until then the old connection's picture goes on, and
 * nobody waits for the rest of a keyframe.
 */
export class Succession {
  #connection = '';
  #held: Uint8Array[] = [];

  /** Gives everything held, in order, once `connection` may take over; `undefined` before that. */
  add(connection: string, packet: Uint8Array): readonly Uint8Array[] | undefined {
    if (this.#connection !== connection) {
      this.#connection = connection;
      this.#held = [];
    }
    this.#held.push(packet);
    if (!endsVideoFrame(packet) && this.#held.length < MAX_HELD) return undefined;
    const held = this.#held;
    this.#held = [];
    return held;
  }
}

/** The marker bit ends a frame, of VP8 (RFC 7741 §4.1) and of H.264 (RFC 6184 §5.1). */
function endsVideoFrame(bytes: Uint8Array): boolean {
  const packet = parseRtp(bytes);
  return packet?.marker === true && kindOf(packet.payloadType) === 'video';
}

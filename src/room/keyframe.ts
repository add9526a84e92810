import { readUint16 } from '../util/bytes.ts';
import type { Millis } from '../util/clock.ts';
import { PAYLOAD_TYPE } from './media.ts';

/** Keyframes are asked for no more often than this. */
export const KEYFRAME_REQUEST_INTERVAL_MS = 300;
/** A request that no keyframe has answered is repeated: the request itself may have been lost. */
export const KEYFRAME_REPEAT_MS = 500;
const MAX_TRIES = 10;

const NAL = { idr: 5, sps: 7, stapA: 24, fuA: 28 } as const;

/** Whether a payload begins a frame that needs no earlier one. */
export function isKeyframeStart(payloadType: number, payload: Uint8Array): boolean {
  if (payloadType === PAYLOAD_TYPE.vp8) return isVp8KeyframeStart(payload);
  return payloadType === PAYLOAD_TYPE.h264 && isH264KeyframeStart(payload);
}

/** RFC 7741 §4.2 (payload descriptor) and §4.3 (payload header: the inverse keyframe flag). */
function isVp8KeyframeStart(payload: Uint8Array): boolean {
  const first = payload[0];
  // A frame starts where S is set on partition 0.
  if (first === undefined || (first & 0x1f) !== 0x10) return false;
  let at = 1;
  if ((first & 0x80) !== 0) {
    const extensions = payload[at++] ?? 0;
    if ((extensions & 0x80) !== 0) at += ((payload[at] ?? 0) & 0x80) === 0 ? 1 : 2;
    if ((extensions & 0x40) !== 0) at++;
    if ((extensions & 0x30) !== 0) at++;
  }
  const header = payload[at];
  return header !== undefined && (header & 0x01) === 0;
}

/** RFC 6184 §5.4: a single NAL unit, an aggregate (§5.7.1) or the first fragment (§5.8) of an SPS or IDR slice. */
function isH264KeyframeStart(payload: Uint8Array): boolean {
  const type = (payload[0] ?? 0) & 0x1f;
  if (type === NAL.stapA) return stapHoldsKeyframe(payload);
  if (type === NAL.fuA) {
    const header = payload[1] ?? 0;
    return (header & 0x80) !== 0 && beginsKeyframe(header & 0x1f);
  }
  return payload.length > 1 && beginsKeyframe(type);
}

function stapHoldsKeyframe(payload: Uint8Array): boolean {
  for (let at = 1; at + 2 < payload.length; ) {
    if (beginsKeyframe(payload[at + 2]! & 0x1f)) return true;
    at += 2 + readUint16(payload, at);
  }
  return false;
}

const beginsKeyframe = (nalType: number): boolean => nalType === NAL.idr || nalType === NAL.sps;

/**
 * When to ask the producer for a keyframe: at once, but throttled, with the last of a burst of wishes sent behind it, and
 * repeated until a keyframe begins to arrive.
 */
export class KeyframeRequests {
  #wanted = false;
  #tries = 0;
  #sentAt: Millis | undefined;
  #dueAt: Millis | undefined;

  request(now: Millis): void {
    const earliest = this.#sentAt === undefined ? now : this.#sentAt + KEYFRAME_REQUEST_INTERVAL_MS;
    const dueAt = Math.max(now, earliest);
    this.#dueAt = this.#wanted ? Math.min(this.#dueAt ?? dueAt, dueAt) : dueAt;
    this.#wanted = true;
    this.#tries = 0;
  }

  /** A keyframe has begun to arrive. */
  satisfied(): void {
    this.#wanted = false;
    this.#dueAt = undefined;
  }

  /** True when a request is to be sent now; it counts as sent. */
  take(now: Millis): boolean {
    if (this.#dueAt === undefined || now < this.#dueAt) return false;
    this.#sentAt = now;
    this.#tries++;
    if (this.#tries >= MAX_TRIES) this.satisfied();
    else this.#dueAt = now + KEYFRAME_REPEAT_MS;
    return true;
  }

  nextTimeout(): Millis | undefined {
    return this.#dueAt;
  }
}

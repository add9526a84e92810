import type { Session } from '../session/session.ts';
import { earliest, type Millis } from '../util/clock.ts';

/** A broadcaster whose page and media are both gone for this long has left: the next to ask takes over. */
const ABSENCE_GRACE: Millis = 15_000;
/** A visitor who has the place and sends nothing for this long is not on air any more (an unanswered camera prompt, a telephone put away). */
const SILENCE_GRACE: Millis = 60_000;

/**
 * Who broadcasts: the first in the room, and after that whoever asks when the place is free. The silent keep it until somebody asks; who only
 * opens the page takes it from nobody who has been on air.
 */
export class BroadcasterSlot {
  #holder: Session | undefined;
  /** When the holder was given the place, or sent media last. */
  #heardAt: Millis = 0;
  #silent = false;
  #since: Millis | undefined;
  #hasSent = false;

  /** Whether the broadcaster's media arrives, or may be expected to: once it is connected, until it is silent or gives the place up. */
  get onAir(): boolean {
    return this.#since !== undefined || this.#begins;
  }

  /** When the present broadcast began: now, where nobody has asked since it did. */
  onAirSince(now: Millis): Millis | undefined {
    if (this.#begins) this.#since = now;
    return this.#since;
  }

  /** Who of the sessions broadcasts, since when. */
  onAirSinceOf(session: Session): Millis | undefined {
    return session === this.#holder ? this.#since : undefined;
  }

  get #begins(): boolean {
    return this.#since === undefined && this.#holder?.current?.role === 'broadcaster' && !this.#silent;
  }

  /** Whether who asks to broadcast may. */
  get isFree(): boolean {
    return this.#holder === undefined || this.#silent;
  }

  /** Whether who opens the page is asked to broadcast. */
  get isOpen(): boolean {
    return this.#holder === undefined || (this.#silent && !this.#hasSent);
  }

  /** Whether nobody has the place, not even somebody who does not use it. */
  get isEmpty(): boolean {
    return this.#holder === undefined;
  }

  /** @param before it had the place in an earlier process, and was on air since then, if it was. */
  take(session: Session, now: Millis, before?: { readonly onAirSince: Millis | undefined }): void {
    this.#holder = session;
    this.#heardAt = now;
    this.#silent = false;
    this.#since = before?.onAirSince;
    this.#hasSent = before !== undefined;
  }

  heard(session: Session, now: Millis): void {
    if (session !== this.#holder) return;
    this.#heardAt = now;
    this.#silent = false;
    this.#hasSent = true;
  }

  release(session: Session): void {
    if (this.#holder === session) this.#end();
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#givenUpAt(), this.#silentAt());
  }

  handleTimeout(now: Millis): void {
    if (now >= (this.#silentAt() ?? Number.POSITIVE_INFINITY)) {
      this.#silent = true;
      this.#since = undefined;
    }
    if (now >= (this.#givenUpAt() ?? Number.POSITIVE_INFINITY)) this.#end();
  }

  #end(): void {
    this.#holder = undefined;
    this.#since = undefined;
  }

  #silentAt(): Millis | undefined {
    return this.#holder === undefined || this.#silent ? undefined : this.#heardAt + SILENCE_GRACE;
  }

  /** Where the broadcaster's page is away. Its checks tell every few seconds that it is there, its packets at once. */
  #givenUpAt(): Millis | undefined {
    const holder = this.#holder;
    if (holder === undefined || holder.attached) return undefined;
    return Math.max(holder.seenAt, this.#heardAt) + ABSENCE_GRACE;
  }
}

import type { Session } from '../session/session.ts';
import type { Millis } from '../util/clock.ts';

/** A broadcaster whose page and media are both gone for this long has left: the next to ask takes over. */
const ABSENCE_GRACE: Millis = 15_000;
/** A visitor who was given the room and has not gone on air for this long may be taken over (an unanswered camera prompt). */
const ON_AIR_GRACE: Millis = 60_000;

/** Who broadcasts: the first in the room, and after that whoever asks when the place is free. */
export class BroadcasterSlot {
  #holder: Session | undefined;
  #since: Millis = 0;

  /** Whether the broadcaster's media arrives, or may be expected to. */
  get onAir(): boolean {
    return this.#holder?.current?.role === 'broadcaster';
  }

  isFree(now: Millis): boolean {
    return this.#holder === undefined || (!this.onAir && now - this.#since > ON_AIR_GRACE);
  }

  /** Whether nobody has the place, not even somebody who does not use it. */
  get isEmpty(): boolean {
    return this.#holder === undefined;
  }

  take(session: Session, now: Millis): void {
    this.#holder = session;
    this.#since = now;
  }

  release(session: Session): void {
    if (this.#holder === session) this.#holder = undefined;
  }

  /** When the place is given up, where the broadcaster's page is away. */
  nextTimeout(): Millis | undefined {
    const holder = this.#holder;
    return holder === undefined || holder.attached ? undefined : holder.seenAt + ABSENCE_GRACE;
  }

  handleTimeout(now: Millis): void {
    if (now >= (this.nextTimeout() ?? Number.POSITIVE_INFINITY)) this.#holder = undefined;
  }
}

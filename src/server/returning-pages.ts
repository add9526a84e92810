import type { Connection } from '../session/connection.ts';
import type { Session } from '../session/session.ts';
import type { PagePosition } from '../signaling/protocol.ts';
import type { Millis } from '../util/clock.ts';
import { HandshakeQueue } from './handshake-queue.ts';

/** Pages that are back get their offers in the order in which they came, and not all of them at once. */
export class ReturningPages {
  readonly #queue = new HandshakeQueue<Session>();
  /** Where the pages that were let in last stood. */
  readonly #positions = new WeakMap<Session, PagePosition | undefined>();
  /** Told of each session that has begun. */
  readonly #begun: (session: Session, now: Millis) => void;
  #admitting = false;

  constructor(begun: (session: Session, now: Millis) => void) {
    this.#begun = begun;
  }

  /** A page is back. Its offer leaves in the same turn, unless many came before it; that of the broadcaster, whom all wait for, in any case. */
  letIn(session: Session, position: PagePosition | undefined, now: Millis): void {
    if (session.role === 'broadcaster') {
      session.attach(position, now);
      return;
    }
    // It was here just now, if its turn comes later.
    session.detach(now);
    this.#positions.set(session, position);
    this.#queue.add(session);
    this.admit(now);
  }

  admit(now: Millis): void {
    // Who has all keys already makes place for the next one in the turn in which it was let in.
    if (this.#admitting) return;
    this.#admitting = true;
    for (let next = this.#queue.next(now); next !== undefined; next = this.#queue.next(now)) {
      next.attach(this.#positions.get(next), now);
      this.#begun(next, now);
    }
    this.#admitting = false;
  }

  /** After each change of a session: who has its keys makes place, and who will not get them now. */
  follow(session: Session, now: Millis): void {
    const { connections } = session;
    if (!connections.some(awaitsKeys)) this.#queue.done(session, newestKeys(connections));
    if (this.#queue.waiting > 0) this.admit(now);
  }

  /** Its page has gone. */
  leave(session: Session): void {
    this.#queue.leave(session);
  }

  nextTimeout(): Millis | undefined {
    return this.#queue.nextTimeout();
  }
}

const awaitsKeys = ({ pending, keyedAt }: Connection): boolean =>
  pending !== undefined && keyedAt === undefined;

function newestKeys(connections: readonly Connection[]): Millis | undefined {
  let newest: Millis | undefined;
  for (const { keyedAt } of connections)
    if (keyedAt !== undefined && (newest === undefined || keyedAt > newest)) newest = keyedAt;
  return newest;
}

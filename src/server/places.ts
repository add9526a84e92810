import { FairShare } from '../signaling/fair-share.ts';
import type { PageId } from './page-bindings.ts';
import { PAGE_ERROR } from './page-errors.ts';

/** More visitors than one process can feed; the next is told that the room is full. */
const MAX_SESSIONS = 2_000;

interface PlacesOptions {
  readonly maxSessions: number | undefined;
  readonly maxSessionsPerOwner: number | undefined;
  /** Whether the page of this session, which is in this engine, has gone, and may be back in a moment. */
  readonly isAway: (session: string) => boolean;
}

/** What came of wanting a place. */
interface Admittance {
  /** A session of the same owner whose page is away: it is over. */
  readonly left: string | undefined;
  /** Who has made place, and was not asked. */
  readonly evicted: string | undefined;
  /** Why there is none. */
  readonly refused: (typeof PAGE_ERROR)['tooManyVisits' | 'roomFull'] | undefined;
}

/**
 * Who has a place in the room: one each, for sessions of this engine, for those in other engines, which are let in by this one, and for pages that
 * are on their way from there to here. Who is in keeps its place when limits are lowered.
 */
export class Places {
  readonly limit: number;
  readonly #share: FairShare<string>;
  readonly #isAway: (session: string) => boolean;
  /** Of sessions in other engines, whether the page has gone, and may be back in a moment. */
  readonly #elsewhere = new Map<string, { away: boolean }>();
  readonly #moving = new Set<PageId>();

  constructor({ maxSessions, maxSessionsPerOwner, isAway }: PlacesOptions) {
    this.limit = maxSessions ?? MAX_SESSIONS;
    this.#share = new FairShare(this.limit, () => maxSessionsPerOwner ?? Number.POSITIVE_INFINITY);
    this.#isAway = isAway;
  }

  /** Sessions in other engines. */
  get elsewhere(): number {
    return this.#elsewhere.size;
  }

  /** Pages that are on their way here. */
  get moving(): number {
    return this.#moving.size;
  }

  /** Takes a place for a session that is new. Who opens the page again does not wait for the place that it has just left. */
  take(session: string, owner: string): Admittance {
    const left = this.#makePlace(owner);
    if (this.#share.isAtLimit(owner)) return { left, evicted: undefined, refused: PAGE_ERROR.tooManyVisits };
    const goes = this.#share.take(owner, session);
    return goes === session
      ? { left, evicted: undefined, refused: PAGE_ERROR.roomFull }
      : { left, evicted: goes, refused: undefined };
  }

  /** This session has a place whatever the limits, and from now on it is this owner's: nobody's but its own, where nobody has it yet. */
  hold(session: string, owner = session): void {
    this.#share.hold(owner, session);
  }

  release(session: string): void {
    this.#share.release(session);
  }

  /** As {@link hold}, of a session in another engine whose page is there. */
  holdElsewhere(session: string, owner = session): void {
    this.hold(session, owner);
    this.#elsewhere.set(session, { away: false });
  }

  /** Its page has gone, and may be back in a moment. */
  awayElsewhere(session: string): void {
    const known = this.#elsewhere.get(session);
    if (known !== undefined) known.away = true;
  }

  /** `false` where it is in no other engine, or not any more. */
  releaseElsewhere(session: string): boolean {
    if (!this.#elsewhere.delete(session)) return false;
    this.release(session);
    return true;
  }

  /** A page whose session was in another engine is to join this one: until it does, or goes, it keeps its place. */
  move(page: PageId, owner: string, session: string): void {
    this.releaseElsewhere(session);
    this.#moving.add(page);
    this.hold(keptFor(page), owner);
  }

  /** Whether this page was on its way here. Its place is free then. */
  endMove(page: PageId): boolean {
    if (!this.#moving.delete(page)) return false;
    this.release(keptFor(page));
    return true;
  }

  #makePlace(owner: string): string | undefined {
    if (this.#share.taken < this.limit && !this.#share.isAtLimit(owner)) return undefined;
    const left = this.#share
      .heldBy(owner)
      .find((session) => this.#isAway(session) || this.#elsewhere.get(session)?.away === true);
    if (left !== undefined) this.release(left);
    return left;
  }
}

/** In the place of a session's id, which is hex. */
const keptFor = (page: PageId): string => `page ${page}`;

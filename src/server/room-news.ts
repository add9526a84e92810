import type { ServerMessage } from '../signaling/protocol.ts';
import type { Millis } from '../util/clock.ts';
import type { PageId } from './page-bindings.ts';

/** Where more pages than these are there, who comes and goes is told to all of them this far apart, and a thousand times a second at most: each is a message to each. */
const MANY_PAGES = 50;
const SPACING: Millis = 200;
const SPACING_PER_PAGE: Millis = 1;

export type RoomMessage = Extract<ServerMessage, { type: 'room' }>;

/** The room as it is. */
export interface RoomState {
  readonly viewers: number;
  /** When the broadcast began, if somebody is on air. */
  readonly onAirSince: Millis | undefined;
}

/** What there is to say, and whether to all: else to those who have been told nothing yet. */
interface News {
  readonly message: RoomMessage;
  readonly changed: boolean;
  readonly untold: readonly PageId[];
}

/** When pages are told what of the room: who is new in any case, all when it has changed, and many of them not every moment. */
export class RoomNews {
  #told: RoomState | undefined;
  /** Pages that have been told nothing of it yet. */
  readonly #untold = new Set<PageId>();
  #lookedAt: Millis = Number.NEGATIVE_INFINITY;
  #lookAt: Millis | undefined;

  add(page: PageId): void {
    this.#untold.add(page);
  }

  remove(page: PageId): void {
    this.#untold.delete(page);
  }

  nextTimeout(): Millis | undefined {
    return this.#lookAt;
  }

  /** Whether it is time to {@link look}, which costs a walk over the sessions; where not, the timeout says when. */
  isDue(pages: number, now: Millis): boolean {
    const spacing = pages > MANY_PAGES ? Math.max(SPACING, pages * SPACING_PER_PAGE) : 0;
    const due = this.#lookedAt + spacing;
    if (now >= due) return true;
    this.#lookAt = due;
    return false;
  }

  /** `undefined` where there is nothing to say to anybody. */
  look(room: RoomState, now: Millis): News | undefined {
    this.#lookAt = undefined;
    this.#lookedAt = now;
    const { viewers, onAirSince } = room;
    const changed = viewers !== this.#told?.viewers || onAirSince !== this.#told.onAirSince;
    if (!changed && this.#untold.size === 0) return undefined;
    const untold = [...this.#untold];
    this.#untold.clear();
    this.#told = room;
    return { message: roomMessage(room, now), changed, untold };
  }
}

export function roomMessage({ viewers, onAirSince }: RoomState, now: Millis): RoomMessage {
  return {
    type: 'room',
    viewers,
    onAir: onAirSince !== undefined,
    onAirSeconds: Math.floor((now - (onAirSince ?? now)) / 1000),
  };
}

import { CLOSE_CODE, type SignalingErrorCode } from '../signaling/protocol.ts';
import type { AccessProblem, Problem } from './facts.ts';

/** Who was turned away does not ask again before. */
const TURNED_AWAY_DELAY_MS = 10_000;
/** The network that let no media through may be another by then; until then the place is somebody else's. */
const UNREACHABLE_DELAY_MS = 60_000;

const ACCESS_PROBLEMS: ReadonlySet<Problem> = new Set<AccessProblem>([
  'token-required',
  'token-refused',
  'token-expired',
  'publish-forbidden',
]);
/** What new keys show to be over. */
const PASSING: ReadonlySet<Problem> = new Set([
  'room-full',
  'too-many-visits',
  'shutting-down',
  'rate-limited',
  'unreachable',
  'refused',
]);
/** What the server's errors say to the visitor. One that is no problem is answered by the page itself. */
const PROBLEM_OF: Readonly<Record<SignalingErrorCode, Problem | undefined>> = {
  TOKEN_UNKNOWN: undefined,
  SUPERSEDED: 'superseded',
  BROADCASTER_PRESENT: 'broadcaster-present',
  ACCESS_REQUIRED: 'token-required',
  ACCESS_REFUSED: 'token-refused',
  ACCESS_EXPIRED: 'token-expired',
  PUBLISH_FORBIDDEN: 'publish-forbidden',
  MESSAGE_INVALID: 'refused',
  MESSAGE_TOO_LARGE: 'refused',
  SDP_INVALID: 'refused',
  RATE_LIMITED: 'rate-limited',
  ROOM_FULL: 'room-full',
  TOO_MANY_VISITS: 'too-many-visits',
  SHUTTING_DOWN: 'shutting-down',
  UNREACHABLE: 'unreachable',
};
/** After which of them the page goes and comes back, in how many milliseconds. */
const COMES_BACK_IN: ReadonlyMap<SignalingErrorCode, number> = new Map([
  ['ROOM_FULL', TURNED_AWAY_DELAY_MS],
  ['TOO_MANY_VISITS', TURNED_AWAY_DELAY_MS],
  ['SHUTTING_DOWN', TURNED_AWAY_DELAY_MS],
  ['UNREACHABLE', UNREACHABLE_DELAY_MS],
]);
/** Why a page does not come back by itself, by the code of its close. */
const ENDS: ReadonlyMap<number, Problem> = new Map([
  [CLOSE_CODE.superseded, 'superseded'],
  [CLOSE_CODE.left, 'left'],
  [CLOSE_CODE.unreachable, 'unreachable'],
]);

/** What stands between the visitor and the broadcast: the newest that is known. */
export class Problems {
  #current: Problem | undefined;

  get current(): Problem | undefined {
    return this.#current;
  }

  /** Another token would help. */
  get asksForToken(): boolean {
    return this.#current !== undefined && ACCESS_PROBLEMS.has(this.#current);
  }

  note(problem: Problem): void {
    this.#current = problem;
  }

  clear(): void {
    this.#current = undefined;
  }

  handleKeyed(): void {
    if (this.#current !== undefined && PASSING.has(this.#current)) this.clear();
  }

  /** Gives in how many milliseconds the page is to come back, where it has to go for that. */
  handleError(code: SignalingErrorCode): number | undefined {
    this.#current = PROBLEM_OF[code] ?? this.#current;
    return COMES_BACK_IN.get(code);
  }

  /** The server has shut the page out until it has a token, or another one. */
  handleLocked(): void {
    if (!this.asksForToken) this.#current = 'token-required';
  }

  handleEnd(code: number): void {
    this.#current = ENDS.get(code) ?? 'refused';
  }
}

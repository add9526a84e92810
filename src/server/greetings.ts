import type { Millis } from '../util/clock.ts';
import type { Route } from './routes.ts';

/** To viewers, in one turn of the loop. */
const AT_ONCE = 64;

/**
 * Who was here before a restart is spoken to first: a browser that hears nothing would wait for its own next check. The broadcaster at once, and some
 * viewers; the others in turns of their own. Most viewers hear the media first, which waits for no more greetings than these.
 */
export class Greetings {
  readonly #greet: (route: Route, now: Millis) => void;
  readonly #waiting: Route[] = [];
  #viewers = 0;

  constructor(greet: (route: Route, now: Millis) => void) {
    this.#greet = greet;
  }

  /** Whether there are some for another turn: {@link goOn}. */
  get wait(): boolean {
    return this.#waiting.length > 0;
  }

  add(route: Route, now: Millis): void {
    if (route.connection.role === 'broadcaster' || this.#viewers++ < AT_ONCE) this.#greet(route, now);
    else this.#waiting.push(route);
  }

  goOn(now: Millis): void {
    for (const route of this.#waiting.splice(0, AT_ONCE)) this.#greet(route, now);
  }
}

/** What the engine that lets visitors in knows of those whose sessions are in other engines. */
export class Elsewhere {
  /** Whether the page has gone, and may be back in a moment. */
  readonly #sessions = new Map<string, { away: boolean }>();
  readonly #viewers = new Map<number, number>();

  get size(): number {
    return this.#sessions.size;
  }

  /** How many watch there. */
  get viewers(): number {
    let sum = 0;
    for (const count of this.#viewers.values()) sum += count;
    return sum;
  }

  /** The session is there, and so is its page. */
  hold(session: string): void {
    this.#sessions.set(session, { away: false });
  }

  /** `false` where it is not known, or not any more. */
  release(session: string): boolean {
    return this.#sessions.delete(session);
  }

  goAway(session: string): void {
    const known = this.#sessions.get(session);
    if (known !== undefined) known.away = true;
  }

  isAway(session: string): boolean {
    return this.#sessions.get(session)?.away === true;
  }

  watch(engine: number, viewers: number): void {
    this.#viewers.set(engine, viewers);
  }
}

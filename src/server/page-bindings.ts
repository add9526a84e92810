/** A WebSocket of a page. */
export type PageId = number;

/** Which page has which session: one each. */
export class PageBindings {
  readonly #sessions = new Map<PageId, string>();
  readonly #pages = new Map<string, PageId>();

  sessionOf(page: PageId): string | undefined {
    return this.#sessions.get(page);
  }

  pageOf(session: string): PageId | undefined {
    return this.#pages.get(session);
  }

  pages(): Iterable<PageId> {
    return this.#pages.values();
  }

  /** The newest page of a session has it. Gives the one that had it before. */
  bind(page: PageId, session: string): PageId | undefined {
    const before = this.#pages.get(session);
    if (before !== undefined) this.#sessions.delete(before);
    this.#sessions.set(page, session);
    this.#pages.set(session, page);
    return before === page ? undefined : before;
  }

  /** Gives the session whose page this was. */
  unbindPage(page: PageId): string | undefined {
    const session = this.#sessions.get(page);
    this.#sessions.delete(page);
    if (session !== undefined) this.#pages.delete(session);
    return session;
  }

  unbindSession(session: string): void {
    const page = this.#pages.get(session);
    this.#pages.delete(session);
    if (page !== undefined) this.#sessions.delete(page);
  }
}

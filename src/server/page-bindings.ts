import type { Admission } from '../signaling/admission.ts';

/** A WebSocket of a page. */
export type PageId = number;

/** A page whose connection for signaling has just come about. */
export interface OpenedPage {
  readonly id: PageId;
  /** Whose it is: places that run out are shared out by owner. */
  readonly owner: string;
  /** Everything and for ever, where it is absent. */
  readonly admission?: Admission;
}

const EVERYTHING: Admission = { right: 'publish', until: undefined };

/** Which page has which session: one each. */
export class PageBindings {
  readonly #sessions = new Map<PageId, string>();
  readonly #pages = new Map<string, PageId>();
  readonly #opened = new Map<PageId, OpenedPage>();

  open(opened: OpenedPage): void {
    this.#opened.set(opened.id, opened);
  }

  ownerOf(page: PageId): string {
    return this.#opened.get(page)?.owner ?? '';
  }

  admissionOf(page: PageId): Admission {
    return this.#opened.get(page)?.admission ?? EVERYTHING;
  }

  sessionOf(page: PageId): string | undefined {
    return this.#sessions.get(page);
  }

  pageOf(session: string): PageId | undefined {
    return this.#pages.get(session);
  }

  /** How many have a session. */
  get count(): number {
    return this.#pages.size;
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

  /** The page is gone. Gives the session whose page this was. */
  close(page: PageId): string | undefined {
    this.#opened.delete(page);
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

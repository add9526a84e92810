import type { Silenced } from './camera.ts';

/** What a page needs of `sessionStorage`. */
export type PlaceStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/** Of what the server hands out (`session/tokens.ts`), and nothing else that a script of this origin may have put there. */
const TOKEN = /^[\w-]{1,128}$/;

/**
 * Where the resume token lies between two documents of one tab, so that a reload keeps its place: from `pagehide` until the next page takes it
 * out, which it does first of all. A tab that is duplicated copies the storage: it finds nothing there while the first one lives, so that two
 * tabs are two visits. The server takes this token for some seconds only.
 */
export class Place {
  readonly #storage: () => PlaceStorage;
  readonly #name: string;

  /** @param storage asking for it throws where the browser keeps it from the page */
  constructor(storage: () => PlaceStorage, server: string) {
    this.#storage = storage;
    this.#name = `rekeycast place at ${server}`;
  }

  /** The token of the document before, which is gone from the storage then. */
  take(): string | undefined {
    const token = this.#takeOut(this.#name);
    return TOKEN.test(token) ? token : undefined;
  }

  /** What was off in the document before: nobody who has turned the microphone off is heard because the page was loaded again. */
  takeSilenced(): readonly Silenced[] {
    const kept = this.#takeOut(this.#nameOfSilenced).split(' ');
    return (['audio', 'video'] as const).filter((kind) => kept.includes(kind));
  }

  keep(token: string, silenced: readonly Silenced[] = []): void {
    try {
      if (silenced.length > 0) this.#storage().setItem(this.#nameOfSilenced, silenced.join(' '));
      this.#storage().setItem(this.#name, token);
    } catch {
      // Full, or forbidden: the next page joins anew.
    }
  }

  #takeOut(name: string): string {
    try {
      const text = this.#storage().getItem(name) ?? '';
      this.#storage().removeItem(name);
      return text;
    } catch {
      return '';
    }
  }

  get #nameOfSilenced(): string {
    return `${this.#name}, off`;
  }
}

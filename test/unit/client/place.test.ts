import { describe, expect, it } from 'vitest';
import { Place, type PlaceStorage } from '../../../src/client/place.ts';

/** The `sessionStorage` of a tab. */
class FakeStorage implements PlaceStorage {
  readonly items: Map<string, string>;

  constructor(items: Iterable<[string, string]> = []) {
    this.items = new Map(items);
  }

  getItem(name: string): string | null {
    return this.items.get(name) ?? null;
  }

  setItem(name: string, value: string): void {
    this.items.set(name, value);
  }

  removeItem(name: string): void {
    this.items.delete(name);
  }

  /** What the browser gives a tab that is made of this one. */
  duplicate(): FakeStorage {
    return new FakeStorage(this.items);
  }
}

const SERVER = 'https://live.example.org';
const at = (storage: PlaceStorage, server = SERVER): Place => new Place(() => storage, server);

describe('a place', () => {
  it('is taken by the next document of the tab, once', () => {
    const tab = new FakeStorage();
    expect(at(tab).take()).toBeUndefined();
    at(tab).keep('token-1');
    expect(at(tab).take()).toBe('token-1');
    expect([at(tab).take(), tab.items.size]).toEqual([undefined, 0]);
  });

  it('is taken with what was off there, once', () => {
    const tab = new FakeStorage();
    expect(at(tab).takeSilenced()).toEqual([]);
    at(tab).keep('token-1', ['audio']);
    expect([at(tab).take(), at(tab).takeSilenced()]).toEqual(['token-1', ['audio']]);
    expect([at(tab).takeSilenced(), tab.items.size]).toEqual([[], 0]);
    const broken = new Place(() => expect.fail('the browser keeps its storage from the page'), SERVER);
    expect(broken.takeSilenced()).toEqual([]);
  });

  it('is not found by a duplicate of a tab that lives', () => {
    const tab = new FakeStorage();
    at(tab).keep('token-1');
    at(tab).take();
    expect(at(tab.duplicate()).take()).toBeUndefined();
  });

  it('is that at one server, and at no other', () => {
    const tab = new FakeStorage();
    at(tab).keep('token-1');
    expect(at(tab, 'https://other.example.org').take()).toBeUndefined();
    expect(at(tab).take()).toBe('token-1');
  });

  it.each(['', 'two words', 'a,b', 'a\nb', 'x'.repeat(129)])(
    'is not what has not the form of a token: %j',
    (text) => {
      const tab = new FakeStorage();
      at(tab).keep(text);
      expect([at(tab).take(), tab.items.size]).toEqual([undefined, 0]);
    },
  );

  it('is done without where the browser keeps its storage from the page, or has no room', () => {
    const forbidden = new Place(() => {
      throw new DOMException('', 'SecurityError');
    }, SERVER);
    forbidden.keep('token-1');
    expect(forbidden.take()).toBeUndefined();
    const full = new FakeStorage();
    full.setItem = () => {
      throw new DOMException('', 'QuotaExceededError');
    };
    at(full).keep('token-1');
    expect(at(full).take()).toBeUndefined();
  });
});

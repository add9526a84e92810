import { expect, it } from 'vitest';
import { Greetings } from '../../../src/server/greetings.ts';
import type { Route } from '../../../src/server/routes.ts';

const route = (id: string, role: 'viewer' | 'broadcaster'): Route =>
  ({ session: {}, connection: { id, role } }) as unknown as Route;

it('reach the broadcaster at once, whoever came before, and viewers some in a turn, each once', () => {
  const greeted: string[] = [];
  const greetings = new Greetings(({ connection }) => greeted.push(connection.id));
  const viewers = Array.from({ length: 150 }, (_, i) => `v${i}`);
  for (const id of viewers) greetings.add(route(id, 'viewer'), 0);
  expect([greeted, greetings.wait]).toEqual([viewers.slice(0, 64), true]);
  greetings.add(route('b', 'broadcaster'), 0);
  expect(greeted.splice(0).at(-1)).toBe('b');
  greetings.goOn(1);
  expect([greeted.splice(0), greetings.wait]).toEqual([viewers.slice(64, 128), true]);
  greetings.goOn(2);
  expect([greeted.splice(0), greetings.wait]).toEqual([viewers.slice(128), false]);
  greetings.goOn(3);
  expect(greeted).toEqual([]);
});

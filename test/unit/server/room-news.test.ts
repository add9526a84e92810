import { expect, it } from 'vitest';
import { RoomNews, roomMessage } from '../../../src/server/room-news.ts';

const QUIET = { viewers: 2, onAirSince: undefined };

it('is for all when it has changed, for who is new in any case, and for nobody else', () => {
  const news = new RoomNews();
  expect(news.look(QUIET, 0)).toEqual({ message: roomMessage(QUIET, 0), changed: true, untold: [] });
  expect(news.look(QUIET, 1)).toBeUndefined();
  for (const page of [7, 8, 9]) news.add(page);
  news.remove(8);
  expect(news.look(QUIET, 2)).toMatchObject({ changed: false, untold: [7, 9] });
  expect(news.look(QUIET, 3)).toBeUndefined();
  expect(news.look({ viewers: 3, onAirSince: undefined }, 4)?.changed).toBe(true);
  expect(news.look({ viewers: 3, onAirSince: 4 }, 5)?.changed).toBe(true);
  // Another broadcast, as long as the one before.
  expect(news.look({ viewers: 3, onAirSince: 5 }, 6)?.changed).toBe(true);
});

it('waits where many are to be told, the longer the more they are', () => {
  const news = new RoomNews();
  news.look(QUIET, 1_000);
  expect([news.isDue(50, 1_000), news.nextTimeout()]).toEqual([true, undefined]);
  expect([news.isDue(51, 1_199), news.nextTimeout()]).toEqual([false, 1_200]);
  expect(news.isDue(51, 1_200)).toBe(true);
  expect([news.isDue(2_000, 1_200), news.nextTimeout()]).toEqual([false, 3_000]);
  expect(news.isDue(2_000, 3_000)).toBe(true);
  news.look(QUIET, 3_000);
  expect(news.nextTimeout()).toBeUndefined();
});

it('says for how many whole seconds somebody is on air', () => {
  expect(roomMessage({ viewers: 1, onAirSince: 1_000 }, 3_999)).toEqual({
    type: 'room',
    viewers: 1,
    onAir: true,
    onAirSeconds: 2,
  });
  expect(roomMessage(QUIET, 3_999)).toMatchObject({ onAir: false, onAirSeconds: 0 });
});

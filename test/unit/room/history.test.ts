import { describe, expect, it } from 'vitest';
import { History } from '../../../src/room/history.ts';
import type { MediaPacket } from '../../../src/room/media.ts';

const packet = (index: number): MediaPacket => ({
  ssrc: 1,
  index,
  bytes: new Uint8Array(20).fill(index % 256),
});

const filled = (from: number, to: number, at = 0): History => {
  const history = new History(8, 3000);
  for (let index = from; index <= to; index++) history.insert(packet(index), at);
  return history;
};

const indices = (history: History, from: number, now: number): number[] =>
  history.from(from, now).map(({ media }) => media.index);

describe('the history of a stream', () => {
  it('gives packets by index and by sequence number, across a wrap', () => {
    const history = filled(65_533, 65_540);
    expect(history.get(65_535, 0)).toEqual(packet(65_535));
    expect(history.bySequence(65_535, 0)).toEqual(packet(65_535));
    expect(history.bySequence(3, 0)).toEqual(packet(65_539));
  });

  it('does not give what it never had, nor what shares a slot with it', () => {
    const history = filled(100, 103);
    expect(history.get(104, 0)).toBeUndefined();
    expect(history.get(101 - 8, 0)).toBeUndefined();
    expect(history.get(-5, 0)).toBeUndefined();
    expect(new History(8, 3000).bySequence(1, 0)).toBeUndefined();
  });

  it('is bounded in number', () => {
    const history = filled(100, 120);
    expect(indices(history, 0, 0)).toEqual([113, 114, 115, 116, 117, 118, 119, 120]);
    expect(history.bytes).toBe(8 * 20);
  });

  it('is bounded in time, and frees what has aged out', () => {
    const history = filled(100, 102);
    history.insert(packet(103), 3001);
    expect(history.get(102, 3000)).toBeUndefined();
    expect(history.get(103, 3001)).toEqual(packet(103));
    expect(history.bytes).toBe(20);
    history.prune(6002);
    expect(history.bytes).toBe(0);
  });

  it('admits a late packet once, and none behind its window', () => {
    const history = filled(100, 101);
    history.insert(packet(104), 0);
    expect(history.admits(103)).toBe(true);
    history.insert(packet(103), 0);
    expect(history.admits(103)).toBe(false);
    expect(history.admits(96)).toBe(false);
    expect(indices(history, 101, 0)).toEqual([101, 103, 104]);
  });

  it('still knows that an index was used when its packet has aged out', () => {
    const history = filled(100, 101);
    history.prune(9999);
    expect(history.get(100, 9999)).toBeUndefined();
    expect(history.admits(100)).toBe(false);
    expect(history.admits(102)).toBe(true);
  });
});

import { describe, expect, it } from 'vitest';
import {
  beyondOf,
  downtimeOf,
  durationOf,
  type NetworkPath,
  type Outage,
  Outages,
  roundTripsOf,
} from '../../../src/client/outages.ts';

const FAR: NetworkPath = { roundTripMs: 30, local: false };

function lost(
  outages: Outages,
  now: number,
  before: Partial<Parameters<Outages['handleLost']>[0]> = {},
): void {
  outages.handleLost({ role: 'viewer', epochBefore: 4, path: FAR, unwatched: false, ...before }, now);
}

function frames(outages: Outages, from: number, to: number): void {
  for (let at = from; at <= to; at += 33) outages.frame(at);
}

/** A restart of the server at 1000 that took a second; the picture stood from 990 to 2200. */
function restarted(before?: Partial<Outage>): Outages {
  const outages = new Outages();
  frames(outages, 0, 990);
  lost(outages, 1_000, before);
  outages.handleOpen(2_000);
  outages.handleTakenBack(true, 2_010);
  frames(outages, 2_200, 3_000);
  return outages;
}

describe('Outages', () => {
  it('knows how long the server was gone, how long the picture stood, and what was beyond', () => {
    const outages = restarted();
    expect(outages.latest).toMatchObject({ number: 1, lostAt: 1_000, backAt: 2_000, restarted: true });
    expect(outages.latest).toMatchObject({ gap: { from: 990, to: 2_200 }, unwatched: false });
    expect(outages.longestGapMs).toBe(1_210);
    expect(downtimeOf(outages.latest!)).toBe(1_000);
    expect(beyondOf(outages.latest!)).toBe(210);
  });

  it('counts a gap as beyond that does not meet the downtime, and nothing of one within it', () => {
    const outage = restarted().latest!;
    expect(beyondOf({ ...outage, gap: { from: 2_500, to: 2_800 } })).toBe(300);
    expect(beyondOf({ ...outage, gap: { from: 1_100, to: 1_300 } })).toBe(0);
    expect(beyondOf({ ...outage, gap: undefined })).toBeUndefined();
    expect(beyondOf({ ...outage, backAt: undefined })).toBeUndefined();
  });

  it('goes on with an outage where a server opens and closes at once', () => {
    const outages = new Outages();
    lost(outages, 1_000);
    outages.handleOpen(1_500);
    lost(outages, 1_600, { epochBefore: undefined });
    expect(outages.latest).toMatchObject({ lostAt: 1_000, backAt: undefined, epochBefore: 4 });
    outages.handleOpen(2_000);
    outages.handleTakenBack(true, 2_000);
    expect(outages.all).toHaveLength(1);
    expect(downtimeOf(outages.latest!)).toBe(1_000);
  });

  it('does not move the end of an outage when the WebSocket opens for another reason', () => {
    const outages = restarted();
    outages.handleOpen(9_000);
    outages.handleTakenBack(false, 9_000);
    expect(outages.latest).toMatchObject({ backAt: 2_000, restarted: true });
  });

  it('gives each outage its own gap', () => {
    const outages = restarted();
    lost(outages, 10_000);
    outages.handleOpen(10_100);
    outages.handleTakenBack(false, 10_100);
    outages.frame(10_200);
    expect(outages.all.map(({ number, gap, restarted }) => ({ number, gap, restarted }))).toEqual([
      { number: 1, gap: { from: 990, to: 2_200 }, restarted: true },
      { number: 2, gap: { from: 2_992, to: 10_200 }, restarted: false },
    ]);
  });

  it('keeps the last twenty', () => {
    const outages = new Outages();
    for (let i = 1; i <= 50; i++) {
      lost(outages, i * 1_000);
      outages.handleTakenBack(true, i * 1_000 + 10);
    }
    expect(outages.all).toHaveLength(20);
    expect(outages.all[0]!.number).toBe(31);
  });

  it('says so where nobody looked', () => {
    const outages = new Outages();
    outages.frame(0);
    lost(outages, 10);
    outages.pause();
    expect(outages.latest?.unwatched).toBe(true);
    expect(restarted({ unwatched: true }).latest?.unwatched).toBe(true);
  });

  it('says nothing of who looks away when it is over, or of a broadcaster', () => {
    const outages = restarted();
    outages.pause();
    expect(outages.latest?.unwatched).toBe(false);
    const broadcasting = new Outages();
    lost(broadcasting, 10, { role: 'broadcaster' });
    broadcasting.pause();
    expect(broadcasting.latest?.unwatched).toBe(false);
  });

  it('takes the first new keys since the server was lost, in milliseconds and round trips', () => {
    const outages = restarted();
    const rekey = { from: 2_005, to: 2_050, way: 'in-place', epoch: 5 } as const;
    outages.handleRekey({ ...rekey, from: 999 });
    expect(outages.latest?.rekey).toBeUndefined();
    outages.handleRekey(rekey);
    outages.handleRekey({ ...rekey, from: 5_000, to: 5_100, epoch: 6 });
    expect(outages.latest).toMatchObject({ rekey, epochBefore: 4 });
    expect(durationOf(rekey)).toBe(45);
    expect(roundTripsOf(outages.latest!)).toBe(1.5);
  });

  it.each([{ roundTripMs: 30, local: true }, { roundTripMs: 0, local: false }, undefined])(
    'counts no round trips over %j',
    (path) => {
      const outages = restarted({ path });
      outages.handleRekey({ from: 2_005, to: 2_050, way: 'in-place', epoch: 5 });
      expect(roundTripsOf(outages.latest!)).toBeUndefined();
    },
  );
});

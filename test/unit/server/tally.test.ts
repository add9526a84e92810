import { describe, expect, it } from 'vitest';
import type { BroadcastEvent } from '../../../src/server/broadcast-io.ts';
import { Tally } from '../../../src/server/tally.ts';
import { countOf } from '../../../src/util/histogram.ts';

const started = (way: string): BroadcastEvent => ({
  event: 'rekey-started',
  connection: 'a/1',
  epoch: 1,
  reason: 'resume',
  way,
});
const keyed: BroadcastEvent = { event: 'keyed', connection: 'a/1', epoch: 1, sinceOfferMs: 110 };
const failed: BroadcastEvent = { event: 'handshake-failed', connection: 'a/1', reason: 'timeout' };

function tallyOf(...events: readonly BroadcastEvent[]): Tally {
  const tally = new Tally();
  for (const event of events) tally.note(event);
  return tally;
}

const countsOf = (histograms: ReturnType<() => Tally['rekeys']>['durationMs']) =>
  Object.fromEntries(Object.entries(histograms).map(([way, one]) => [way, countOf(one)]));

describe('Tally', () => {
  it('counts visitors by role, and what went wrong', () => {
    const tally = tallyOf(
      { event: 'session-opened', session: 'a', role: 'broadcaster' },
      { event: 'session-opened', session: 'b', role: 'viewer' },
      { event: 'session-opened', session: 'c', role: 'viewer' },
      { event: 'session-resumed', session: 'b', role: 'viewer' },
      { event: 'session-closed', session: 'c', role: 'viewer' },
      { event: 'token-refused' },
      { event: 'consent-lost', connection: 'a/1' },
      { event: 'protect-failed', connection: 'a/1', reason: 'x' },
      failed,
    );
    expect(tally.sessions).toEqual({
      opened: { broadcaster: 1, viewer: 2 },
      resumed: { viewer: 1 },
      closed: { viewer: 1 },
      tokensRefused: 1,
      consentLost: 1,
    });
    expect(tally.protectFailed).toBe(1);
    expect(tally.rekeys.handshakeFailures).toEqual({ timeout: 1 });
  });

  it('tells first connections, re-keys in place and replacements apart', () => {
    const tally = tallyOf(keyed, started('rekey'), keyed, started('replacement'), keyed, keyed);
    expect(tally.rekeys.started).toEqual({ 'resume in-place': 1, 'resume replacement': 1 });
    expect(countsOf(tally.rekeys.durationMs)).toEqual({ first: 2, 'in-place': 1, replacement: 1 });
    expect(tally.rekeys.durationMs['in-place']?.sum).toBe(110);
  });

  it('takes a handshake that failed for the end of its re-key', () => {
    expect(countsOf(tallyOf(started('rekey'), failed, keyed).rekeys.durationMs)).toMatchObject({
      first: 1,
      'in-place': 0,
    });
  });

  it('counts round trips as soon as one is measured, once', () => {
    const tally = tallyOf(started('rekey'), keyed);
    tally.measured('b/1', 10);
    expect(tally.rekeys.roundTrips['in-place']?.sum).toBe(0);
    tally.measured('a/1', 100);
    tally.measured('a/1', 100);
    expect(tally.rekeys.roundTrips['in-place']).toMatchObject({ sum: 1.1 });
    expect(countOf(tally.rekeys.roundTrips['in-place']!)).toBe(1);
  });

  it('remembers nothing of a connection that is closed', () => {
    const tally = tallyOf(started('rekey'), keyed);
    tally.forget('a/1');
    tally.measured('a/1', 100);
    expect(tally.rekeys.roundTrips['in-place']?.sum).toBe(0);
  });

  it('tells how long keys of before outlived the offer, and what ended them', () => {
    const tally = tallyOf(
      { event: 'stale-keys-destroyed', connection: 'a/1', by: 'flight', sinceOfferMs: 40 },
      { event: 'stale-keys-destroyed', connection: 'a/1', by: 'deadline', sinceOfferMs: undefined },
    );
    expect(tally.rekeys.keysDestroyed).toEqual({ flight: 1, deadline: 1 });
    expect(tally.rekeys.staleKeysMs.sum).toBe(40);
    expect(countOf(tally.rekeys.staleKeysMs)).toBe(1);
  });
});

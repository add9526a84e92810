import { describe, expect, it } from 'vitest';
import { Continuity } from '../../../src/client/continuity.ts';
import {
  describeOutage,
  describeSeal,
  describeTimeline,
  shortFingerprint,
  span,
  summarize,
  wholeFingerprint,
} from '../../../src/client/continuity-words.ts';
import type { Outage } from '../../../src/client/outages.ts';

const outage: Outage = {
  number: 1,
  role: 'viewer',
  lostAt: 1_000,
  backAt: 2_200,
  restarted: true,
  gap: { from: 990, to: 2_390 },
  unwatched: false,
  path: { roundTripMs: 28, local: false },
  epochBefore: 3,
  rekey: { from: 2_205, to: 2_239, way: 'in-place', epoch: 4 },
};

describe('an outage in words', () => {
  it('says what it has cost in one line', () => {
    expect(summarize(outage)).toBe(
      'Server gone 1.2 s · picture stood 1.4 s · beyond 200 ms · new keys in 34 ms (1.2 round trips), in place',
    );
  });

  it('does not claim what was not seen', () => {
    expect(summarize({ ...outage, unwatched: true, rekey: undefined })).toBe('Server gone 1.2 s');
    expect(summarize({ ...outage, backAt: undefined })).toBe('Server gone');
    expect(describeOutage({ ...outage, backAt: undefined }, 9_000).downtime).toBe('8.0 s so far');
    expect(describeOutage({ ...outage, unwatched: true }, 9_000)).toMatchObject({
      stood: 'not seen',
      beyond: 'not seen',
    });
  });

  it('tells a restart from a lost connection', () => {
    expect(describeOutage(outage, 9_000).title).toBe('Server restarted');
    expect(describeOutage({ ...outage, restarted: false }, 9_000).title).toBe('Connection lost');
    expect(describeOutage({ ...outage, restarted: undefined }, 9_000).title).toBe('Server away');
  });

  it('says that there are no round trips to count on one machine', () => {
    const near = { ...outage, path: { roundTripMs: 1, local: true } };
    expect(describeOutage(near, 9_000).keys).toBe('34 ms (on this machine: no round trips), in place');
    const lan = { ...outage, path: { roundTripMs: 1, local: false } };
    expect(describeOutage(lan, 9_000).keys).toContain('(too near to count round trips)');
    expect(describeOutage({ ...outage, path: undefined }, 9_000).keys).toBe('34 ms, in place');
  });

  it('counts on while the picture stands, and does not take what was on its way for its end', () => {
    const going = { ...outage, gap: { from: 990, to: 1_080 } };
    expect(describeOutage(going, 4_080, 1_080)).toMatchObject({ stood: '3.0 s so far', beyond: '–' });
    expect(describeOutage({ ...going, unwatched: true }, 4_080, 1_080).stood).toBe('not seen');
    expect(describeOutage({ ...going, restarted: undefined }, 1_100)).toMatchObject({
      stood: '–',
      beyond: '–',
    });
  });

  it('shows the epochs before and after', () => {
    expect(describeOutage(outage, 9_000).epochs).toBe('3 → 4');
    expect(describeOutage({ ...outage, rekey: undefined }, 9_000).epochs).toBe('–');
  });

  it('speaks of the connection to a broadcaster', () => {
    expect(summarize({ ...outage, role: 'broadcaster' })).toContain('connection was down 1.4 s');
    const words = describeOutage({ ...outage, role: 'broadcaster' }, 9_000);
    expect(words.stood).toBe('connection down 1.4 s');
    expect(describeOutage({ ...outage, role: 'broadcaster', gap: undefined }, 9_000).stood).toBe(
      'connection stayed up',
    );
  });
});

describe('the seal in words', () => {
  it('has a word for every state that a visit passes through', () => {
    const continuity = new Continuity();
    expect(describeSeal(continuity).title).toBe('First keys');
    continuity.handleLost('viewer', 0, 10);
    expect(describeSeal(continuity).title).toBe('The server is away');
    continuity.handleOpen(20);
    continuity.handleTakenBack(true, 20);
    expect(describeSeal(continuity).title).toBe('Keys not replaced yet');
  });

  it('says whether the certificate was seen or announced', () => {
    const continuity = (source: 'transport' | 'sdp') => ({
      ...new Continuity(),
      outages: [],
      seal: {
        state: 'sealed' as const,
        handshake: undefined,
        certificates: { verdict: 'same' as const, sha256: 'aa', source },
      },
      version: 0,
      marks: () => [],
      epochAt: () => undefined,
      standingSince: () => undefined,
    });
    expect(describeSeal(continuity('transport')).text).toContain('the same certificate');
    expect(describeSeal(continuity('sdp')).text).toContain('announced');
  });
});

describe('the timeline in words', () => {
  it('sums up what can be seen on it', () => {
    expect(describeTimeline([], [], 60)).toBe(
      'Frames shown in the last 60 seconds. The server was there all the time.',
    );
    const marks = [
      { kind: 'gone', at: 1 },
      { kind: 'keys', at: 2 },
      { kind: 'keys', at: 3 },
    ] as const;
    expect(describeTimeline([outage], marks, 60)).toMatch(
      /The server was gone once\. Keys were replaced 2 times\. Last outage: Server gone 1\.2 s, picture stood/,
    );
  });
});

describe('numbers in words', () => {
  it.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [999.6, '1.0 s'],
    [1_234, '1.2 s'],
    [9_960, '10 s'],
    [59_400, '59 s'],
    [125_000, '2 min 5 s'],
  ])('%f ms are %s', (ms, words) => {
    expect(span(ms, '')).toBe(words);
  });

  it('are replaced where there is none', () => {
    expect(span(undefined, 'none')).toBe('none');
  });

  it('show a fingerprint in groups, and as others show it', () => {
    expect(shortFingerprint('9a341db50e43d7c6aabb')).toBe('9A34 1DB5 … AABB');
    expect(shortFingerprint('')).toBe('');
    expect(wholeFingerprint('9a341d')).toBe('9A:34:1D');
  });
});

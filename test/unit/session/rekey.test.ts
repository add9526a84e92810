import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../../src/session/connection.ts';
import { digestOf, nextEpoch, planRekey, type RekeyReason } from '../../../src/session/rekey.ts';

describe('nextEpoch', () => {
  it('is higher than all before, and of the other parity than what the browser has applied', () => {
    fc.assert(
      fc.property(fc.nat(1_000_000), fc.nat(1_000_000), (offered, applied) => {
        const next = nextEpoch(offered, applied);
        expect(next).toBeGreaterThan(offered);
        expect(next).toBeGreaterThan(applied);
        expect(digestOf(next)).not.toBe(digestOf(applied));
        expect(next).toBeLessThanOrEqual(Math.max(offered, applied) + 2);
      }),
    );
  });

  it('alternates while every offer is applied', () => {
    const epochs = [0];
    for (let i = 0; i < 6; i++) epochs.push(nextEpoch(epochs.at(-1)!, epochs.at(-1)!));
    expect(epochs).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(epochs.map(digestOf)).toEqual([0, 1, 0, 1, 0, 1, 0].map((i) => ['sha-256', 'sha-512'][i]));
  });

  it('starts a new association over any crashes that lose what was offered and any offers that are never applied', () => {
    const step = fc.record({ applies: fc.boolean(), forgets: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let [known, applied] = [0, 0];
        const used = new Set([0]);
        for (const { applies, forgets } of steps) {
          const epoch = nextEpoch(known, applied);
          expect(digestOf(epoch)).not.toBe(digestOf(applied));
          if (applies) {
            // Higher than any that the browser has had, so that no two of its associations are of one epoch.
            expect(used.has(epoch)).toBe(false);
            used.add(epoch);
            applied = epoch;
          }
          known = Math.max(0, epoch - forgets);
        }
      }),
    );
  });
});

describe('planRekey', () => {
  const connection = { number: 3 } as Connection;
  const position = { connection: 3, epoch: 1, settled: true };
  const able = { rekeyInPlace: true };

  it('is in place after a resume, where the browser can and the page is on this connection', () => {
    expect(planRekey('resume', able, connection, position)).toBe('in-place');
  });

  it.each<[string, Parameters<typeof planRekey>]>([
    ['the browser cannot', ['resume', { rekeyInPlace: false }, connection, position]],
    ['there is no connection', ['resume', able, undefined, position]],
    ['the page has no connection', ['resume', able, connection, undefined]],
    ['the page is on another one', ['resume', able, connection, { connection: 2, epoch: 1, settled: true }]],
  ])('is a replacement where %s', (_what, parameters) => {
    expect(planRekey(...parameters)).toBe('replacement');
  });

  it.each<RekeyReason>(['interval', 'order', 'stalled', 'missed-deadline'])(
    'is a replacement that nobody notices for the reason "%s"',
    (reason) => {
      expect(planRekey(reason, able, connection, position)).toBe('replacement');
    },
  );
});

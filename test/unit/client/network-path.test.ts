import { describe, expect, it } from 'vitest';
import { pathOf } from '../../../src/client/network-path.ts';

const statistics = (remote: string | undefined, local?: string, pair: object = {}) =>
  new Map<string, unknown>([
    ['C1', { type: 'codec' }],
    ['T1', { type: 'transport', selectedCandidatePairId: 'P1' }],
    ['P0', { type: 'candidate-pair', currentRoundTripTime: 9 }],
    [
      'P1',
      {
        type: 'candidate-pair',
        currentRoundTripTime: 0.034,
        remoteCandidateId: 'R',
        localCandidateId: 'L',
        ...pair,
      },
    ],
    ['R', { type: 'remote-candidate', address: remote }],
    ['L', { type: 'local-candidate', address: local }],
  ]);

describe('the way to the server', () => {
  it('is measured on the candidate pair in use', () => {
    expect(pathOf(statistics('192.0.2.1', '198.51.100.7'))).toEqual({ roundTripMs: 34, local: false });
  });

  it.each([
    ['127.0.0.1', undefined],
    ['::1', undefined],
    ['192.0.2.1', '192.0.2.1'],
  ])('is none where the server has %s and the browser %s', (remote, local) => {
    expect(pathOf(statistics(remote, local))?.local).toBe(true);
  });

  it('is not taken for none where the browser hides addresses', () => {
    expect(pathOf(statistics(undefined, undefined))?.local).toBe(false);
  });

  it('is unknown without a pair in use, or before its first answer', () => {
    expect(pathOf(new Map())).toBeUndefined();
    expect(pathOf(new Map([['T1', { type: 'transport' }]]))).toBeUndefined();
    expect(pathOf(statistics('192.0.2.1', undefined, { currentRoundTripTime: undefined }))).toBeUndefined();
  });
});

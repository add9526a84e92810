import { describe, expect, it } from 'vitest';
import { isThisMachine, pathOf } from '../../../src/client/network-path.ts';

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
    expect(pathOf(statistics('192.0.2.1', '198.51.100.7'), 'live.example.org')).toEqual({
      roundTripMs: 34,
      local: false,
    });
  });

  it.each([
    ['127.0.0.1', undefined],
    ['::1', undefined],
    ['192.0.2.1', '192.0.2.1'],
  ])('is none where the server has %s and the browser %s', (remote, local) => {
    expect(pathOf(statistics(remote, local), 'live.example.org')?.local).toBe(true);
  });

  it.each(['localhost', '127.0.0.1', '127.1.2.3', '[::1]'])('is none to %s', (host) => {
    expect(pathOf(statistics(undefined, undefined), host)?.local).toBe(true);
    expect(isThisMachine(`x${host}`)).toBe(false);
  });

  it('is not taken for none where the browser hides addresses', () => {
    expect(pathOf(statistics(undefined, undefined), 'live.example.org')?.local).toBe(false);
  });

  it('is unknown without a pair in use, or before its first answer', () => {
    expect(pathOf(new Map(), 'live.example.org')).toBeUndefined();
    expect(pathOf(new Map([['T1', { type: 'transport' }]]), 'live.example.org')).toBeUndefined();
    expect(
      pathOf(statistics('192.0.2.1', undefined, { currentRoundTripTime: undefined }), 'live.example.org'),
    ).toBeUndefined();
  });
});

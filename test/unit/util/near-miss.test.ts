import { describe, expect, it } from 'vitest';
import { nearest } from '../../../src/util/near-miss.ts';

const NAMES = ['HOST', 'PORT', 'UDP_PORT', 'STATE_DIR', 'ANNOUNCED_ADDRESS'];

describe('nearest', () => {
  it.each([
    ['STATE_DRI', 'STATE_DIR'],
    ['SATTE_DIR', 'STATE_DIR'],
    ['STATE_DIRS', 'STATE_DIR'],
    ['STAT_DR', 'STATE_DIR'],
    ['STATE-DIR', 'STATE_DIR'],
    ['host', 'HOST'],
    ['HOTS', 'HOST'],
    ['PORTT', 'PORT'],
  ])('takes %s for %s', (typed, name) => {
    expect(nearest(typed, NAMES)).toBe(name);
  });

  it.each(['HOME', 'POET_', 'STATES_DIRSS', 'TAT_DRR', 'ADDRESS', '', '__proto__'])(
    'takes %j for none',
    (typed) => {
      expect(nearest(typed, NAMES)).toBeUndefined();
    },
  );

  it('prefers what differs least', () => {
    expect(nearest('ABCDEFGX', ['ABCDEFYY', 'ABCDEFGH', 'ABCDEF'])).toBe('ABCDEFGH');
  });
});

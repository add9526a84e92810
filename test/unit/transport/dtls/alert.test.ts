import { describe, expect, it } from 'vitest';
import { alertFor, decodeAlert } from '../../../../src/transport/dtls/alert.ts';

describe('an alert', () => {
  it('ends the association when fatal or close_notify', () => {
    expect(decodeAlert(Uint8Array.of(2, 40))).toBe('end');
    expect(decodeAlert(Uint8Array.of(1, 0))).toBe('end');
  });

  it('is a warning otherwise', () => {
    expect(decodeAlert(Uint8Array.of(1, 90))).toBe('warning');
  });

  it.each([[], [2], [2, 40, 0], [3, 40]])('is none when it is %j', (...bytes: number[]) => {
    expect(decodeAlert(Uint8Array.from(bytes))).toBeUndefined();
  });

  it('is fatal where the peer is to learn of a failure', () => {
    expect(alertFor('bad-signature')).toEqual(Uint8Array.of(2, 51));
  });

  it('is not sent where there is nobody to tell', () => {
    expect(alertFor('timeout')).toBeUndefined();
    expect(alertFor('closed-by-peer')).toBeUndefined();
  });
});

import { describe, expect, it } from 'vitest';
import { printable } from '../../../src/util/printable.ts';

describe('text for a terminal', () => {
  it('stays as it is where it is text', () => {
    expect(printable('größer als 1 kB: /srv/state')).toBe('größer als 1 kB: /srv/state');
  });

  it('loses what would steer the terminal or make a line of its own', () => {
    expect(printable('a\u001b[2Jb\nc\r\u009bd\u0000\u007f')).toBe('a?[2Jb?c??d??');
  });
});

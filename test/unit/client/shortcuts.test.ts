import { describe, expect, it } from 'vitest';
import { commandOf, type KeyPress } from '../../../src/client/shortcuts.ts';

const press = (key: string, rest: Partial<KeyPress> = {}): KeyPress => ({
  key,
  modified: false,
  typing: false,
  onControl: false,
  ...rest,
});

describe('the keys of the page', () => {
  it.each([
    ['m', 'mute'],
    ['M', 'mute'],
    ['k', 'mute'],
    [' ', 'mute'],
    ['f', 'full'],
    ['p', 'pip'],
    ['?', 'help'],
  ])('%j means %s', (key, command) => {
    expect(commandOf(press(key))).toBe(command);
  });

  it.each(['a', 'Enter', 'Tab', 'Escape', 'ArrowUp'])('%s is left to the browser', (key) => {
    expect(commandOf(press(key))).toBeUndefined();
  });

  it('mean nothing while somebody types, or with a modifier', () => {
    expect(commandOf(press('m', { typing: true }))).toBeUndefined();
    expect(commandOf(press('f', { modified: true }))).toBeUndefined();
  });

  it('leave the space bar, and only that, to the button that has the focus', () => {
    expect(commandOf(press(' ', { onControl: true }))).toBeUndefined();
    expect(commandOf(press('m', { onControl: true }))).toBe('mute');
  });
});

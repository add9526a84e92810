import { describe, expect, it } from 'vitest';
import type { CameraProblem, Facts, PageState, Problem } from '../../../src/client/facts.ts';
import {
  describeBroadcast,
  describeCurtain,
  describeDeviceProblem,
  describeHint,
  describeProblem,
  describeQuality,
  describeState,
  describeTime,
  describeTitle,
} from '../../../src/client/words.ts';

const STATES: readonly PageState[] = [
  'connecting',
  'camera',
  'live',
  'waiting',
  'rekeying',
  'interrupted',
  'reconnecting',
  'locked',
  'stopped',
];
const CAMERA: readonly CameraProblem[] = [
  'camera-denied',
  'camera-missing',
  'camera-in-use',
  'camera-insecure',
  'camera-lost',
  'camera-failed',
];
const PROBLEMS: readonly Problem[] = [
  ...CAMERA,
  'broadcaster-present',
  'room-full',
  'too-many-visits',
  'shutting-down',
  'token-required',
  'token-refused',
  'token-expired',
  'publish-forbidden',
  'rate-limited',
  'superseded',
  'left',
  'unreachable',
  'refused',
];
/** What a visitor should never have to know. */
const JARGON = /\b(DTLS|SRTP|ICE|SDP|WebSocket|RTC\w*|epoch|null|undefined|NaN|error)\b/i;

const inState = (state: PageState, role: Facts['role'] = 'viewer') => ({ state, role }) as Facts;

describe('the words of the page', () => {
  it.each(STATES)('say what it is to be %s, as a sentence and without jargon', (state) => {
    for (const words of [describeState(inState(state)), describeCurtain(inState(state))]) {
      expect(words).toMatch(/^[A-Z].*[.…]$/);
      expect(words).not.toMatch(JARGON);
    }
  });

  it('tell a broadcaster from a viewer', () => {
    expect(describeState(inState('live'))).not.toBe(describeState(inState('live', 'broadcaster')));
  });

  it.each(PROBLEMS)('say what %s means, as a sentence and without jargon', (problem) => {
    expect(describeProblem(problem)).toMatch(/^[A-Z].*\.$/);
    expect(describeProblem(problem)).not.toMatch(JARGON);
  });

  it.each(CAMERA)('say in the dialog what %s means', (problem) => {
    expect(describeDeviceProblem(problem)).toMatch(/^[A-Z].*\.$/);
    expect(describeDeviceProblem(problem)).not.toMatch(/press Broadcast/);
  });

  it('say nothing where there is no problem', () => {
    expect(describeProblem(undefined)).toBe('');
  });

  it('hint at what passes by itself, and at nothing while all is well', () => {
    expect(
      ['rekeying', 'interrupted', 'reconnecting'].map((one) => describeHint(inState(one as PageState))),
    ).not.toContain('');
    expect(describeHint(inState('live'))).toBe('');
    expect(describeHint(inState('waiting'))).toBe('');
  });

  it('say in the tab whether there is something to see', () => {
    expect(describeTitle({ onAir: true } as Facts)).toBe('Live – rekeycast');
    expect(describeTitle({ onAir: false } as Facts)).toBe('rekeycast');
  });

  it('offer who has watched to be the next', () => {
    expect(describeBroadcast(false)).toBe('Broadcast');
    expect(describeBroadcast(true)).toBe('Be the next broadcaster');
  });
});

describe('the time on air', () => {
  it.each([
    [0, '0:00'],
    [999, '0:00'],
    [61_000, '1:01'],
    [3_599_999, '59:59'],
    [3_600_000, '1:00:00'],
    [36_061_000, '10:01:01'],
  ])('of %d ms is %s', (ms, words) => {
    expect(describeTime(ms)).toBe(words);
  });

  it('is not negative where clocks disagree', () => {
    expect(describeTime(-5_000)).toBe('0:00');
  });
});

describe('the words for quality', () => {
  it('are numbers with their units', () => {
    const now = { width: 1280, height: 720, framesPerSecond: 29.97, kilobitsPerSecond: 1499.6, loss: 0.0123 };
    expect(describeQuality(now)).toEqual({
      picture: '1280 × 720',
      frames: '30 a second',
      bits: '1500 kbit/s',
      loss: '1.2 %',
    });
  });

  it('are dashes for what is not known, and say what limits', () => {
    expect(describeQuality({})).toEqual({ picture: '–', frames: '–', bits: '–', loss: '–' });
    expect(describeQuality({ width: 640, height: 360, limitedBy: 'cpu' }).picture).toMatch(
      /^640 × 360, .*device/,
    );
  });
});

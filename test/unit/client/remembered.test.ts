import { describe, expect, it } from 'vitest';
import { parseDevices } from '../../../src/client/remembered.ts';

describe('devices that were chosen before', () => {
  it('are what was written', () => {
    expect(parseDevices('{"camera":"c","microphone":"m"}')).toEqual({ camera: 'c', microphone: 'm' });
    expect(parseDevices('{"microphone":"m"}')).toEqual({ microphone: 'm' });
  });

  it.each([
    null,
    '',
    'x',
    'null',
    '[]',
    '7',
    '{"camera":7}',
    '{"camera":""}',
    `{"camera":"${'x'.repeat(300)}"}`,
  ])('are none in %j', (text) => {
    expect(parseDevices(text)).toEqual({});
  });
});

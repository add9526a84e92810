import { describe, expect, it } from 'vitest';
import { RekeycastError } from '../../../src/errors.ts';
import { bindFailed } from '../../../src/util/bind-error.ts';

const failure = (code: string): NodeJS.ErrnoException => Object.assign(new Error(`bind ${code}`), { code });

describe('what kept a socket from its address', () => {
  it.each([
    ['EADDRINUSE', 'udp', 'PORT_IN_USE', 'UDP_PORT'],
    ['EADDRINUSE', 'tcp', 'PORT_IN_USE', 'Set PORT'],
    ['EADDRNOTAVAIL', 'udp', 'ADDRESS_UNAVAILABLE', 'HOST'],
    ['EAFNOSUPPORT', 'udp', 'ADDRESS_UNAVAILABLE', 'Set HOST to 0.0.0.0'],
    ['EACCES', 'tcp', 'ADDRESS_UNAVAILABLE', '80/tcp'],
  ] as const)('is said in words: %s over %s', (system, protocol, code, setting) => {
    const cause = failure(system);
    const error = bindFailed(cause, '192.0.2.1', 80, protocol);
    expect(error).toBeInstanceOf(RekeycastError);
    expect(error).toMatchObject({ code, cause, message: expect.stringContaining(setting) });
  });

  it('stays as it is where there are no words for it', () => {
    const cause = failure('EMFILE');
    expect(bindFailed(cause, '192.0.2.1', 80, 'tcp')).toBe(cause);
  });
});

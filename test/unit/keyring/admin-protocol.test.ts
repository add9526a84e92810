import { describe, expect, it } from 'vitest';
import {
  formatAdminLine,
  MAX_ADMIN_LINE_BYTES,
  parseAdminRequest,
  parseAdminResponse,
} from '../../../src/keyring/admin-protocol.ts';

describe('an admin request', () => {
  it.each(['rekey', 'certificate', 'reseal', 'status', 'drain'] as const)(
    '%s comes back as it was',
    (command) => {
      expect(parseAdminRequest(formatAdminLine({ command }))).toEqual({ command });
    },
  );

  it.each([
    '',
    '{',
    'null',
    '[]',
    '{}',
    '{"command":"destroy"}',
    '{"command":"rekey","force":true}',
    '{"command":["rekey"]}',
  ])('is refused: %s', (line) => {
    expect(parseAdminRequest(line)).toBeUndefined();
  });

  it('is refused past the longest line', () => {
    const padded = (length: number) => '{"command":"rekey"}'.padEnd(length);
    expect(parseAdminRequest(padded(MAX_ADMIN_LINE_BYTES))).toBeDefined();
    expect(parseAdminRequest(padded(MAX_ADMIN_LINE_BYTES + 1))).toBeUndefined();
  });
});

describe('an admin response', () => {
  it('comes back as it was, with what is in it', () => {
    const good = { ok: true, key: '00', sessions: 3 } as const;
    const bad = { ok: false, error: 'the disk is full' } as const;
    expect([good, bad].map((response) => parseAdminResponse(formatAdminLine(response)))).toEqual([good, bad]);
  });

  it.each(['', 'ok', '{"ok":1}', '{"ok":false}', '{"error":"x"}'])('is refused: %s', (line) => {
    expect(parseAdminResponse(line)).toBeUndefined();
  });
});

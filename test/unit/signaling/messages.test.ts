import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseClientMessage } from '../../../src/signaling/messages.ts';
import { MAX_MESSAGE_BYTES, type PageMessage } from '../../../src/signaling/protocol.ts';

const MESSAGES: readonly PageMessage[] = [
  { type: 'join', capabilities: { rekeyInPlace: true } },
  { type: 'confirm' },
  { type: 'answer', connection: 1, offer: 2, sdp: 'v=0\r\n' },
  { type: 'playing', connection: 0 },
  { type: 'stalled', connection: 3 },
  { type: 'publish' },
  { type: 'decline', reason: 'NotAllowedError' },
  { type: 'capabilities', capabilities: { rekeyInPlace: true } },
  { type: 'ping' },
  { type: 'away' },
  { type: 'leave' },
  { type: 'demo', action: 'kill' },
  { type: 'demo', action: 'deploy' },
  { type: 'demo', action: 'rotate' },
];

const parse = (value: unknown): PageMessage | undefined => parseClientMessage(JSON.stringify(value));

describe('parseClientMessage', () => {
  it.each(MESSAGES)('takes $type', (message) => {
    expect(parse(message)).toEqual(message);
  });

  it.each(MESSAGES)('refuses $type with a field more', (message) => {
    expect(parse({ ...message, extra: 1 })).toBeUndefined();
  });

  it.each(MESSAGES.flatMap((message) => Object.keys(message).map((field) => ({ message, field }))))(
    'refuses $message.type without its $field, or with another type of it',
    ({ message, field }) => {
      const { [field as 'type']: value, ...rest } = message;
      expect(parse(rest)).toBeUndefined();
      for (const other of [null, true, 1.5, -1, '', 'x', [], {}, [value]]) {
        if (typeof other === typeof value && typeof value === 'string' && field !== 'type') continue;
        expect(parse({ ...message, [field]: other })).toBeUndefined();
      }
    },
  );

  it('refuses capabilities with a field more', () => {
    expect(parse({ type: 'join', capabilities: { rekeyInPlace: true, root: true } })).toBeUndefined();
    expect(parse({ type: 'join', capabilities: { rekeyInPlace: 'yes' } })).toBeUndefined();
    expect(parse({ type: 'join', capabilities: {} })).toBeUndefined();
  });

  it.each(['Kill', 'kill ', 'format', 'toString', '__proto__'])('knows no button %j', (action) => {
    expect(parse({ type: 'demo', action })).toBeUndefined();
  });

  it.each([2 ** 53, 1e300, '1'])('refuses %j for a number', (connection) => {
    expect(parse({ type: 'playing', connection })).toBeUndefined();
  });

  it('takes an SDP of 32 KiB and none that is longer', () => {
    const answer = (length: number) => ({ type: 'answer', connection: 1, offer: 1, sdp: 'x'.repeat(length) });
    expect(parse(answer(32 * 1024))).toBeDefined();
    expect(parse(answer(32 * 1024 + 1))).toBeUndefined();
  });

  it('takes a reason of 200 characters and none that is longer', () => {
    expect(parse({ type: 'decline', reason: 'x'.repeat(200) })).toBeDefined();
    expect(parse({ type: 'decline', reason: 'x'.repeat(201) })).toBeUndefined();
  });

  it('does not even look at what is longer than a message', () => {
    const padded = (length: number) => '{"type":"leave"}'.padEnd(length);
    expect(parseClientMessage(padded(MAX_MESSAGE_BYTES))).toEqual({ type: 'leave' });
    expect(parseClientMessage(padded(MAX_MESSAGE_BYTES + 1))).toBeUndefined();
  });

  it.each(['', 'leave', '{', '[]', 'null', '"leave"', '{"type":"__proto__"}', '{"type":"toString"}'])(
    'refuses %s',
    (text) => {
      expect(parseClientMessage(text)).toBeUndefined();
    },
  );

  it('never throws, whatever comes', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), (text) => {
        expect(parseClientMessage(text)).toBeUndefined();
      }),
    );
  });
});

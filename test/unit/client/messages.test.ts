import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseServerMessage } from '../../../src/client/messages.ts';
import {
  DEMO_ACTIONS,
  type ServerMessage,
  type SignalingErrorCode,
} from '../../../src/signaling/protocol.ts';

fc.configureGlobal({ seed: 6455 });

const count = fc.nat();
const role = fc.constantFrom('broadcaster' as const, 'viewer' as const);
const code = fc.constantFrom<SignalingErrorCode>(
  'TOKEN_UNKNOWN',
  'SUPERSEDED',
  'BROADCASTER_PRESENT',
  'MESSAGE_INVALID',
  'MESSAGE_TOO_LARGE',
  'SDP_INVALID',
  'RATE_LIMITED',
  'ROOM_FULL',
  'ACCESS_REQUIRED',
  'ACCESS_REFUSED',
  'ACCESS_EXPIRED',
  'PUBLISH_FORBIDDEN',
  'TOO_MANY_VISITS',
  'SHUTTING_DOWN',
);
const kind = fc.constantFrom('first' as const, 'rekey' as const, 'replacement' as const);
const type = <Name extends string>(name: Name) => fc.constant(name);

const anyMessage: fc.Arbitrary<ServerMessage> = fc.oneof(
  fc.record({
    type: type('welcome'),
    session: fc.string(),
    token: fc.string(),
    resumed: fc.boolean(),
    instance: fc.string(),
    role,
  }),
  fc.record({ type: type('role'), role }),
  fc.record({
    type: type('offer'),
    connection: count,
    offer: count,
    epoch: count,
    kind,
    role,
    sdp: fc.string(),
  }),
  fc.record({ type: type('keyed'), connection: count, epoch: count }),
  fc.record({ type: type('close'), connection: count }),
  fc.record({ type: type('pong') }),
  fc.record({
    type: type('relays'),
    servers: fc.array(
      fc.record({
        urls: fc.array(fc.string(), { minLength: 1 }),
        username: fc.string(),
        credential: fc.string(),
      }),
      { minLength: 1 },
    ),
  }),
  fc.record({ type: type('room'), viewers: count, onAir: fc.boolean() }),
  fc.record({ type: type('demo'), actions: fc.subarray([...DEMO_ACTIONS]) }),
  fc.record({
    type: type('demo-outcome'),
    action: fc.constantFrom(...DEMO_ACTIONS),
    done: fc.boolean(),
    words: fc.string(),
  }),
  fc.record({ type: type('error'), code, message: fc.string() }),
);

describe('parseServerMessage', () => {
  it('accepts every message of the protocol', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        expect(parseServerMessage(JSON.stringify(message))).toEqual(message);
      }),
    );
  });

  it('rejects every message that lacks one of its fields', () => {
    fc.assert(
      fc.property(anyMessage, fc.nat(), (message, pick) => {
        const fields = Object.entries(message);
        fields.splice(pick % fields.length, 1);
        expect(parseServerMessage(JSON.stringify(Object.fromEntries(fields)))).toBeUndefined();
      }),
    );
  });

  it('rejects every message with a field of another type', () => {
    fc.assert(
      fc.property(
        anyMessage,
        fc.nat(),
        fc.constantFrom(null, [], {}, -1, 0.5, 'neither'),
        (message, pick, junk) => {
          const fields = Object.entries(message);
          const [name, before] = fields[pick % fields.length]!;
          const sameType =
            (typeof before === 'string' && typeof junk === 'string') ||
            (Array.isArray(before) && Array.isArray(junk));
          const text = JSON.stringify({ ...message, [name]: junk });
          fc.pre(!sameType);
          expect(parseServerMessage(text)).toBeUndefined();
        },
      ),
    );
  });

  it('takes the time on air, and does without it where a server of before does not say it', () => {
    const room = { type: 'room', viewers: 2, onAir: true };
    for (const onAirSeconds of [undefined, 0, 90])
      expect(parseServerMessage(JSON.stringify({ ...room, onAirSeconds }))).toBeDefined();
    for (const onAirSeconds of [null, -1, 1.5, '90'])
      expect(parseServerMessage(JSON.stringify({ ...room, onAirSeconds }))).toBeUndefined();
  });

  it('rejects text that is no message at all', () => {
    for (const text of ['', '{', 'null', '[]', '"room"', '7', '{"type":"constructor"}', '{"type":"join"}'])
      expect(parseServerMessage(text)).toBeUndefined();
  });

  it('rejects a role, a kind or an error code that the protocol does not have', () => {
    expect(parseServerMessage('{"type":"role","role":"owner"}')).toBeUndefined();
    expect(parseServerMessage('{"type":"error","code":"TEAPOT","message":""}')).toBeUndefined();
    const offer = {
      type: 'offer',
      connection: 1,
      offer: 1,
      epoch: 0,
      kind: 'second',
      role: 'viewer',
      sdp: '',
    };
    expect(parseServerMessage(JSON.stringify(offer))).toBeUndefined();
    expect(parseServerMessage(JSON.stringify({ ...offer, kind: 'first' }))).toBeDefined();
  });
});

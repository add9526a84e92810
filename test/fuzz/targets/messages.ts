import { isDeepStrictEqual } from 'node:util';
import { parseServerMessage } from '../../../src/client/messages.ts';
import {
  formatAdminLine,
  parseAdminRequest,
  parseAdminResponse,
} from '../../../src/keyring/admin-protocol.ts';
import { ResumeTokens } from '../../../src/session/tokens.ts';
import { parseClientMessage } from '../../../src/signaling/messages.ts';
import {
  formatPosition,
  type PageMessage,
  parsePosition,
  type ServerMessage,
  TOKEN_SUBPROTOCOL_PREFIX,
} from '../../../src/signaling/protocol.ts';
import { bufferOf, utf8 } from '../../../src/util/bytes.ts';
import { parseJson } from '../../../src/util/json.ts';
import { Secret } from '../../../src/util/secret.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateJson, mutateText } from '../mutate.ts';
import type { Random } from '../random.ts';

export const SAMPLE_CLIENT: readonly PageMessage[] = [
  { type: 'join', capabilities: { rekeyInPlace: true } },
  { type: 'confirm' },
  { type: 'answer', connection: 1, offer: 1, sdp: 'v=0\r\n' },
  { type: 'playing', connection: 1 },
  { type: 'stalled', connection: 1 },
  { type: 'publish' },
  { type: 'decline', reason: 'no camera' },
  { type: 'capabilities', capabilities: { rekeyInPlace: false } },
  { type: 'ping' },
  { type: 'away' },
  { type: 'leave' },
  { type: 'demo', action: 'rotate' },
];

const SAMPLE_SERVER: readonly ServerMessage[] = [
  { type: 'welcome', session: 's', token: 't', resumed: false, instance: 'i', role: 'viewer' },
  { type: 'role', role: 'broadcaster' },
  { type: 'offer', connection: 1, offer: 1, epoch: 0, kind: 'first', role: 'viewer', sdp: 'v=0\r\n' },
  { type: 'keyed', connection: 1, epoch: 0 },
  { type: 'relays', servers: [{ urls: ['turn:192.0.2.1'], username: '1:s', credential: 'c' }] },
  { type: 'close', connection: 1 },
  { type: 'room', viewers: 3, onAir: true },
  { type: 'demo', actions: ['kill', 'deploy', 'rotate'] },
  { type: 'demo-outcome', action: 'rotate', done: true, words: 'words' },
  { type: 'error', code: 'SDP_INVALID', message: 'words' },
];

const json = (value: unknown): Uint8Array => utf8(JSON.stringify(value));
const textOf = (input: Uint8Array): string => bufferOf(input).toString('utf8');

/** A change of the value where the text has one. */
export function mutateJsonText(input: Uint8Array, random: Random): Uint8Array {
  const value = parseJson(textOf(input));
  return value === undefined || random.chance(0.1)
    ? utf8(mutateText(textOf(input), random))
    : json(mutateJson(value, random));
}

export const clientMessage: FuzzTarget = {
  id: 'fuzz-client-message',
  claim:
    'a message of a page is one of the protocol, with nothing in it that the protocol does not name, or none',
  inputs: 12_000,
  maxBytes: 80 * 1_024,
  reaches: [...SAMPLE_CLIENT.map(({ type }) => type), 'none'],
  seeds: () => [...SAMPLE_CLIENT.map(json), utf8('['.repeat(2_000)), utf8('{"type":"join","type":"leave"}')],
  mutate: mutateJsonText,
  run: (input) => {
    const message = parseClientMessage(textOf(input));
    if (message === undefined) return 'none';
    const sample = SAMPLE_CLIENT.find(({ type }) => type === message.type);
    if (!isDeepStrictEqual(Object.keys(message).sort(), Object.keys(sample ?? {}).sort()))
      throw new Error(`a ${message.type} with other members`);
    if (!isDeepStrictEqual(parseClientMessage(JSON.stringify(message)), message))
      throw new Error(`a ${message.type} is another one when it is written`);
    return message.type;
  },
};

export const serverMessage: FuzzTarget = {
  id: 'fuzz-server-message',
  claim: 'the page takes a message of the server with each member of its type, or none',
  inputs: 12_000,
  maxBytes: 80 * 1_024,
  reaches: [...SAMPLE_SERVER.map(({ type }) => type), 'none'],
  seeds: () => SAMPLE_SERVER.map(json),
  mutate: mutateJsonText,
  run: (input) => {
    const message = parseServerMessage(textOf(input));
    if (message === undefined) return 'none';
    const sample = SAMPLE_SERVER.find(({ type }) => type === message.type) as Readonly<
      Record<string, unknown>
    >;
    for (const [name, value] of Object.entries(sample)) {
      if (typeof (message as unknown as Readonly<Record<string, unknown>>)[name] !== typeof value)
        throw new Error(`a ${message.type} without its ${name}`);
    }
    return message.type;
  },
};

const KNOWN_TOKENS = new ResumeTokens(Secret.alloc(32), seededRandom(9));
const KNOWN_TOKEN = KNOWN_TOKENS.issue('0011223344556677');

export const subprotocol: FuzzTarget = {
  id: 'fuzz-subprotocol',
  claim:
    'a subprotocol is a position that is written the same way, a token that was issued to the byte, or nothing',
  inputs: 16_000,
  maxBytes: 16 * 1_024,
  reaches: ['position', 'token', 'nothing'],
  seeds: () => [
    utf8(formatPosition({ connection: 3, epoch: 12, settled: true })),
    utf8(formatPosition({ connection: 999_999_999, epoch: 0, settled: false })),
    utf8(TOKEN_SUBPROTOCOL_PREFIX + KNOWN_TOKEN),
  ],
  mutate: (input, random) => utf8(mutateText(textOf(input), random)),
  run: (input) => {
    const text = textOf(input);
    const position = parsePosition(text);
    if (position !== undefined) {
      // Leading zeroes say the same.
      const again = parsePosition(formatPosition(position));
      if (!isDeepStrictEqual(again, position))
        throw new Error('a position is another one when it is written');
      return 'position';
    }
    const token = text.startsWith(TOKEN_SUBPROTOCOL_PREFIX)
      ? text.slice(TOKEN_SUBPROTOCOL_PREFIX.length)
      : text;
    if (KNOWN_TOKENS.redeem(token) === undefined) return 'nothing';
    if (token !== KNOWN_TOKEN) throw new Error('a token that was not issued was taken');
    return 'token';
  },
};

export const adminLine: FuzzTarget = {
  id: 'fuzz-admin-line',
  claim:
    'a line to or from the admin socket is of the protocol and says the same when it is written, or none',
  inputs: 12_000,
  maxBytes: 80 * 1_024,
  reaches: ['rekey', 'reseal', 'status', 'done', 'refused', 'none'],
  seeds: () => [
    ...['rekey', 'reseal', 'status'].map((command) => json({ command })),
    json({ ok: true, key: '0011', drops: { 'ice: malformed': 3 } }),
    json({ ok: false, error: 'words' }),
  ],
  mutate: mutateJsonText,
  run: (input) => {
    const line = textOf(input);
    const request = parseAdminRequest(line);
    const response = parseAdminResponse(line);
    if (request !== undefined && !isDeepStrictEqual(parseAdminRequest(formatAdminLine(request)), request))
      throw new Error('a request is another one when it is written');
    // As text: of a number beyond all numbers, JSON keeps that it is none.
    const again = response && parseAdminResponse(formatAdminLine(response));
    if (
      response !== undefined &&
      (again === undefined || formatAdminLine(again) !== formatAdminLine(response))
    )
      throw new Error('a response is another one when it is written');
    if (request !== undefined) return request.command;
    return response === undefined ? 'none' : response.ok ? 'done' : 'refused';
  },
};

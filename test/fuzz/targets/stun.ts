import { bindingError, bindingSuccess, parseStun, verifyIntegrity } from '../../../src/transport/ice/stun.ts';
import { ByteReader, concat, fromHex, paddingTo4, toHex, utf8 } from '../../../src/util/bytes.ts';
import { bindingRequest, type StunAttribute, stunRequest } from '../../support/stun.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateBytes, mutateList } from '../mutate.ts';
import type { Random } from '../random.ts';

const CREDENTIALS = { ufrag: 'Lufr', pwd: 'abcdefghijklmnopqrstuvwx' };
const REMOTE_UFRAG = 'Rufr';
const USERNAME = `${CREDENTIALS.ufrag}:${REMOTE_UFRAG}`;
const FROM = { ip: '192.0.2.1', port: 4_000 };
const MAX_ATTRIBUTES = 32;
/** An error response with as many unknown attributes as are read. */
const MAX_ANSWER_BYTES = 160;
const HEADER_BYTES = 20;
const MESSAGE_INTEGRITY = 0x0008;
const FINGERPRINT = 0x8028;

export const stun: FuzzTarget = {
  id: 'fuzz-stun',
  claim:
    'what parses is whole and has a right fingerprint, and our answers to it parse, are ours, and are short',
  inputs: 12_000,
  reaches: [
    'malformed',
    'no integrity, nominates',
    'integrity true',
    'integrity false, nominates',
    'integrity true, nominates',
    'integrity true, unknown attribute',
  ],
  seeds: () => {
    const request = {
      transactionId: fromHex('000102030405060708090a0b'),
      username: USERNAME,
      password: CREDENTIALS.pwd,
      priority: 0x6e7f1eff,
      tieBreaker: new Uint8Array(8),
    };
    const attribute = (type: number, value: Uint8Array): StunAttribute => ({ type, value });
    const username = attribute(0x0006, utf8(USERNAME));
    return [
      bindingRequest({ ...request, useCandidate: true }),
      bindingRequest({ ...request, useCandidate: false }),
      bindingRequest({ ...request, username: 'Lufr:else', useCandidate: true }),
      bindingRequest({ ...request, password: 'another password of that size', useCandidate: true }),
      stunRequest([username, attribute(0x8029, new Uint8Array(8))], CREDENTIALS.pwd),
      stunRequest(
        [username, attribute(0x0003, new Uint8Array(4)), attribute(0x7fff, utf8('odd'))],
        CREDENTIALS.pwd,
      ),
      stunRequest([username, attribute(0x0024, new Uint8Array(4)), attribute(0x0025, new Uint8Array(0))]),
      bindingSuccess(parseStun(stunRequest([username]))!, FROM, CREDENTIALS.pwd),
    ];
  },
  mutate: (input, random) => {
    const attributes = mutateList<StunAttribute>(
      attributesOf(input),
      random,
      (attribute) => change(attribute, random),
      () => ({ type: random.below(0x30), value: random.bytes(random.below(12)) }),
    );
    return overAttributes(input, attributes);
  },
  repair: (input) => overAttributes(input, attributesOf(input)),
  run: (input) => {
    const message = parseStun(input);
    if (message === undefined) return 'malformed';
    if (message.unknown.length > MAX_ATTRIBUTES) throw new Error('more attributes than are read');
    for (const answer of [
      bindingSuccess(message, FROM, CREDENTIALS.pwd),
      bindingError(message, 420, CREDENTIALS.pwd),
    ]) {
      const parsed = parseStun(answer);
      if (parsed === undefined || !verifyIntegrity(parsed, CREDENTIALS.pwd))
        throw new Error('our answer is no STUN message of ours');
      if (toHex(parsed.transactionId) !== toHex(message.transactionId))
        throw new Error('our answer is to another one');
      if (answer.length > MAX_ANSWER_BYTES) throw new Error(`${answer.length} bytes of answer`);
    }
    const whole =
      message.integrityOffset === undefined
        ? 'no integrity'
        : `integrity ${verifyIntegrity(message, CREDENTIALS.pwd)}`;
    return `${whole}${message.useCandidate ? ', nominates' : ''}${message.unknown.length > 0 ? ', unknown attribute' : ''}`;
  },
};

function change({ type, value }: StunAttribute, random: Random): StunAttribute {
  if (random.chance(0.3))
    return { type: random.pick([0, 1, 3, 6, 8, 0x24, 0x25, 0x7fff, 0x8029, 0x802a, 0xffff]), value };
  return { type, value: mutateBytes(value, random, value) };
}

/** All attributes that can be made out, but those that {@link overAttributes} makes. */
export function attributesOf(input: Uint8Array): StunAttribute[] {
  const reader = new ByteReader(input.subarray(HEADER_BYTES));
  const attributes: StunAttribute[] = [];
  while (reader.remaining >= 4) {
    const type = reader.u16();
    const value = reader.bytes(Math.min(reader.u16(), reader.remaining));
    reader.bytes(Math.min(paddingTo4(value.length), reader.remaining));
    if (type !== MESSAGE_INTEGRITY && type !== FINGERPRINT) attributes.push({ type, value });
  }
  return attributes;
}

const overAttributes = (input: Uint8Array, attributes: readonly StunAttribute[]): Uint8Array =>
  stunRequest(
    attributes,
    CREDENTIALS.pwd,
    concat(input.subarray(8, HEADER_BYTES), new Uint8Array(12)).subarray(0, 12),
  );

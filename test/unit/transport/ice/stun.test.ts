import { createHmac } from 'node:crypto';
import { crc32 } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bindingError,
  bindingSuccess,
  ipBytes,
  parseStun,
  STUN_TYPE,
  type StunMessage,
  verifyIntegrity,
} from '../../../../src/transport/ice/stun.ts';
import { concat, fromHex, paddingTo4, readUint16, toHex, utf8 } from '../../../../src/util/bytes.ts';
import { flipped } from '../../../support/flipped.ts';
import { bindingRequest, stunRequest } from '../../../support/stun.ts';

/** RFC 5769: the password of all samples with short-term credentials. */
const PASSWORD = 'VOkJxbRl1RmTxUk/WvJxBt';
const TRANSACTION_ID = 'b7e7a701bc34d686fa87dfae';
/** RFC 5769 §2.1. */
const SAMPLE_REQUEST = fromHex(
  `000100582112a442${TRANSACTION_ID}` +
    '802200105354554e207465737420636c69656e74' +
    '002400046e0001ff' +
    '80290008932ff9b151263b36' +
    '000600096576746a3a68367659202020' +
    '000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2' +
    '80280004e57a3bcf',
);
/** RFC 5769 §2.2. */
const SAMPLE_IPV4_RESPONSE = fromHex(
  `0101003c2112a442${TRANSACTION_ID}` +
    '8022000b7465737420766563746f7220' +
    '002000080001a147e112a643' +
    '000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7' +
    '80280004c07d4c96',
);
/** RFC 5769 §2.3. */
const SAMPLE_IPV6_RESPONSE = fromHex(
  `010100482112a442${TRANSACTION_ID}` +
    '8022000b7465737420766563746f7220' +
    '002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9' +
    '00080014a382954e4be67bf11784c97c8292c275bfe3ed41' +
    '80280004c8fb0b4c',
);

const request = (options: Partial<Parameters<typeof bindingRequest>[0]> = {}): Uint8Array =>
  bindingRequest({
    transactionId: fromHex(TRANSACTION_ID),
    username: 'local:remote',
    password: PASSWORD,
    priority: 0x6e0001ff,
    tieBreaker: fromHex('932ff9b151263b36'),
    useCandidate: false,
    ...options,
  });

/** The value of an attribute, found without the code under test. */
function attributeOf(message: Uint8Array, type: number): string | undefined {
  for (let at = 20; at < message.length; ) {
    const length = readUint16(message, at + 2);
    const value = message.subarray(at + 4, at + 4 + length);
    if (readUint16(message, at) === type) return toHex(value);
    at += 4 + length + paddingTo4(length);
  }
  return undefined;
}

describe('the samples of RFC 5769', () => {
  it('§2.1: the request is read, and authentic under its password only', () => {
    const message = parseStun(SAMPLE_REQUEST)!;
    expect(message).toMatchObject({
      type: STUN_TYPE.bindingRequest,
      transactionId: fromHex(TRANSACTION_ID),
      username: 'evtj:h6vY',
      useCandidate: false,
      role: 'controlled',
      unknown: [],
    });
    expect(verifyIntegrity(message, PASSWORD)).toBe(true);
    expect(verifyIntegrity(message, `${PASSWORD}x`)).toBe(false);
    expect(verifyIntegrity(message, '')).toBe(false);
  });

  it.each([
    ['§2.2', SAMPLE_IPV4_RESPONSE],
    ['§2.3', SAMPLE_IPV6_RESPONSE],
  ])('%s: the response is authentic under its password only', (_section, bytes) => {
    const message = parseStun(bytes)!;
    expect(message.type).toBe(STUN_TYPE.bindingSuccess);
    expect(verifyIntegrity(message, PASSWORD)).toBe(true);
    expect(verifyIntegrity(message, 'another password')).toBe(false);
  });

  it.each([
    ['§2.2', '192.0.2.1', SAMPLE_IPV4_RESPONSE],
    ['§2.3', '2001:db8:1234:5678:11:2233:4455:6677', SAMPLE_IPV6_RESPONSE],
  ])('%s: the same address is written in the same way', (_section, ip, sample) => {
    const response = bindingSuccess(parseStun(SAMPLE_REQUEST)!, { ip, port: 32853 }, PASSWORD);
    expect(attributeOf(response, 0x0020)).toBe(attributeOf(sample, 0x0020));
    expect(toHex(response.subarray(8, 20))).toBe(TRANSACTION_ID);
    expect(verifyIntegrity(parseStun(response)!, PASSWORD)).toBe(true);
  });
});

describe('parseStun', () => {
  it.each([
    ['the sample', SAMPLE_REQUEST],
    ['a request of ours', request({ useCandidate: true })],
  ])('refuses %s cut at every length', (_what, bytes) => {
    for (let length = 0; length < bytes.length; length++)
      expect(parseStun(bytes.subarray(0, length))).toBeUndefined();
  });

  it('refuses a byte more', () => {
    expect(parseStun(concat(SAMPLE_REQUEST, Uint8Array.of(0)))).toBeUndefined();
    expect(parseStun(concat(SAMPLE_REQUEST, new Uint8Array(4)))).toBeUndefined();
  });

  it('refuses the sample with any bit of it flipped', () => {
    for (let bit = 0; bit < SAMPLE_REQUEST.length * 8; bit++) {
      expect(parseStun(flipped(SAMPLE_REQUEST, bit >> 3, 1 << (bit & 7)))).toBeUndefined();
    }
  });

  it('finds no integrity in a message with a byte changed and a FINGERPRINT that is right again', () => {
    for (let at = 0; at < SAMPLE_REQUEST.length - 8; at++) {
      const forged = flipped(SAMPLE_REQUEST, at);
      const checksum = (crc32(forged.subarray(0, -8)) ^ 0x5354554e) >>> 0;
      new DataView(forged.buffer).setUint32(forged.length - 4, checksum);
      const message = parseStun(forged);
      expect(message !== undefined && verifyIntegrity(message, PASSWORD)).toBe(false);
    }
  });

  it('refuses a message without FINGERPRINT, or with one that is not the last attribute', () => {
    const bare = stunRequest([{ type: 0x0006, value: utf8('a:b') }]).slice(0, -8);
    bare[3]! -= 8;
    expect(parseStun(bare)).toBeUndefined();
    const inside = stunRequest([{ type: 0x8028, value: new Uint8Array(4) }]);
    expect(parseStun(inside)).toBeUndefined();
    expect(parseStun(stunRequest([{ type: 0x0006, value: utf8('a:b') }]))).toBeDefined();
  });

  it('refuses a MESSAGE-INTEGRITY of another length', () => {
    const of = (length: number) => parseStun(stunRequest([{ type: 0x0008, value: new Uint8Array(length) }]));
    expect(of(20)).toBeDefined();
    for (const length of [0, 19, 21, 32]) expect(of(length)).toBeUndefined();
  });

  it('takes 31 attributes beside FINGERPRINT and not one more', () => {
    const of = (count: number) =>
      parseStun(stunRequest(Array(count).fill({ type: 0xc057, value: new Uint8Array(0) })));
    expect(of(31)).toBeDefined();
    expect(of(32)).toBeUndefined();
  });

  it('reads nothing behind MESSAGE-INTEGRITY (RFC 8489 §14.5)', () => {
    const message = parseStun(
      stunRequest([
        { type: 0x0006, value: utf8('a:b') },
        { type: 0x0008, value: new Uint8Array(20) },
        { type: 0x0025, value: new Uint8Array(0) },
        { type: 0x0006, value: utf8('c:d') },
        { type: 0x802a, value: new Uint8Array(8) },
        { type: 0x7777, value: new Uint8Array(0) },
      ]),
    );
    expect(message).toMatchObject({ username: 'a:b', useCandidate: false, role: undefined, unknown: [] });
  });

  it('finds no integrity where there is none', () => {
    expect(verifyIntegrity(parseStun(stunRequest([]))!, PASSWORD)).toBe(false);
  });

  it('lists what has to be understood and is not, and only that (RFC 8489 §6.3.1)', () => {
    const message = parseStun(
      stunRequest(
        [0x0001, 0x0024, 0x7fff, 0x8000, 0xc057].map((type) => ({ type, value: new Uint8Array(4) })),
      ),
    );
    expect(message!.unknown).toEqual([0x0001, 0x7fff]);
  });

  it('knows no username that is not UTF-8', () => {
    expect(parseStun(stunRequest([{ type: 0x0006, value: fromHex('ff3aff') }]))!.username).toBeUndefined();
  });

  it('never throws, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(parseStun(bytes)).toBeUndefined();
      }),
    );
  });

  it('takes any attributes that are well formed', () => {
    const attribute = fc.record({ type: fc.nat(0xffff), value: fc.uint8Array({ maxLength: 40 }) });
    fc.assert(
      fc.property(fc.array(attribute, { maxLength: 31 }), (attributes) => {
        fc.pre(attributes.every(({ type }) => type !== 0x8028 && type !== 0x0008));
        expect(parseStun(stunRequest(attributes))).toBeDefined();
      }),
    );
  });
});

describe('what is written', () => {
  it('is a request that is read back as it was meant', () => {
    const part = fc.string({ minLength: 1, maxLength: 100 });
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        part,
        part,
        fc.boolean(),
        (transactionId, username, password, useCandidate) => {
          const message = parseStun(request({ transactionId, username, password, useCandidate }))!;
          expect(message).toMatchObject({
            type: STUN_TYPE.bindingRequest,
            transactionId,
            username,
            useCandidate,
            role: 'controlling',
            unknown: [],
          });
          expect(verifyIntegrity(message, password)).toBe(true);
          expect(verifyIntegrity(message, `${password}.`)).toBe(false);
        },
      ),
    );
  });

  it('has MESSAGE-INTEGRITY over all before it, with a length that counts it (RFC 8489 §14.5)', () => {
    const bytes = request();
    const at = bytes.length - 8 - 24;
    const covered = bytes.slice(0, at);
    new DataView(covered.buffer).setUint16(2, at - 20 + 24);
    expect(attributeOf(bytes, 0x0008)).toBe(createHmac('sha1', PASSWORD).update(covered).digest('hex'));
  });

  it('is a 420 that names every attribute that was not understood', () => {
    const asked = parseStun(
      stunRequest([0x0001, 0x7ffe, 0x7fff].map((type) => ({ type, value: new Uint8Array(0) }))),
    )!;
    const response = bindingError(asked, 420, PASSWORD);
    expect(attributeOf(response, 0x0009)).toBe(`00000414${toHex(utf8('Unknown Attribute'))}`);
    expect(attributeOf(response, 0x000a)).toBe('00017ffe7fff');
    expectSigned(response, asked);
  });

  it('is a 487 without a list', () => {
    const asked = parseStun(SAMPLE_REQUEST)!;
    const response = bindingError(asked, 487, PASSWORD);
    expect(attributeOf(response, 0x0009)).toBe(`00000457${toHex(utf8('Role Conflict'))}`);
    expect(attributeOf(response, 0x000a)).toBeUndefined();
    expectSigned(response, asked);
  });

  function expectSigned(response: Uint8Array, asked: StunMessage): void {
    const message = parseStun(response)!;
    expect(message.type).toBe(STUN_TYPE.bindingError);
    expect(message.transactionId).toEqual(asked.transactionId);
    expect(verifyIntegrity(message, PASSWORD)).toBe(true);
  }
});

describe('ipBytes', () => {
  it.each([
    ['0.0.0.0', '00000000'],
    ['255.1.2.3', 'ff010203'],
    ['::', '00'.repeat(16)],
    ['::1', `${'00'.repeat(15)}01`],
    ['1::', `0001${'00'.repeat(14)}`],
    ['2001:db8::8:800:200c:417a', '20010db80000000000080800200c417a'],
    ['fe80::1%eth0', `fe80${'00'.repeat(13)}01`],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['1::8', '00010000000000000000000000000008'],
    ['1:2:3:4:5:6:7::', '00010002000300040005000600070000'],
    ['::2:3:4:5:6:7:8', '00000002000300040005000600070008'],
  ])('reads %s', (ip, hex) => {
    expect(toHex(ipBytes(ip))).toBe(hex);
  });

  it('reads every address in its canonical form', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        // A mapped address is shown as IPv4 by the socket.
        fc.pre(!toHex(bytes).startsWith('00000000000000000000'));
        const long = toHex(bytes).match(/..../g)!.join(':');
        const canonical = new URL(`http://[${long}]/`).hostname.slice(1, -1);
        expect(ipBytes(canonical)).toEqual(bytes);
      }),
    );
  });
});

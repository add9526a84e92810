import { createHmac } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { concat, fromHex, paddingTo4, utf8 } from '../../src/util/bytes.ts';

export interface StunAttribute {
  readonly type: number;
  readonly value: Uint8Array;
}

/**
 * A binding request with exactly these attributes, MESSAGE-INTEGRITY under `password` if there is one, and a right FINGERPRINT: for what no
 * honest encoder writes.
 */
export function stunRequest(
  attributes: readonly StunAttribute[],
  password?: string,
  transactionId = fromHex('b7e7a701bc34d686fa87dfae'),
): Uint8Array {
  const head = (length: number) => concat(fromHex('0001'), u16(length), fromHex('2112a442'), transactionId);
  let body = concat(...attributes.map(encode));
  if (password !== undefined) {
    const covered = concat(head(body.length + 24), body);
    body = concat(
      body,
      encode({ type: 0x0008, value: createHmac('sha1', password).update(covered).digest() }),
    );
  }
  const covered = concat(head(body.length + 8), body);
  const checksum = (crc32(covered) ^ 0x5354554e) >>> 0;
  return concat(
    covered,
    encode({ type: 0x8028, value: concat(u16(checksum >>> 16), u16(checksum & 0xffff)) }),
  );
}

/** A binding request as an ICE agent sends it (RFC 8445 §7.1). */
export function bindingRequest(options: {
  readonly transactionId: Uint8Array;
  readonly username: string;
  readonly password: string;
  readonly priority: number;
  readonly tieBreaker: Uint8Array;
  readonly useCandidate: boolean;
}): Uint8Array {
  const attributes = [
    { type: 0x0006, value: utf8(options.username) },
    { type: 0x0024, value: concat(u16(options.priority >>> 16), u16(options.priority & 0xffff)) },
    { type: 0x802a, value: options.tieBreaker },
    ...(options.useCandidate ? [{ type: 0x0025, value: new Uint8Array(0) }] : []),
  ];
  return stunRequest(attributes, options.password, options.transactionId);
}

const encode = ({ type, value }: StunAttribute): Uint8Array =>
  concat(u16(type), u16(value.length), value, new Uint8Array(paddingTo4(value.length)));

const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff);

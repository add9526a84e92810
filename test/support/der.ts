import type { KeyObject } from 'node:crypto';
import { concat, fromHex } from '../../src/util/bytes.ts';

/** A DER value of up to 65,535 bytes. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = concat(...parts);
  const { length } = body;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return concat(Uint8Array.of(tag, ...size), body);
}

const SEQUENCE = 0x30;
const ECDSA_WITH_SHA256 = der(SEQUENCE, fromHex('06082a8648ce3d040302'));
const EMPTY_NAME = der(SEQUENCE);
const utcTime = (text: string): Uint8Array => der(0x17, new TextEncoder().encode(text));

/**
 * A certificate for any key whatever, also those for which no library would make one. Its self-signature is empty: in WebRTC
 * nobody looks at it (RFC 8122 §6.2).
 */
export function certificateFor(key: KeyObject, subject: Uint8Array = EMPTY_NAME): Uint8Array {
  const body = der(
    SEQUENCE,
    fromHex('a003020102020101'),
    ECDSA_WITH_SHA256,
    EMPTY_NAME,
    der(SEQUENCE, utcTime('200101000000Z'), utcTime('400101000000Z')),
    subject,
    new Uint8Array(key.export({ type: 'spki', format: 'der' })),
  );
  return der(SEQUENCE, body, ECDSA_WITH_SHA256, der(0x03, Uint8Array.of(0)));
}

/** A distinguished name of about this many bytes (RFC 5280 §4.1.2.4). */
export const longName = (bytes: number): Uint8Array =>
  der(SEQUENCE, der(0x31, der(SEQUENCE, fromHex('0603550403'), der(0x0c, new Uint8Array(bytes).fill(0x78)))));

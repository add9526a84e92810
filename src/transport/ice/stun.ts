import { createHmac } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { ByteReader, ByteWriter, decodeUtf8, equalConstantTime, paddingTo4, utf8 } from '../../util/bytes.ts';
import type { Address } from '../address.ts';

const MAGIC_COOKIE = 0x2112a442;
const HEADER_BYTES = 20;
const INTEGRITY_BYTES = 20;
/** With its head. */
const FINGERPRINT_BYTES = 8;
const FINGERPRINT_XOR = 0x5354554e;
/** More attributes than any ICE agent sends; what has more is not one. */
const MAX_ATTRIBUTES = 32;

/** RFC 8445 §5.1.2.1: type preference 110, local preference 65535, component 1. */
const PEER_REFLEXIVE_PRIORITY = 0x6effffff;

/** Message types used by ICE (RFC 8489 §5). */
export const STUN_TYPE = { bindingRequest: 0x0001, bindingSuccess: 0x0101, bindingError: 0x0111 } as const;

const ATTRIBUTE = {
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  unknownAttributes: 0x000a,
  xorMappedAddress: 0x0020,
  priority: 0x0024,
  useCandidate: 0x0025,
  fingerprint: 0x8028,
  iceControlled: 0x8029,
  iceControlling: 0x802a,
} as const;

const UNDERSTOOD = new Set<number>([
  ATTRIBUTE.username,
  ATTRIBUTE.messageIntegrity,
  ATTRIBUTE.priority,
  ATTRIBUTE.useCandidate,
]);

/** A STUN message with a FINGERPRINT that holds. Nothing in it is authenticated before {@link verifyIntegrity}. */
export interface StunMessage {
  readonly type: number;
  readonly transactionId: Uint8Array;
  readonly username: string | undefined;
  readonly useCandidate: boolean;
  readonly role: 'controlling' | 'controlled' | undefined;
  /** Attribute types below 0x8000 that are not understood (RFC 8489 §6.3.1: answered with 420). */
  readonly unknown: readonly number[];
  /** Where MESSAGE-INTEGRITY starts, in bytes from the start of the message. */
  readonly integrityOffset: number | undefined;
  readonly bytes: Uint8Array;
}

/** Decodes a STUN message (RFC 8489 §5). `undefined` where it is malformed or its FINGERPRINT is absent or wrong. */
export function parseStun(bytes: Uint8Array): StunMessage | undefined {
  const reader = new ByteReader(bytes);
  const type = reader.u16();
  const length = reader.u16();
  const cookie = reader.u32();
  const transactionId = reader.bytes(12);
  if (reader.failed || cookie !== MAGIC_COOKIE || length !== reader.remaining || length % 4 !== 0)
    return undefined;

  let username: string | undefined;
  let useCandidate = false;
  let role: StunMessage['role'];
  let integrityOffset: number | undefined;
  const unknown: number[] = [];
  for (let count = 0; reader.remaining > 0; count++) {
    if (count === MAX_ATTRIBUTES) return undefined;
    const at = reader.offset;
    const attribute = reader.u16();
    const value = reader.bytes(reader.u16());
    reader.bytes(paddingTo4(value.length));
    if (reader.failed) return undefined;
    if (attribute === ATTRIBUTE.fingerprint) {
      // RFC 8489 §14.7: FINGERPRINT is the last attribute.
      if (reader.remaining !== 0 || !fingerprintHolds(bytes, at, value)) return undefined;
      return { type, transactionId, username, useCandidate, role, unknown, integrityOffset, bytes };
    }
    // RFC 8489 §14.5: what follows MESSAGE-INTEGRITY is not covered by it and is ignored.
    if (integrityOffset !== undefined) continue;
    switch (attribute) {
      case ATTRIBUTE.messageIntegrity:
        if (value.length !== INTEGRITY_BYTES) return undefined;
        integrityOffset = at;
        break;
      case ATTRIBUTE.username:
        username = decodeUtf8(value);
        break;
      case ATTRIBUTE.useCandidate:
        useCandidate = true;
        break;
      case ATTRIBUTE.iceControlling:
        role = 'controlling';
        break;
      case ATTRIBUTE.iceControlled:
        role = 'controlled';
        break;
      default:
        if (attribute < 0x8000 && !UNDERSTOOD.has(attribute)) unknown.push(attribute);
    }
  }
  return undefined;
}

/** Checks MESSAGE-INTEGRITY under a short-term password (RFC 8489 §14.5), in constant time. */
export function verifyIntegrity(message: StunMessage, password: string): boolean {
  const at = message.integrityOffset;
  if (at === undefined) return false;
  return equalConstantTime(
    integrity(message.bytes.subarray(0, at), password),
    message.bytes.subarray(at + 4, at + 4 + INTEGRITY_BYTES),
  );
}

/** A check from a lite agent, which never nominates (RFC 8445 §7.1), signed with the password of whom it is for. */
export function bindingRequest(options: {
  readonly transactionId: Uint8Array;
  /** `<their ufrag>:<our ufrag>` */
  readonly username: string;
  readonly password: string;
  /** 8 random bytes. */
  readonly tieBreaker: Uint8Array;
}): Uint8Array {
  return signed(STUN_TYPE.bindingRequest, options.transactionId, options.password, (body) => {
    attribute(body, ATTRIBUTE.username, utf8(options.username));
    attribute(body, ATTRIBUTE.priority, new ByteWriter(4).u32(PEER_REFLEXIVE_PRIORITY).view());
    attribute(body, ATTRIBUTE.iceControlled, options.tieBreaker);
  });
}

/** A binding success response (RFC 8445 §7.3): the mapped address, signed. */
export function bindingSuccess(request: StunMessage, mapped: Address, password: string): Uint8Array {
  return signed(STUN_TYPE.bindingSuccess, request.transactionId, password, (body) => {
    attribute(body, ATTRIBUTE.xorMappedAddress, xorAddress(mapped, request.transactionId));
  });
}

/** A binding error response (RFC 8489 §14.8), signed. */
export function bindingError(request: StunMessage, code: 420 | 487, password: string): Uint8Array {
  return signed(STUN_TYPE.bindingError, request.transactionId, password, (body) => {
    const reason = code === 420 ? 'Unknown Attribute' : 'Role Conflict';
    const value = new ByteWriter(32)
      .u16(0)
      .u8(Math.floor(code / 100))
      .u8(code % 100)
      .bytes(utf8(reason));
    attribute(body, ATTRIBUTE.errorCode, value.view());
    if (code === 420) {
      const types = new ByteWriter(16);
      for (const type of request.unknown) types.u16(type);
      attribute(body, ATTRIBUTE.unknownAttributes, types.view());
    }
  });
}

function signed(
  type: number,
  transactionId: Uint8Array,
  password: string,
  writeBody: (body: ByteWriter) => void,
): Uint8Array {
  const message = new ByteWriter(160).u16(type).u16(0).u32(MAGIC_COOKIE).bytes(transactionId);
  writeBody(message);
  attribute(message, ATTRIBUTE.messageIntegrity, integrity(message.view(), password));
  // The length that is hashed counts the attribute being added (RFC 8489 §14.5, §14.7), and no other comes behind this one.
  writeLength(message.view(), message.length - HEADER_BYTES + FINGERPRINT_BYTES);
  const checksum = (crc32(message.view()) ^ FINGERPRINT_XOR) >>> 0;
  attribute(message, ATTRIBUTE.fingerprint, new ByteWriter(4).u32(checksum).view());
  return message.finish();
}

/** HMAC-SHA1 over the message up to the attribute, with the length field counting the attribute itself. */
function integrity(upToAttribute: Uint8Array, password: string): Uint8Array {
  const text = Uint8Array.from(upToAttribute);
  writeLength(text, upToAttribute.length - HEADER_BYTES + 4 + INTEGRITY_BYTES);
  return createHmac('sha1', password).update(text).digest();
}

function writeLength(message: Uint8Array, length: number): void {
  message[2] = length >> 8;
  message[3] = length & 0xff;
}

function fingerprintHolds(bytes: Uint8Array, at: number, value: Uint8Array): boolean {
  if (value.length !== 4) return false;
  return new ByteReader(value).u32() === (crc32(bytes.subarray(0, at)) ^ FINGERPRINT_XOR) >>> 0;
}

function attribute(body: ByteWriter, type: number, value: Uint8Array): void {
  body.u16(type).u16(value.length).bytes(value);
  body.bytes(new Uint8Array(paddingTo4(value.length)));
}

/** XOR-MAPPED-ADDRESS (RFC 8489 §14.2). */
function xorAddress(address: Address, transactionId: Uint8Array): Uint8Array {
  const ip = ipBytes(address.ip);
  const mask = new ByteWriter(16).u32(MAGIC_COOKIE).bytes(transactionId).view();
  const value = new ByteWriter(20)
    .u8(0)
    .u8(ip.length === 4 ? 1 : 2)
    .u16(address.port ^ (MAGIC_COOKIE >>> 16));
  for (const [i, byte] of ip.entries()) value.u8(byte ^ mask[i]!);
  return value.finish();
}

/** The bytes of an IPv4 or IPv6 address as node:dgram prints it. */
export function ipBytes(ip: string): Uint8Array {
  if (!ip.includes(':')) return Uint8Array.from(ip.split('.').map(Number));
  const [head = '', tail] = ip.split('%')[0]!.split('::');
  const groups = (text: string) =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const left = groups(head);
  const right = groups(tail ?? '');
  const all =
    tail === undefined ? left : [...left, ...new Array(8 - left.length - right.length).fill(0), ...right];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

import type { RoomState } from '../../room/state.ts';
import type { Role } from '../../signaling/protocol.ts';
import { DIGEST_BYTES, type Fingerprint } from '../../transport/dtls/fingerprint.ts';
import { ICE_PWD, ICE_UFRAG } from '../../transport/ice/ice-lite.ts';
import { ByteReader, ByteWriter } from '../../util/bytes.ts';
import { Secret } from '../../util/secret.ts';
import type {
  CertificateRecord,
  ConnectionRecord,
  FormerConnection,
  IdentitySnapshot,
  SessionRecord,
} from '../schema.ts';
import {
  RECORD,
  readAddress,
  readPresence,
  readRoom,
  readText,
  SESSION_ID_BYTES,
  writeAddress,
  writeRoom,
  writeText,
  writeTime,
  writeUint32,
} from './fields.ts';

/** What is the server's own, and not of one session. */
export interface ServerRecord {
  readonly certificate: CertificateRecord;
  readonly tokenKey: Secret;
  readonly room: RoomState;
}

const TOKEN_KEY_BYTES = 32;
/** HMAC-SHA-256. */
const TOKEN_HASH_BYTES = 32;
const MAX_CERTIFICATE_BYTES = 8192;
const MAX_PRIVATE_KEY_BYTES = 4096;

const ROLES: readonly Role[] = ['broadcaster', 'viewer'];
const FINGERPRINTS: readonly Fingerprint['algorithm'][] = ['sha-256', 'sha-384', 'sha-512'];
/** Empty while an ICE restart has not been answered. */
const REMOTE_UFRAG = new RegExp(`^$|${ICE_UFRAG.source}`);

/**
 * The records of an identity snapshot: the server's, then one a session. Each is a view of one buffer that is overwritten by the
 * next and wiped at the end, so a record has to be used before the next is asked for.
 */
export function* encodeIdentity(snapshot: IdentitySnapshot): Generator<Uint8Array, void, undefined> {
  const writer = new ByteWriter(4096);
  try {
    writeServer(writer, snapshot);
    yield writer.view();
    for (const session of snapshot.sessions) {
      writer.wipe();
      writeSession(writer, session);
      yield writer.view();
    }
  } finally {
    writer.wipe();
  }
}

/** `undefined` where the bytes are no such record. The caller disposes the secrets. */
export function decodeServer(bytes: Uint8Array): ServerRecord | undefined {
  const reader = new ByteReader(bytes);
  if (reader.u8() !== RECORD.server) return undefined;
  const certificate = reader.vector(2).slice();
  const privateKey = reader.vector(2);
  const createdAt = reader.u48();
  const tokenKey = reader.bytes(TOKEN_KEY_BYTES);
  const room = readRoom(reader);
  if (
    !reader.complete ||
    certificate.length === 0 ||
    certificate.length > MAX_CERTIFICATE_BYTES ||
    privateKey.length === 0 ||
    privateKey.length > MAX_PRIVATE_KEY_BYTES
  ) {
    return undefined;
  }
  return {
    certificate: { certificate, privateKey: Secret.copy(privateKey), createdAt },
    tokenKey: Secret.copy(tokenKey),
    room,
  };
}

export function decodeSession(bytes: Uint8Array): SessionRecord | undefined {
  const reader = new ByteReader(bytes);
  const kind = reader.u8();
  if (kind !== RECORD.session && kind !== RECORD.session2) return undefined;
  const has = (): boolean => kind === RECORD.session && readPresence(reader);
  const session: SessionRecord = {
    id: reader.bytes(SESSION_ID_BYTES).slice(),
    tokenHash: reader.bytes(TOKEN_HASH_BYTES).slice(),
    nextTokenHash: reader.bytes(readPresence(reader) ? TOKEN_HASH_BYTES : 0).slice(),
    role: readRole(reader),
    capabilities: { rekeyInPlace: readPresence(reader) },
    lastSeenAt: reader.u48(),
    connection: readPresence(reader) ? readConnection(reader) : undefined,
    former: has() ? readFormer(reader) : undefined,
    onAirSince: has() ? reader.u48() : undefined,
  };
  return reader.complete ? session : undefined;
}

function writeServer(writer: ByteWriter, snapshot: IdentitySnapshot): void {
  const { certificate, tokenKey, room } = snapshot;
  if (
    tokenKey.length !== TOKEN_KEY_BYTES ||
    certificate.certificate.length > MAX_CERTIFICATE_BYTES ||
    certificate.privateKey.length > MAX_PRIVATE_KEY_BYTES
  ) {
    throw new RangeError('the certificate or the token key has not the size of one');
  }
  writer.u8(RECORD.server).vector(2, certificate.certificate).vector(2, certificate.privateKey.bytes);
  writeTime(writer, certificate.createdAt);
  writer.bytes(tokenKey.bytes);
  writeRoom(writer, room);
}

function writeSession(writer: ByteWriter, session: SessionRecord): void {
  const { id, tokenHash, nextTokenHash, connection, former, onAirSince } = session;
  if (
    id.length !== SESSION_ID_BYTES ||
    tokenHash.length !== TOKEN_HASH_BYTES ||
    (nextTokenHash.length !== 0 && nextTokenHash.length !== TOKEN_HASH_BYTES)
  ) {
    throw new RangeError('a session id or token hash has not the size of one');
  }
  writer.u8(RECORD.session).bytes(id).bytes(tokenHash);
  writer.u8(nextTokenHash.length === 0 ? 0 : 1).bytes(nextTokenHash);
  writer.u8(ROLES.indexOf(session.role)).u8(session.capabilities.rekeyInPlace ? 1 : 0);
  writeTime(writer, session.lastSeenAt);
  writer.u8(connection === undefined ? 0 : 1);
  if (connection !== undefined) writeConnection(writer, connection);
  writer.u8(former === undefined ? 0 : 1);
  if (former !== undefined) writeFormer(writer, former);
  writer.u8(onAirSince === undefined ? 0 : 1);
  if (onAirSince !== undefined) writeTime(writer, onAirSince);
}

function writeFormer(writer: ByteWriter, { number, epoch, away }: FormerConnection): void {
  writeUint32(writer, number);
  writeUint32(writer, epoch);
  writer.u8(away ? 1 : 0);
}

const readFormer = (reader: ByteReader): FormerConnection => ({
  number: reader.u32(),
  epoch: reader.u32(),
  away: readPresence(reader),
});

function writeConnection(writer: ByteWriter, connection: ConnectionRecord): void {
  writeUint32(writer, connection.number);
  writeUint32(writer, connection.offers);
  writeUint32(writer, connection.epoch);
  writeText(writer, connection.localUfrag, ICE_UFRAG);
  writeText(writer, connection.localPwd, ICE_PWD);
  writeText(writer, connection.remoteUfrag, REMOTE_UFRAG);
  const { algorithm, digest } = connection.remoteFingerprint;
  if (digest.length !== DIGEST_BYTES[algorithm])
    throw new RangeError(`a ${algorithm} digest has another size`);
  writer.u8(FINGERPRINTS.indexOf(algorithm)).vector(1, digest);
  writer.u8(connection.remoteAddress === undefined ? 0 : 1);
  if (connection.remoteAddress !== undefined) writeAddress(writer, connection.remoteAddress);
}

function readConnection(reader: ByteReader): ConnectionRecord {
  return {
    number: reader.u32(),
    offers: reader.u32(),
    epoch: reader.u32(),
    localUfrag: readText(reader, ICE_UFRAG),
    localPwd: readText(reader, ICE_PWD),
    remoteUfrag: readText(reader, REMOTE_UFRAG),
    remoteFingerprint: readFingerprint(reader),
    remoteAddress: readPresence(reader) ? readAddress(reader) : undefined,
  };
}

function readFingerprint(reader: ByteReader): Fingerprint {
  const known = FINGERPRINTS[reader.u8()];
  const digest = reader.vector(1).slice();
  const algorithm = known ?? 'sha-256';
  if (known === undefined || digest.length !== DIGEST_BYTES[algorithm]) reader.fail();
  return { algorithm, digest };
}

function readRole(reader: ByteReader): Role {
  const role = ROLES[reader.u8()];
  if (role === undefined) reader.fail();
  return role ?? 'viewer';
}

import type { RoomState } from '../../room/state.ts';
import {
  disposeMasterKey,
  SRTP_PROFILES,
  type SrtpMasterKey,
  type SrtpProfile,
  srtpProfileById,
} from '../../transport/srtp/profile.ts';
import type { SrtpReceiveState, SrtpSendState } from '../../transport/srtp/state.ts';
import { ByteReader, ByteWriter } from '../../util/bytes.ts';
import { Secret } from '../../util/secret.ts';
import type { MediaSnapshot, PeerMediaRecord } from '../schema.ts';
import {
  MAX_INDEX,
  RECORD,
  readAddress,
  readRoom,
  SESSION_ID_BYTES,
  writeAddress,
  writeCount,
  writeRoom,
  writeUint32,
} from './fields.ts';

const MAX_STREAMS = 64;
/** RFC 3711 §3.4: the SRTCP index has 31 bits. */
const MAX_SRTCP_INDEX = 2 ** 31;

/**
 * A record holds as many peers as begin within so many bytes. One a peer costs twice as much to seal, since the head of the file goes into each; all
 * in one would be lost together.
 */
const RECORD_BYTES = 4096;

/** The records of a media snapshot: the room's, then those of the peers, some in each. Used like those of `encodeIdentity`. */
export function* encodeMedia(snapshot: MediaSnapshot): Generator<Uint8Array, void, undefined> {
  const writer = new ByteWriter(2 * RECORD_BYTES);
  try {
    writer.u8(RECORD.room);
    writeRoom(writer, snapshot.room);
    yield writer.view();
    writer.wipe();
    for (const peer of snapshot.peers) {
      if (writer.length === 0) writer.u8(RECORD.peers);
      writePeer(writer, peer);
      if (writer.length < RECORD_BYTES) continue;
      yield writer.view();
      writer.wipe();
    }
    if (writer.length > 0) yield writer.view();
  } finally {
    writer.wipe();
  }
}

export function decodeRoom(bytes: Uint8Array): RoomState | undefined {
  const reader = new ByteReader(bytes);
  if (reader.u8() !== RECORD.room) return undefined;
  const room = readRoom(reader);
  return reader.complete ? room : undefined;
}

/** `undefined` where the bytes are no such record. The caller disposes the keys. */
export function decodePeers(bytes: Uint8Array): readonly PeerMediaRecord[] | undefined {
  const reader = new ByteReader(bytes);
  const kind = reader.u8();
  if (kind !== RECORD.peers && kind !== RECORD.peer3) return undefined;
  const peers: PeerMediaRecord[] = [];
  do {
    const peer = readPeer(reader);
    if (peer === undefined) {
      peers.forEach(disposePeerKeys);
      return undefined;
    }
    peers.push(peer);
  } while (kind === RECORD.peers && reader.remaining > 0);
  if (reader.complete) return peers;
  peers.forEach(disposePeerKeys);
  return undefined;
}

function readPeer(reader: ByteReader): PeerMediaRecord | undefined {
  const head = {
    session: reader.bytes(SESSION_ID_BYTES).slice(),
    connection: reader.u32(),
    epoch: reader.u32(),
    remoteAddress: readAddress(reader),
  };
  const send = readSend(reader);
  const receive = readReceive(reader);
  if (!reader.failed && send !== undefined && receive !== undefined) return { ...head, send, receive };
  disposePeerKeys({ send, receive });
  return undefined;
}

/** Wipes the master keys of a peer's contexts. */
function disposePeerKeys(peer: {
  readonly send: SrtpSendState | undefined;
  readonly receive: SrtpReceiveState | undefined;
}): void {
  for (const state of [peer.send, peer.receive]) {
    if (state !== undefined) disposeMasterKey(state.master);
  }
}

function writePeer(writer: ByteWriter, peer: PeerMediaRecord): void {
  if (peer.session.length !== SESSION_ID_BYTES) throw new RangeError('a session id has not the size of one');
  writer.bytes(peer.session);
  writeUint32(writer, peer.connection);
  writeUint32(writer, peer.epoch);
  writeAddress(writer, peer.remoteAddress);
  writeMaster(writer, peer.send.profile, peer.send.master);
  writeTable(writer, peer.send.streams, 'base');
  writeCount(writer, peer.send.srtcpLimit);
  writeMaster(writer, peer.receive.profile, peer.receive.master);
  writeTable(writer, peer.receive.streams, 'limit');
  writeTable(writer, peer.receive.srtcp, 'limit');
}

function readSend(reader: ByteReader): SrtpSendState | undefined {
  const keys = readMaster(reader);
  const streams = readTable(reader, 'base', MAX_INDEX);
  const srtcpLimit = reader.u64();
  // A base that is no multiple of 2^16 would put a sequence number under the wrong rollover counter.
  if (srtcpLimit > MAX_SRTCP_INDEX || streams.some(({ base }) => base % 2 ** 16 !== 0)) reader.fail();
  return accepted(reader, keys, { streams, srtcpLimit });
}

function readReceive(reader: ByteReader): SrtpReceiveState | undefined {
  const keys = readMaster(reader);
  const streams = readTable(reader, 'limit', MAX_INDEX);
  const srtcp = readTable(reader, 'limit', MAX_SRTCP_INDEX);
  return accepted(reader, keys, { streams, srtcp });
}

interface MasterKeys {
  readonly profile: SrtpProfile;
  readonly master: SrtpMasterKey;
}

function accepted<T>(
  reader: ByteReader,
  keys: MasterKeys | undefined,
  rest: T,
): (MasterKeys & T) | undefined {
  if (keys === undefined) return undefined;
  if (!reader.failed) return { ...keys, ...rest };
  disposeMasterKey(keys.master);
  return undefined;
}

function writeMaster(writer: ByteWriter, profile: SrtpProfile, master: SrtpMasterKey): void {
  const { id, keyBytes, saltBytes } = SRTP_PROFILES[profile];
  if (master.key.length !== keyBytes || master.salt.length !== saltBytes) {
    throw new RangeError(`a master key or salt has not the size that ${profile} wants`);
  }
  writer.u16(id).bytes(master.key.bytes).bytes(master.salt.bytes);
}

function readMaster(reader: ByteReader): MasterKeys | undefined {
  const profile = srtpProfileById(reader.u16());
  if (profile === undefined) {
    reader.fail();
    return undefined;
  }
  const { keyBytes, saltBytes } = SRTP_PROFILES[profile];
  const key = reader.bytes(keyBytes);
  const salt = reader.bytes(saltBytes);
  if (reader.failed) return undefined;
  return { profile, master: { key: Secret.copy(key), salt: Secret.copy(salt) } };
}

type Row<Column extends string> = { readonly ssrc: number } & { readonly [name in Column]: number };

function writeTable<Column extends string>(
  writer: ByteWriter,
  rows: readonly Row<Column>[],
  column: Column,
): void {
  if (rows.length > MAX_STREAMS) throw new RangeError(`a context has at most ${MAX_STREAMS} streams`);
  writer.u8(rows.length);
  for (const row of rows) {
    writeUint32(writer, row.ssrc);
    writeCount(writer, row[column]);
  }
}

function readTable<Column extends string>(
  reader: ByteReader,
  column: Column,
  maximum: number,
): readonly Row<Column>[] {
  const count = reader.u8();
  if (count > MAX_STREAMS) reader.fail();
  const rows: Row<Column>[] = [];
  for (let i = 0; i < count && !reader.failed; i++) {
    const ssrc = reader.u32();
    const value = reader.u64();
    if (value > maximum) reader.fail();
    rows.push({ ssrc, [column]: value } as Row<Column>);
  }
  return rows;
}

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
 * A record holds so many peers. With one a peer the head of the file, which goes into each, would cost more to seal than they do; all in one
 * would be lost together.
 */
const PEERS_IN_RECORD = 20;
/** What is kept is allocated in such steps, so that a place which is given back fits the next. */
const PLACE_BYTES = 1024;

/**
 * Encodes one snapshot after the other, and of each only what is not in the one before at the same place. What it keeps for that are secrets.
 *
 * A record is known again by its being the same object. That is good for those that are frozen, and of others it keeps none.
 */
export class MediaEncoder {
  readonly #writer = new ByteWriter(PLACE_BYTES * 4);
  readonly #groups: Group[] = [];

  /** The records: the room's, then those of the peers, some in each. Used like those of `encodeIdentity`. */
  *encode({ room, peers }: MediaSnapshot): Generator<Uint8Array, void, undefined> {
    const writer = this.#writer;
    let done = false;
    try {
      writer.u8(RECORD.room);
      writeRoom(writer, room);
      yield writer.view();
      for (let from = 0, at = 0; from < peers.length; from += PEERS_IN_RECORD, at++) {
        const group = this.#groups[at] ?? new Group();
        this.#groups[at] = group;
        yield group.encode(peers, from, Math.min(peers.length, from + PEERS_IN_RECORD), writer);
      }
      const needed = Math.ceil(peers.length / PEERS_IN_RECORD);
      for (const group of this.#groups.splice(needed)) group.dispose();
      done = true;
    } finally {
      writer.wipe();
      if (!done) this.dispose();
    }
  }

  /** Wipes what is kept. It may be used again. */
  dispose(): void {
    for (const group of this.#groups.splice(0)) group.dispose();
  }
}

/** Peers that are one record, as they were encoded last. */
class Group {
  readonly #peers: (PeerMediaRecord | undefined)[] = [];
  /** Where each ends. */
  readonly #ends: number[] = [];
  #plaintext = Secret.alloc(PLACE_BYTES);
  #length = 0;

  encode(peers: readonly PeerMediaRecord[], from: number, to: number, writer: ByteWriter): Uint8Array {
    if (to - from !== this.#peers.length) this.#encodeAll(peers, from, to, writer);
    else
      for (let i = 0; i < this.#peers.length; i++) {
        // The one comparison that is made for each peer and snapshot: neither of the two is looked into.
        if (this.#peers[i] === peers[from + i] || this.#replace(i, peers[from + i]!, writer)) continue;
        this.#encodeAll(peers, from, to, writer);
        break;
      }
    return this.#plaintext.bytes.subarray(0, this.#length);
  }

  dispose(): void {
    this.#plaintext.dispose();
  }

  /** `false` where it is not of the same size. */
  #replace(i: number, peer: PeerMediaRecord, writer: ByteWriter): boolean {
    const start = this.#ends[i - 1] ?? 1;
    writer.wipe();
    writePeer(writer, peer);
    if (writer.length !== this.#ends[i]! - start) return false;
    this.#plaintext.bytes.set(writer.view(), start);
    this.#peers[i] = kept(peer);
    return true;
  }

  #encodeAll(peers: readonly PeerMediaRecord[], from: number, to: number, writer: ByteWriter): void {
    writer.wipe();
    writer.u8(RECORD.peers);
    this.#peers.length = 0;
    this.#ends.length = 0;
    for (let at = from; at < to; at++) {
      const peer = peers[at]!;
      writePeer(writer, peer);
      this.#peers.push(kept(peer));
      this.#ends.push(writer.length);
    }
    this.#length = writer.length;
    if (this.#plaintext.length < this.#length) {
      this.#plaintext.dispose();
      this.#plaintext = Secret.alloc(Math.ceil(this.#length / PLACE_BYTES) * PLACE_BYTES);
    } else this.#plaintext.bytes.fill(0);
    this.#plaintext.bytes.set(writer.view());
  }
}

/** A record that may be told by its being the same object. */
function kept(peer: PeerMediaRecord): PeerMediaRecord | undefined {
  const { remoteAddress, send, receive } = peer;
  const parts = [peer, remoteAddress, send, send.streams, receive, receive.streams, receive.srtcp];
  return parts.every(Object.isFrozen) && areFrozen(send.streams, receive.streams, receive.srtcp)
    ? peer
    : undefined;
}

const areFrozen = (...tables: readonly (readonly object[])[]): boolean =>
  tables.every((rows) => rows.every(Object.isFrozen));

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

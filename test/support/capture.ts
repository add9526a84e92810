import { createHash } from 'node:crypto';
import { SRTP_PROFILES, type SrtpProfile, srtpProfileById } from '../../src/transport/srtp/profile.ts';
import { ByteReader, toHex } from '../../src/util/bytes.ts';
import type { Datagram, Direction } from './relay.ts';

/** What a datagram is by its first bytes (RFC 7983 §7, RFC 5761 §4). */
export type DatagramKind = 'stun' | 'dtls' | 'rtp' | 'rtcp' | 'other';

export function datagramKind(bytes: Uint8Array): DatagramKind {
  const first = bytes[0] ?? 255;
  if (first <= 3) return 'stun';
  if (first >= 20 && first <= 63) return 'dtls';
  if (first < 128 || first > 191 || bytes.length < 12) return 'other';
  const second = bytes[1]!;
  return second >= 192 && second <= 223 ? 'rtcp' : 'rtp';
}

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
const USE_SRTP = 14;
/** Before any handshake was seen. */
const DEFAULT_PROFILE: SrtpProfile = 'AES_CM_128_HMAC_SHA1_80';
const STUN_BINDING_REQUEST = 0x0001;
const STUN_USERNAME = 0x0006;

/** A record of DTLS 1.2 (RFC 6347 §4.1), as far as anybody on path can read it. */
interface DtlsRecord {
  readonly type: number;
  readonly epoch: number;
  readonly body: Uint8Array;
}

function dtlsRecords(bytes: Uint8Array): DtlsRecord[] {
  const records: DtlsRecord[] = [];
  const reader = new ByteReader(bytes);
  while (reader.remaining > 0) {
    const type = reader.u8();
    reader.u16();
    const epoch = reader.u16();
    reader.u48();
    const body = reader.bytes(reader.u16());
    if (reader.failed) break;
    records.push({ type, epoch, body });
  }
  return records;
}

/** The client random of a ClientHello in this datagram, as hex. */
export function clientHelloRandom(bytes: Uint8Array): string | undefined {
  if (datagramKind(bytes) !== 'dtls') return undefined;
  for (const { type, epoch, body } of dtlsRecords(bytes)) {
    // Handshake header 12 bytes, version 2, random 32 (RFC 6347 §4.3.2).
    if (type === HANDSHAKE && epoch === 0 && body[0] === CLIENT_HELLO && body.length >= 46)
      return toHex(body.subarray(14, 46));
  }
  return undefined;
}

/** The protection profile that a ServerHello in this datagram selects (RFC 5764 §4.1.1). */
export function selectedProfile(bytes: Uint8Array): SrtpProfile | undefined {
  if (datagramKind(bytes) !== 'dtls') return undefined;
  const hello = dtlsRecords(bytes).find(
    ({ type, epoch, body }) => type === HANDSHAKE && epoch === 0 && body[0] === SERVER_HELLO,
  );
  if (hello === undefined) return undefined;
  const reader = new ByteReader(hello.body);
  // Handshake header 12 bytes, version 2, random 32; session id; cipher suite 2, compression 1.
  reader.bytes(46);
  reader.vector(1);
  reader.bytes(3);
  const extensions = new ByteReader(reader.vector(2));
  while (extensions.remaining > 0) {
    const type = extensions.u16();
    const profiles = new ByteReader(extensions.vector(2));
    profiles.u16();
    if (type === USE_SRTP) return srtpProfileById(profiles.u16());
  }
  return undefined;
}

/** Whether the datagram holds a Finished: a handshake record under the new keys. */
export const hasFinished = (bytes: Uint8Array): boolean =>
  datagramKind(bytes) === 'dtls' &&
  dtlsRecords(bytes).some(({ type, epoch }) => type === HANDSHAKE && epoch === 1);

/** The USERNAME of a binding request, `receiver's ufrag:sender's ufrag` (RFC 8445 §7.2.2). */
export function stunUsername(bytes: Uint8Array): string | undefined {
  if (datagramKind(bytes) !== 'stun') return undefined;
  const reader = new ByteReader(bytes);
  if (reader.u16() !== STUN_BINDING_REQUEST) return undefined;
  reader.bytes(18);
  while (reader.remaining >= 4) {
    const type = reader.u16();
    const length = reader.u16();
    const value = reader.bytes(length);
    if (reader.failed) return undefined;
    if (type === STUN_USERNAME) return Buffer.from(value).toString('latin1');
    reader.bytes(Math.min(reader.remaining, (4 - (length % 4)) % 4));
  }
  return undefined;
}

/** One (key, SSRC, index) that protected two different packets. */
interface NonceReuse {
  readonly owner: string;
  readonly direction: Direction;
  readonly keys: string;
  readonly kind: 'rtp' | 'rtcp';
  readonly ssrc: number;
  readonly index: number;
}

export interface NonceReport {
  readonly reuses: readonly NonceReuse[];
  /** How many different (key, SSRC, index) were seen. */
  readonly packets: number;
  /** How many different keys. */
  readonly keys: number;
}

/**
 * Looks in everything that passed the relay for a nonce that was used twice: the same SSRC and index under the same keys with other
 * bytes. Identical datagrams are fine.
 *
 * Keys change, in each direction, with the sender's Finished. `ownerOf` joins the addresses that one connection has had, from an ICE
 * username to a name of the connection; an address of unknown owner stands for itself.
 *
 * The rollover counter is counted here: a sequence number far below its predecessor has wrapped.
 */
export function findNonceReuse(
  capture: readonly Datagram[],
  ownerOf: (username: string) => string | undefined,
): NonceReport {
  const owners = ownersOfAddresses(capture, ownerOf);
  const connections = new Map<string, ConnectionView>();
  const seen = new Map<string, string>();
  const keysSeen = new Set<string>();
  const reuses: NonceReuse[] = [];

  for (const { direction, peer, bytes } of capture) {
    const owner = owners.get(peer) ?? peer;
    const view = connections.get(owner) ?? new ConnectionView();
    connections.set(owner, view);
    view.observe(direction, bytes);
    const kind = datagramKind(bytes);
    if (kind !== 'rtp' && kind !== 'rtcp') continue;
    const keys = `${owner} ${direction} ${view.keys[direction]}`;
    const packet = kind === 'rtp' ? view.rtpIndex(keys, bytes) : srtcpIndex(bytes, view.profile[direction]);
    keysSeen.add(keys);
    const id = `${keys} ${kind} ${packet.ssrc} ${packet.index}`;
    const digest = createHash('sha1').update(bytes).digest('base64');
    const before = seen.get(id);
    if (before === undefined) seen.set(id, digest);
    else if (before !== digest) reuses.push({ owner, direction, keys, kind, ...packet });
  }
  return { reuses, packets: seen.size, keys: keysSeen.size };
}

function ownersOfAddresses(
  capture: readonly Datagram[],
  ownerOf: (username: string) => string | undefined,
): Map<string, string> {
  const owners = new Map<string, string>();
  for (const { direction, peer, bytes } of capture) {
    if (direction !== 'up' || owners.has(peer)) continue;
    const username = stunUsername(bytes);
    const owner = username === undefined ? undefined : ownerOf(username);
    if (owner !== undefined) owners.set(peer, owner);
  }
  return owners;
}

class ConnectionView {
  readonly keys: Record<Direction, string> = { up: 'initial', down: 'initial' };
  readonly profile: Record<Direction, SrtpProfile> = { up: DEFAULT_PROFILE, down: DEFAULT_PROFILE };
  #hello = 'initial';
  #selected: SrtpProfile = DEFAULT_PROFILE;
  readonly #highest = new Map<string, number>();

  observe(direction: Direction, bytes: Uint8Array): void {
    if (direction === 'down') this.#hello = clientHelloRandom(bytes) ?? this.#hello;
    else this.#selected = selectedProfile(bytes) ?? this.#selected;
    if (!hasFinished(bytes)) return;
    this.keys[direction] = this.#hello;
    this.profile[direction] = this.#selected;
  }

  rtpIndex(keys: string, bytes: Uint8Array): { ssrc: number; index: number } {
    const reader = new ByteReader(bytes);
    reader.u16();
    const sequence = reader.u16();
    reader.u32();
    const ssrc = reader.u32();
    const stream = `${keys} ${ssrc}`;
    const highest = this.#highest.get(stream) ?? sequence;
    // The candidate nearest to the highest index so far (RFC 3711 §3.3.1).
    const rollover = Math.round((highest - sequence) / 65_536);
    const index = rollover * 65_536 + sequence;
    this.#highest.set(stream, Math.max(highest, index));
    return { ssrc, index };
  }
}

/** The SRTCP index is on the wire: before the tag (RFC 3711 §3.4), or behind it where the cipher authenticates (RFC 7714 §17.2). */
function srtcpIndex(bytes: Uint8Array, profile: SrtpProfile): { ssrc: number; index: number } {
  const reader = new ByteReader(bytes);
  reader.u32();
  const ssrc = reader.u32();
  const behind = profile === 'AES_CM_128_HMAC_SHA1_80' ? SRTP_PROFILES[profile].tagBytes : 0;
  const trailer = bytes.subarray(bytes.length - behind - 4);
  return { ssrc, index: new ByteReader(trailer).u32() & 0x7fffffff };
}

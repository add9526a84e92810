import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { NONE } from '../../../src/snapshot/anchor.ts';
import { decodeServer, decodeSession, encodeIdentity } from '../../../src/snapshot/codec/identity.ts';
import { decodePeers, decodeRoom, MediaEncoder } from '../../../src/snapshot/codec/media.ts';
import { HEADER_BYTES } from '../../../src/snapshot/header.ts';
import type {
  IdentitySnapshot,
  MediaSnapshot,
  PeerMediaRecord,
  SessionRecord,
} from '../../../src/snapshot/schema.ts';
import { sealSnapshot } from '../../../src/snapshot/seal.ts';
import { SRTP_PROFILES, type SrtpProfile } from '../../../src/transport/srtp/profile.ts';
import { toHex } from '../../../src/util/bytes.ts';
import type { RandomSource } from '../../../src/util/rng.ts';
import { Secret } from '../../../src/util/secret.ts';
import { loadSodium } from '../../../src/util/sodium.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import {
  encodeMedia,
  revealed,
  sampleIdentity,
  sampleMedia,
  samplePeer,
  sampleSession,
  writerFrom,
} from '../../support/snapshots.ts';

const PROFILES = Object.keys(SRTP_PROFILES) as SrtpProfile[];

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const secretOf = (length: number) => bytesOf(length).map((bytes) => Secret.take(bytes));
const uint32 = fc.nat({ max: 0xffff_ffff });
const index = fc.maxSafeNat().map((value) => value % 2 ** 48);
const time = fc.maxSafeNat().map((value) => value % 2 ** 48);
const iceText = (minLength: number) =>
  fc.stringMatching(/^[A-Za-z0-9+/]*$/, { maxLength: 256 }).map((text) => text.padEnd(minLength, 'a'));
const address = fc.record({
  ip: fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant('fe80::1%eth0')),
  port: fc.integer({ min: 1, max: 65_535 }),
});
const fingerprint = fc.oneof(
  fc.record({ algorithm: fc.constant('sha-256' as const), digest: bytesOf(32) }),
  fc.record({ algorithm: fc.constant('sha-384' as const), digest: bytesOf(48) }),
  fc.record({ algorithm: fc.constant('sha-512' as const), digest: bytesOf(64) }),
);
const room = fc.record({
  producer: fc.oneof(
    fc.constant(''),
    bytesOf(8).map((id) => `${toHex(id)}/3`),
  ),
  streams: fc.array(
    fc.record({
      kind: fc.constantFrom('audio' as const, 'video' as const),
      ssrc: uint32,
      rtxSsrc: uint32,
      limit: index,
      timestamp: uint32,
      timestampAt: time,
      source: fc.option(
        fc.record({
          ssrc: uint32,
          highest: fc.maxSafeInteger(),
          indexOffset: fc.maxSafeInteger(),
          timestampOffset: fc.maxSafeInteger(),
        }),
        { nil: undefined },
      ),
    }),
    { maxLength: 16 },
  ),
});
const session: fc.Arbitrary<SessionRecord> = fc.record({
  id: bytesOf(8),
  tokenHash: bytesOf(32),
  nextTokenHash: fc.oneof(bytesOf(0), bytesOf(32)),
  role: fc.constantFrom('broadcaster' as const, 'viewer' as const),
  capabilities: fc.record({ rekeyInPlace: fc.boolean() }),
  lastSeenAt: time,
  connection: fc.option(
    fc.record({
      number: uint32,
      offers: uint32,
      epoch: uint32,
      localUfrag: iceText(4),
      localPwd: iceText(22),
      remoteUfrag: fc.oneof(fc.constant(''), iceText(4)),
      remoteFingerprint: fingerprint,
      remoteAddress: fc.option(address, { nil: undefined }),
    }),
    { nil: undefined },
  ),
  former: fc.option(fc.record({ number: uint32, epoch: uint32, away: fc.boolean() }), { nil: undefined }),
  onAirSince: fc.option(time, { nil: undefined }),
});
const identity: fc.Arbitrary<IdentitySnapshot> = fc.record({
  certificate: fc.record({
    certificate: fc.uint8Array({ minLength: 1, maxLength: 900 }),
    privateKey: fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Secret.take(bytes)),
    createdAt: time,
  }),
  tokenKey: secretOf(32),
  room,
  sessions: fc.array(session, { maxLength: 5 }),
});
const half = fc.constantFrom(...PROFILES).chain((profile) =>
  fc.record({
    profile: fc.constant(profile),
    master: fc.record({
      key: secretOf(SRTP_PROFILES[profile].keyBytes),
      salt: secretOf(SRTP_PROFILES[profile].saltBytes),
    }),
  }),
);
const limits = fc.array(fc.record({ ssrc: uint32, limit: index }), { maxLength: 8 });
const peer = fc.record({
  session: bytesOf(8),
  connection: uint32,
  epoch: uint32,
  remoteAddress: address,
  send: fc
    .tuple(
      half,
      fc.array(fc.record({ ssrc: uint32, base: index.map((value) => value - (value % 65_536)) })),
      fc.nat({ max: 2 ** 31 }),
    )
    .map(([keys, streams, srtcpLimit]) => ({ ...keys, streams, srtcpLimit })),
  receive: fc
    .tuple(half, limits, fc.array(fc.record({ ssrc: uint32, limit: fc.nat({ max: 2 ** 31 }) })))
    .map(([keys, streams, srtcp]) => ({ ...keys, streams, srtcp })),
});
const media: fc.Arbitrary<MediaSnapshot> = fc.record({
  writtenAt: time,
  notAfter: time,
  room,
  peers: fc.array(peer, { maxLength: 4 }),
});

beforeAll(async () => {
  await loadSodium();
});

describe('the records of an identity', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(identity, (snapshot) => {
        const [first, ...others] = plaintext(encodeIdentity(snapshot));
        const decoded = { ...decodeServer(first!)!, sessions: others.map((record) => decodeSession(record)) };
        expect(revealed(decoded)).toEqual(revealed(snapshot));
      }),
      { numRuns: 100 },
    );
  });

  it('are refused when cut anywhere, and with a byte too many', () => {
    const [server, sessionRecord] = plaintext(encodeIdentity(sampleIdentity(seededRandom(1), 1)));
    expectStrict(server!, decodeServer);
    expectStrict(sessionRecord!, decodeSession);
  });

  it('are refused under the type of another record', () => {
    const [server, sessionRecord] = plaintext(encodeIdentity(sampleIdentity(seededRandom(1), 1)));
    expect(decodeSession(server!)).toBeUndefined();
    expect(decodeServer(sessionRecord!)).toBeUndefined();
  });

  it('never throw on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat({ max: 6 }), (bytes, type) => {
        const record = new Uint8Array([type, ...bytes]);
        for (const decode of [decodeServer, decodeSession, decodePeers, decodeRoom]) decode(record);
      }),
      { numRuns: 300 },
    );
  });

  it('take at most 600 sealed bytes a session', () => {
    const rng = seededRandom(2);
    const size = (sessions: readonly SessionRecord[]): number => {
      const key = writerFrom(Secret.random(32, rng));
      const header = { kind: 'identity', generation: 1, createdAt: 1, notAfter: 0, id: NONE } as const;
      return sealSnapshot(key, header, encodeIdentity({ ...sampleIdentity(rng, 0), sessions })).length;
    };
    const sessions = Array.from({ length: 100 }, () => sampleSession(rng));
    const each = (size(sessions) - size([])) / sessions.length;
    expect(each).toBeLessThanOrEqual(600);
    expect(each).toBeGreaterThan(200);
  });

  it('hold no key that protects media, which those of the media do', () => {
    const rng = seededRandom(3);
    const [snapshot, contexts] = [sampleIdentity(rng, 3), sampleMedia(rng, 3)];
    const written = (records: Iterable<Uint8Array>) => plaintext(records).map(toHex).join('|');
    const keys = contexts.peers.flatMap(({ send, receive }) =>
      [send, receive].flatMap(({ master }) => [toHex(master.key.bytes), toHex(master.salt.bytes)]),
    );
    expect(keys).toHaveLength(12);
    const [onDisk, inMemory] = [written(encodeIdentity(snapshot)), written(encodeMedia(contexts))];
    for (const key of keys) {
      expect(onDisk).not.toContain(key);
      expect(inMemory).toContain(key);
    }
  });

  it('are wiped from the buffer they were written to', () => {
    const seen: Uint8Array[] = [];
    for (const record of encodeIdentity(sampleIdentity(seededRandom(4), 2))) seen.push(record);
    expect(seen).toHaveLength(3);
    for (const record of seen) expect(record.every((byte) => byte === 0)).toBe(true);
  });

  it('are wiped too when the reader stops early', () => {
    let seen: Uint8Array | undefined;
    for (const record of encodeMedia(sampleMedia(seededRandom(4), 2))) {
      seen = record;
      if (record[0] === 6) break;
    }
    expect(seen?.every((byte) => byte === 0)).toBe(true);
  });

  it.each([
    ['a password that is too short', { localPwd: 'short' }],
    ['a ufrag with a line break', { remoteUfrag: 'abcd\na=x' }],
    ['a digest of another size', { remoteFingerprint: { algorithm: 'sha-256', digest: new Uint8Array(64) } }],
    ['a host name for an address', { remoteAddress: { ip: 'localhost', port: 1 } }],
    ['an epoch that is no 32-bit number', { epoch: -1 }],
  ] as const)('are not written with %s', (_, change) => {
    const good = sampleSession(seededRandom(5));
    const write = (connection: SessionRecord['connection']) =>
      plaintext(
        encodeIdentity({
          ...sampleIdentity(seededRandom(5), 0),
          sessions: [{ ...good, connection }],
        }),
      );
    expect(write(good.connection)).toHaveLength(2);
    expect(() => write({ ...good.connection!, ...change })).toThrow(RangeError);
  });
});

describe('the records of a media snapshot', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(media, (snapshot) => {
        const [first, ...others] = plaintext(encodeMedia(snapshot));
        expect(revealed(decodeRoom(first!))).toEqual(revealed(snapshot.room));
        expect(revealed(others.flatMap((record) => decodePeers(record)))).toEqual(revealed(snapshot.peers));
      }),
      { numRuns: 100 },
    );
  });

  it('hold some peers each, and are refused as a whole where one of them makes no sense', () => {
    const snapshot = sampleMedia(seededRandom(9), 60);
    const [, ...records] = plaintext(encodeMedia(snapshot));
    expect(records.length).toBeGreaterThan(1);
    expect(records.length).toBeLessThan(6);
    expect(revealed(records.flatMap((record) => decodePeers(record)))).toEqual(revealed(snapshot.peers));
    const [first] = records;
    // The last of its bytes are the limit of a peer, which has 31 bits.
    first!.fill(0xff, first!.length - 8);
    expect(decodePeers(first!)).toBeUndefined();
  });

  it('of format 3, one for each peer, are read as well', () => {
    const peer = samplePeer(seededRandom(10));
    const [, record] = plaintext(encodeMedia({ ...sampleMedia(seededRandom(10), 0), peers: [peer] }));
    const former = Uint8Array.of(4, ...record!.subarray(1));
    expect(revealed(decodePeers(former))).toEqual(revealed([peer]));
    expect(decodePeers(new Uint8Array([...former, ...record!.subarray(1)]))).toBeUndefined();
  });

  it('are refused when cut anywhere, and with a byte too many', () => {
    const [roomRecord, peerRecord] = plaintext(encodeMedia(sampleMedia(seededRandom(1), 1)));
    expectStrict(roomRecord!, decodeRoom);
    expectStrict(peerRecord!, decodePeers);
  });

  it('are refused with a base that is no multiple of 2^16', () => {
    const good = samplePeer(seededRandom(6));
    const change = (base: number) => ({ ...good, send: { ...good.send, streams: [{ ssrc: 1, base }] } });
    const decoded = (base: number) => {
      const snapshot = { ...sampleMedia(seededRandom(6), 0), peers: [change(base)] };
      return decodePeers(plaintext(encodeMedia(snapshot))[1]!);
    };
    expect(decoded(65_536)).toBeDefined();
    expect(decoded(65_537)).toBeUndefined();
  });

  it.each([1.5, -1, Number.NaN, 2 ** 53])('are not written with %d for a limit', (limit) => {
    const good = samplePeer(seededRandom(7));
    const snapshot = (value: number): MediaSnapshot => ({
      ...sampleMedia(seededRandom(7), 0),
      peers: [{ ...good, receive: { ...good.receive, streams: [{ ssrc: 1, limit: value }] } }],
    });
    expect(plaintext(encodeMedia(snapshot(1)))).toHaveLength(2);
    expect(() => plaintext(encodeMedia(snapshot(limit)))).toThrow(RangeError);
  });
});

describe('the encoder of one media snapshot after another', () => {
  it('gives what one does that has kept nothing, whoever comes, goes and changes', () => {
    const change = fc.record({ at: fc.nat(), kind: fc.constantFrom('limit', 'stream', 'leave', 'join') });
    fc.assert(
      fc.property(
        fc.nat(50),
        fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 12 }),
        (many, runs) => {
          const rng = seededRandom(many);
          const encoder = new MediaEncoder();
          let snapshot: MediaSnapshot = { ...sampleMedia(rng, 0), peers: [] };
          const peers = Array.from({ length: many }, () => frozenPeer(samplePeer(rng)));
          for (const run of [[], ...runs]) {
            for (const { at, kind } of run) changed(peers, at, kind, rng);
            snapshot = { ...snapshot, peers: [...peers] };
            expect(plaintext(encoder.encode(snapshot)).map(toHex)).toEqual(
              plaintext(encodeMedia(snapshot)).map(toHex),
            );
          }
          encoder.dispose();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('takes no record for the same that may have been changed', () => {
    const encoder = new MediaEncoder();
    const good = samplePeer(seededRandom(11));
    const send = { ...good.send, srtcpLimit: 500 };
    const snapshot = { ...sampleMedia(seededRandom(11), 0), peers: [Object.freeze({ ...good, send })] };
    plaintext(encoder.encode(snapshot));
    send.srtcpLimit = 900;
    const [, record] = plaintext(encoder.encode(snapshot));
    expect(decodePeers(record!)![0]!.send.srtcpLimit).toBe(900);
  });

  it('wipes what it has kept', () => {
    const encoder = new MediaEncoder();
    const peers = Array.from({ length: 30 }, () => frozenPeer(samplePeer(seededRandom(12))));
    const views = [...encoder.encode({ ...sampleMedia(seededRandom(12), 0), peers })].slice(1);
    expect(views.map((view) => view.some((byte) => byte !== 0))).toEqual([true, true]);
    encoder.dispose();
    expect(views.every((view) => view.every((byte) => byte === 0))).toBe(true);
  });

  it('wipes what was of those who have left', () => {
    const encoder = new MediaEncoder();
    const snapshot = (peers: MediaSnapshot['peers']) => ({ ...sampleMedia(seededRandom(13), 0), peers });
    const peers = Array.from({ length: 30 }, () => frozenPeer(samplePeer(seededRandom(13))));
    const [, first, second] = [...encoder.encode(snapshot(peers))];
    expect(second!.some((byte) => byte !== 0)).toBe(true);
    const [, left] = plaintext(encoder.encode(snapshot(peers.slice(0, 5))));
    expect(second!.every((byte) => byte === 0)).toBe(true);
    expect(first!.subarray(0, left!.length)).toEqual(left);
    expect(first!.subarray(left!.length).every((byte) => byte === 0)).toBe(true);
  });

  it('wipes all of it where one cannot be written, and goes on with the next', () => {
    const encoder = new MediaEncoder();
    const room = sampleMedia(seededRandom(14), 0);
    const good = frozenPeer(samplePeer(seededRandom(14)));
    const [, view] = [...encoder.encode({ ...room, peers: [good] })];
    const bad = { ...good, epoch: -1 };
    expect(() => plaintext(encoder.encode({ ...room, peers: [bad] }))).toThrow(RangeError);
    expect(view!.every((byte) => byte === 0)).toBe(true);
    expect(plaintext(encoder.encode({ ...room, peers: [good] })).map(toHex)).toEqual(
      plaintext(encodeMedia({ ...room, peers: [good] })).map(toHex),
    );
  });
});

/** As a server captures it. */
function frozenPeer(peer: PeerMediaRecord): PeerMediaRecord {
  const rows = <Row>(table: readonly Row[]) => Object.freeze(table.map((row) => Object.freeze({ ...row })));
  const { send, receive } = peer;
  return Object.freeze({
    ...peer,
    remoteAddress: Object.freeze({ ...peer.remoteAddress }),
    send: Object.freeze({ ...send, streams: rows(send.streams) }),
    receive: Object.freeze({ ...receive, streams: rows(receive.streams), srtcp: rows(receive.srtcp) }),
  });
}

function changed(peers: PeerMediaRecord[], place: number, kind: string, rng: RandomSource): void {
  const at = place % Math.max(1, peers.length);
  const peer = peers[at];
  if (kind === 'join' || peer === undefined) peers.push(frozenPeer(samplePeer(rng)));
  else if (kind === 'leave') peers.splice(at, 1);
  else {
    const streams = kind === 'stream' ? [...peer.send.streams, { ssrc: 9, base: 0 }] : peer.send.streams;
    const send = { ...peer.send, srtcpLimit: peer.send.srtcpLimit + 1, streams };
    peers[at] = frozenPeer({ ...peer, send });
  }
}

describe('the head of a sealed file', () => {
  it('has the size it says', () => {
    expect(HEADER_BYTES).toBe(196);
  });
});

/** Copies, since a record is only good until the next one is asked for. */
function plaintext(records: Iterable<Uint8Array>): readonly Uint8Array[] {
  return Array.from(records, (record) => record.slice());
}

function expectStrict(record: Uint8Array, decode: (bytes: Uint8Array) => unknown): void {
  expect(decode(record)).toBeDefined();
  for (let length = 0; length < record.length; length++)
    expect(decode(record.subarray(0, length))).toBeUndefined();
  expect(decode(new Uint8Array([...record, 0]))).toBeUndefined();
}

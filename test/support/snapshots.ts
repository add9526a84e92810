import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SnapshotWriter } from '../../src/keyring/keyring.ts';
import { deriveWriterKey } from '../../src/keyring/writer-key.ts';
import type { RoomState } from '../../src/room/state.ts';
import { MediaEncoder } from '../../src/snapshot/codec/media.ts';
import type {
  IdentitySnapshot,
  MediaSnapshot,
  PeerMediaRecord,
  SessionRecord,
} from '../../src/snapshot/schema.ts';
import { SRTP_PROFILES, type SrtpProfile } from '../../src/transport/srtp/profile.ts';
import { toHex } from '../../src/util/bytes.ts';
import { type RandomSource, randomBytes, randomUint32 } from '../../src/util/rng.ts';
import { Secret } from '../../src/util/secret.ts';
import { sodium } from '../../src/util/sodium.ts';

/** Wall-clock time of the samples. */
export const SAMPLE_TIME = 1_800_000_000_000;

/** In RAM where there is a place: thousands of files are synced here. */
const ROOT = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** A directory that is gone when `dispose` has run. */
export function temporaryDirectory(): { readonly path: string; dispose(): void } {
  const path = mkdtempSync(join(ROOT, 'rekeycast-test-'));
  return { path, dispose: () => rmSync(path, { recursive: true, force: true }) };
}

/** The three directories of a server, closed to others. */
export function temporaryDirectories(): {
  readonly root: string;
  readonly stateDir: string;
  readonly runtimeDir: string;
  readonly keysDir: string;
  dispose(): void;
} {
  const { path, dispose } = temporaryDirectory();
  const at = (name: string): string => join(path, name);
  mkdirSync(at('run'), { mode: 0o700 });
  return { root: path, stateDir: at('state'), runtimeDir: at('run'), keysDir: at('keys'), dispose };
}

/** What the holder of a snapshot secret key writes with. */
export function writerFrom(secretKey: Secret): SnapshotWriter {
  const publicKey = sodium().publicKeyOf(secretKey.bytes);
  const id = toHex(createHash('sha256').update(publicKey).digest().subarray(0, 8));
  return { id, publicKey, writerKey: deriveWriterKey(secretKey) };
}

export function sampleSession(rng: RandomSource, change: Partial<SessionRecord> = {}): SessionRecord {
  return {
    id: randomBytes(rng, 8),
    tokenHash: randomBytes(rng, 32),
    nextTokenHash: randomBytes(rng, 32),
    role: 'viewer',
    capabilities: { rekeyInPlace: true },
    lastSeenAt: SAMPLE_TIME - 1000,
    connection: {
      number: 3,
      offers: 17,
      epoch: 12,
      localUfrag: toHex(randomBytes(rng, 8)),
      localPwd: toHex(randomBytes(rng, 16)),
      remoteUfrag: toHex(randomBytes(rng, 4)),
      remoteFingerprint: { algorithm: 'sha-512', digest: randomBytes(rng, 64) },
      remoteAddress: { ip: '2001:db8:1234:5678:9abc:def0:1234:5678', port: 54321 },
    },
    former: undefined,
    onAirSince: undefined,
    ...change,
  };
}

function sampleRoom(rng: RandomSource, producer = ''): RoomState {
  return {
    producer,
    streams: [
      {
        kind: 'audio',
        ssrc: randomUint32(rng),
        rtxSsrc: 0,
        limit: 65_536 * 3 + 17,
        timestamp: 960,
        timestampAt: SAMPLE_TIME,
        source: undefined,
      },
      {
        kind: 'video',
        ssrc: randomUint32(rng),
        rtxSsrc: randomUint32(rng),
        limit: 2 ** 33,
        timestamp: 0xffff_ffff,
        timestampAt: SAMPLE_TIME,
        source: {
          ssrc: randomUint32(rng),
          highest: 70_000,
          indexOffset: -4_000,
          timestampOffset: -1,
        },
      },
    ],
  };
}

export function sampleIdentity(rng: RandomSource, sessions = 3): IdentitySnapshot {
  return {
    certificate: {
      certificate: randomBytes(rng, 360),
      privateKey: Secret.random(138, rng),
      createdAt: SAMPLE_TIME - 1e9,
    },
    tokenKey: Secret.random(32, rng),
    room: sampleRoom(rng),
    sessions: Array.from({ length: sessions }, (_, at) =>
      sampleSession(rng, {
        onAirSince: at % 3 === 1 ? SAMPLE_TIME - 60_000 : undefined,
        former: at % 3 === 2 ? { number: 3, epoch: 12, away: true } : undefined,
      }),
    ),
  };
}

export function samplePeer(
  rng: RandomSource,
  profile: SrtpProfile = 'AES_CM_128_HMAC_SHA1_80',
): PeerMediaRecord {
  const { keyBytes, saltBytes } = SRTP_PROFILES[profile];
  const master = () => ({ key: Secret.random(keyBytes, rng), salt: Secret.random(saltBytes, rng) });
  return {
    session: randomBytes(rng, 8),
    connection: 1,
    epoch: 4,
    remoteAddress: { ip: '192.0.2.7', port: 40_000 },
    send: {
      profile,
      master: master(),
      streams: [
        { ssrc: randomUint32(rng), base: 65_536 * 2 },
        { ssrc: randomUint32(rng), base: 0 },
      ],
      srtcpLimit: 500,
    },
    receive: {
      profile,
      master: master(),
      streams: [{ ssrc: randomUint32(rng), limit: 2 ** 47 }],
      srtcp: [{ ssrc: randomUint32(rng), limit: 77 }],
    },
  };
}

export function sampleMedia(rng: RandomSource, peers = 2, writtenAt = SAMPLE_TIME): MediaSnapshot {
  return {
    writtenAt,
    notAfter: writtenAt + 30_000,
    room: sampleRoom(rng),
    peers: Array.from({ length: peers }, () => samplePeer(rng)),
  };
}

/** A copy in which secrets are hex: what two snapshots are compared by. */
export function revealed(value: unknown): unknown {
  if (value instanceof Secret) return { secret: toHex(value.bytes) };
  if (value instanceof Uint8Array) return { bytes: toHex(value) };
  if (Array.isArray(value)) return value.map(revealed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, revealed(inner)]));
}

/** The records of one media snapshot. Used like those of `encodeIdentity`. */
export function* encodeMedia(snapshot: MediaSnapshot): Generator<Uint8Array, void, undefined> {
  const encoder = new MediaEncoder();
  try {
    yield* encoder.encode(snapshot);
  } finally {
    encoder.dispose();
  }
}

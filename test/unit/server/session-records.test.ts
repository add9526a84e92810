import { expect, it } from 'vitest';
import { readSessions, writeSession } from '../../../src/server/session-records.ts';
import type { Session } from '../../../src/session/session.ts';
import type { IdentitySnapshot } from '../../../src/snapshot/schema.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { randomBytes, secureRandom } from '../../../src/util/rng.ts';
import {
  SAMPLE_TIME,
  sampleIdentity,
  sampleMedia,
  samplePeer,
  sampleSession,
} from '../../support/snapshots.ts';

/** A minute after the snapshots, in a process that has run for five seconds. */
const CLOCK = { now: 5_000, wallOffset: SAMPLE_TIME + 60_000 - 5_000 };

const identityOf = (...changes: Parameters<typeof sampleSession>[1][]): IdentitySnapshot => ({
  ...sampleIdentity(secureRandom, 0),
  sessions: changes.map((change) => sampleSession(secureRandom, change)),
});

it('counts the time without a server as nobody’s absence', () => {
  const identity = identityOf({ lastSeenAt: SAMPLE_TIME }, { lastSeenAt: SAMPLE_TIME - 700 });
  const { found } = readSessions(identity, undefined, CLOCK);
  expect(found.map(({ visitor }) => visitor.seenAt)).toEqual([5_000, 4_300]);
});

it('has nobody on air since later than now, though the clock was set back', () => {
  const identity = identityOf(
    { role: 'broadcaster', onAirSince: SAMPLE_TIME },
    { role: 'broadcaster', onAirSince: SAMPLE_TIME + 3_600_000 },
    { role: 'broadcaster', onAirSince: undefined },
  );
  const { found } = readSessions(identity, undefined, CLOCK);
  expect(found.map(({ onAirSince }) => onAirSince)).toEqual([-55_000, 5_000, undefined]);
});

it('gives each connection its own contexts and the address they were used at; others are strays', () => {
  const identity = identityOf({}, {}, { connection: undefined });
  const [first, second, third] = identity.sessions;
  const own = { ...samplePeer(secureRandom), session: first!.id, connection: first!.connection!.number };
  const former = { ...samplePeer(secureRandom), session: second!.id, connection: 99 };
  const none = { ...samplePeer(secureRandom), session: third!.id };
  const media = { ...sampleMedia(secureRandom, 0), peers: [former, own, none] };
  const { found, strays } = readSessions(identity, media, CLOCK);
  expect(found.map(({ contexts }) => contexts)).toEqual([own, undefined, undefined]);
  expect(found.map(({ connection }) => connection?.remoteAddress)).toEqual([
    own.remoteAddress,
    second!.connection!.remoteAddress,
    undefined,
  ]);
  expect(strays).toEqual([former, none]);
});

it('reads what it has written', () => {
  const hashes = { current: randomBytes(secureRandom, 32), next: undefined };
  const former = { number: 3, epoch: 12, away: true };
  const session = {
    id: toHex(randomBytes(secureRandom, 8)),
    role: 'broadcaster',
    capabilities: { rekeyInPlace: true },
    attached: false,
    seenAt: 4_000,
    captureConnection: () => undefined,
    captureFormer: () => former,
  } as unknown as Session;
  const record = writeSession(session, { hashes, onAirSince: 1_000 }, CLOCK);
  const { found } = readSessions({ ...identityOf(), sessions: [record] }, undefined, CLOCK);
  expect(found).toEqual([
    {
      visitor: {
        id: session.id,
        role: 'broadcaster',
        capabilities: session.capabilities,
        seenAt: 5_000,
        former,
      },
      away: true,
      hashes,
      onAirSince: 1_000,
      connection: undefined,
      contexts: undefined,
    },
  ]);
  expect(
    writeSession({ ...session, attached: true } as Session, { hashes, onAirSince: undefined }, CLOCK),
  ).toMatchObject({
    lastSeenAt: SAMPLE_TIME + 60_000,
    onAirSince: undefined,
  });
});

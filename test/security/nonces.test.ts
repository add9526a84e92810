import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { MediaSnapshot } from '../../src/snapshot/schema.ts';
import { type Event, events, Schedule, type Surroundings, surroundings } from '../support/schedule.ts';
import { type Audit, VirtualWorld } from '../support/virtual-world.ts';

/** Schedules that are tried; more by hand: `NONCE_RUNS=5000 npx vitest run test/security/nonces.test.ts`. */
const RUNS = Number(process.env.NONCE_RUNS ?? 40);
const SEED = Number(process.env.NONCE_SEED ?? 1);
/** Enough for shrinking as well, on a busy machine. */
const LIMIT_MS = 600_000 + RUNS * 3_000;
const MOST_EVENTS = 14;
const CALM = 60_000;
/** Somebody else broadcasts; a page was back before its last link was up. Never: a token that the server does not know. */
const EXPECTED = new Set(['BROADCASTER_PRESENT', 'SUPERSEDED']);

let world: VirtualWorld;
afterEach(() => world.dispose());

/** With workers, who wants to broadcast is told to join anew. */
const EXPECTED_WITH_WORKERS = new Set([...EXPECTED, 'TOKEN_UNKNOWN']);

function createWorld(
  { profile, rekeyInterval, mediaTtl, ...network }: Surroundings,
  followers: number,
): Promise<VirtualWorld> {
  return VirtualWorld.create({
    ...network,
    followers,
    broadcast: { srtpProfiles: [profile], rekeyInterval, mediaTtl },
  });
}

const expectSafeAndAlive =
  (followers: number, expected = EXPECTED) =>
  async (around: Surroundings, script: readonly Event[]): Promise<void> => {
    world = await createWorld(around, followers);
    try {
      const schedule = new Schedule(world, around.seed);
      await schedule.play(script);
      const alive = await schedule.settle(CALM);
      const audit = world.audit();
      expect(audit).toMatchObject({ reused: [], acceptedAgain: 0, unexplained: 0 });
      expect(world.events.filter(({ event }) => event === 'protect-failed')).toEqual([]);
      expect(alive).toBe(true);
      expect(audit.decrypted).toBeGreaterThan(100);
      expect(audit.accepted).toBeGreaterThan(100);
      for (const { browser } of schedule.visitors)
        expect(browser.errors.filter((code) => !expected.has(code))).toEqual([]);
    } finally {
      await world.dispose();
    }
  };

/** Far past what was reserved first, where nothing is written that is not asked for; the next process begins with new packets. */
const farAhead: [Surroundings, Event[]] = [
  {
    loss: 0,
    duplication: 0,
    jitter: 0,
    oneWay: 5,
    signalingOneWay: 5,
    profile: 'AEAD_AES_128_GCM',
    rekeyInterval: undefined,
    mediaTtl: 30_000,
    refreshInterval: 1e9,
    seed: 1,
  },
  [
    { what: { does: 'order' }, pause: 2_500 },
    { what: { does: 'kill', down: 300, encoder: true }, pause: 1_500 },
    { what: { does: 'kill', down: 300, encoder: true }, pause: 1_500 },
  ],
];

const options: fc.Parameters<[Surroundings, readonly Event[]]> = {
  seed: SEED,
  numRuns: RUNS,
  examples: [farAhead],
  // What was found so far is said, shrunk as far as it went.
  interruptAfterTimeLimit: LIMIT_MS * 0.9,
  markInterruptAsFailure: true,
};

describe('over any schedule of visitors, networks, re-keys, faults and kills', () => {
  it(
    'nonces-any-schedule: no (key, SSRC, index) protects two payloads, no packet is accepted twice, and everybody sees the picture again',
    { timeout: LIMIT_MS },
    () => fc.assert(fc.asyncProperty(surroundings, events(MOST_EVENTS), expectSafeAndAlive(0)), options),
  );

  it(
    'nonces-workers-any-schedule: the same of several engines, each with keys and files of its own, which one broadcaster feeds',
    { timeout: LIMIT_MS },
    () =>
      fc.assert(
        fc.asyncProperty(surroundings, events(MOST_EVENTS), expectSafeAndAlive(2, EXPECTED_WITH_WORKERS)),
        options,
      ),
  );
});

type Fault = (snapshot: MediaSnapshot) => MediaSnapshot;

/** A reservation that was not made: the room's indices. The next broadcaster's packets begin where others were. */
const roomForgotten: Fault = ({ room, ...rest }) => ({
  ...rest,
  room: {
    ...room,
    streams: room.streams.map((stream) => ({ ...stream, limit: stream.limit - 100, source: undefined })),
  },
});
const srtcpForgotten: Fault = ({ peers, ...rest }) => ({
  ...rest,
  peers: peers.map((peer) => ({ ...peer, send: { ...peer.send, srtcpLimit: 0 } })),
});
const floorsForgotten: Fault = ({ peers, ...rest }) => ({
  ...rest,
  peers: peers.map((peer) => ({
    ...peer,
    receive: { ...peer.receive, streams: peer.receive.streams.map((stream) => ({ ...stream, limit: 0 })) },
  })),
});

/** A server that is killed and goes on for a while before any page is back, with the broadcaster's packets sent to it twice. */
async function goOnWith(tamper: Fault | undefined, followers: number): Promise<Audit> {
  world = await VirtualWorld.create({ seed: 3, followers });
  try {
    world.tamper = tamper;
    await world.start();
    for (const browser of [world.addBrowser(), world.addBrowser()]) {
      world.open(browser);
      await world.run(1_500, () => browser.current?.connected === true);
    }
    await world.run(1_500);
    world.kill();
    await world.start();
    for (const { from, to, datagram } of world.received.slice(-400)) world.inject(datagram, from, to);
    await world.run(2_500);
    return world.audit();
  } finally {
    await world.dispose();
  }
}

describe('the audit sees a server', () => {
  const faults: readonly { id: string; sentence: string; fault: Fault; sees: (audit: Audit) => boolean }[] = [
    {
      id: 'nonces-audit-sees-srtp',
      sentence: 'that forgets which indices of the room it has used',
      fault: roomForgotten,
      sees: ({ reused }) => reused.some((nonce) => !nonce.includes('srtcp')),
    },
    {
      id: 'nonces-audit-sees-srtcp',
      sentence: 'that forgets which SRTCP indices it has used',
      fault: srtcpForgotten,
      sees: ({ reused }) => reused.some((nonce) => nonce.includes('srtcp')),
    },
    {
      id: 'nonces-audit-sees-accepted',
      sentence: 'that forgets what it has accepted',
      fault: floorsForgotten,
      sees: ({ acceptedAgain }) => acceptedAgain > 0,
    },
  ];
  for (const { id, sentence, fault, sees } of faults)
    it(`${id}: ${sentence}`, async () => {
      // With workers as well, where the viewer's keys are in another engine than the broadcaster's.
      for (const followers of [0, 1]) {
        expect(sees(await goOnWith(undefined, followers))).toBe(false);
        expect(sees(await goOnWith(fault, followers))).toBe(true);
      }
    });
});

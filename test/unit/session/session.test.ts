import { beforeEach, describe, expect, it } from 'vitest';
import type { Connection } from '../../../src/session/connection.ts';
import { Session } from '../../../src/session/session.ts';
import type { SessionOptions, SessionOutput } from '../../../src/session/session-io.ts';
import type { PagePosition, ServerMessage } from '../../../src/signaling/protocol.ts';
import type { ConnectionRecord } from '../../../src/snapshot/schema.ts';
import type { Millis } from '../../../src/util/clock.ts';
import { FakePeer } from '../../support/fake-peer.ts';

const FINGERPRINT = { algorithm: 'sha-256' as const, digest: new Uint8Array(32) };
const RECORD: ConnectionRecord = {
  number: 4,
  offers: 2,
  epoch: 7,
  localUfrag: 'locl',
  localPwd: 'pwd',
  remoteUfrag: 'rmte',
  remoteFingerprint: FINGERPRINT,
  remoteAddress: { ip: '192.0.2.1', port: 1 },
};
const AT_RECORD: PagePosition = { connection: 4, epoch: 7, settled: true };
const STALE = { contexts: { epoch: 7 }, floors: [] } as unknown as Parameters<Session['resume']>[1];

type Message<Type extends ServerMessage['type']> = Extract<ServerMessage, { type: Type }>;

let now: Millis;
let session: Session;
let peers: FakePeer[];
let outputs: SessionOutput[];

beforeEach(() => {
  now = 1_000;
  create();
});

function create(options: Partial<SessionOptions> = {}): void {
  peers = [];
  outputs = [];
  session = new Session(
    {
      id: 'session',
      role: 'viewer',
      capabilities: { rekeyInPlace: true },
      staleKeyTtl: 5_000,
      sessionTtl: 600_000,
      rekeyInterval: undefined,
      createCredentials: () => ({ ufrag: `u${outputs.length}`, pwd: 'p' }),
      createPeer: (ice, restored) => {
        const peer = new FakePeer(ice, restored);
        peers.push(peer);
        return peer.asPeer;
      },
      createOffer: ({ number, epoch }) => `offer ${number}/${epoch}`,
      parseAnswer: (sdp) =>
        sdp === 'bad'
          ? undefined
          : { ice: { ufrag: sdp, pwd: 'p' }, fingerprints: [FINGERPRINT], audio: true, video: true },
      ...options,
    },
    now,
  );
}

/** Everything since the last call. */
function drain(): SessionOutput[] {
  const fresh: SessionOutput[] = [];
  for (let output = session.pollOutput(); output !== undefined; output = session.pollOutput())
    fresh.push(output);
  outputs.push(...fresh);
  return fresh;
}

const messages = (list: readonly SessionOutput[]): ServerMessage[] =>
  list.flatMap((output) => (output.kind === 'message' ? [output.message] : []));
const offersIn = (list: readonly SessionOutput[]): Message<'offer'>[] =>
  messages(list).filter((message) => message.type === 'offer');
const events = (list: readonly SessionOutput[]): string[] =>
  list.flatMap((output) => (output.kind === 'event' ? [output.event.event] : []));
const kinds = (list: readonly SessionOutput[]): string[] => list.map(({ kind }) => kind);
const closedIn = (list: readonly SessionOutput[]): number[] =>
  messages(list).flatMap((message) => (message.type === 'close' ? [message.connection] : []));

const peerOf = (connection: Connection | undefined): FakePeer => connection?.peer as unknown as FakePeer;
const numbered = (number: number): Connection =>
  session.connections.find((connection) => connection.number === number)!;

function answer(connection: number, sdp = 'rmte'): SessionOutput[] {
  session.handleMessage({ type: 'answer', connection, offer: numbered(connection).offers, sdp }, now);
  return drain();
}

/** This connection has fresh keys. */
function key(connection: Connection): SessionOutput[] {
  peerOf(connection).say(
    { kind: 'keyed', epoch: connection.epoch },
    { kind: 'connected', epoch: connection.epoch },
  );
  session.flush(connection, now);
  return drain();
}

/** An authenticated check comes in. */
function hear(connection: Connection): void {
  session.handleDatagram(connection, new Uint8Array(0), { ip: '192.0.2.1', port: 1 }, now);
}

/** Lets time pass from deadline to deadline. */
function pass(duration: Millis): SessionOutput[] {
  const end = now + duration;
  const fresh: SessionOutput[] = [];
  for (let steps = 0; ; steps++) {
    expect(steps).toBeLessThan(1_000);
    const due = session.nextTimeout();
    if (due === undefined || due > end) break;
    now = Math.max(now, due);
    session.handleTimeout(now);
    fresh.push(...drain());
  }
  now = end;
  return fresh;
}

/** A page that has its first connection, with keys. */
function live(options: Partial<SessionOptions> = {}): Connection {
  create(options);
  session.attach(undefined, now);
  drain();
  const connection = session.connections[0]!;
  answer(connection.number);
  key(connection);
  return connection;
}

/** A session of an earlier process whose page is back. */
function resumed(
  position: PagePosition | undefined = AT_RECORD,
  options: Partial<SessionOptions> = {},
): SessionOutput[] {
  create(options);
  session.resume(RECORD, STALE, now);
  session.attach(position, now);
  return drain();
}

describe('a first visit', () => {
  it('gets its first offer in the same turn', () => {
    session.attach(undefined, now);
    expect(offersIn(drain())).toEqual([
      { type: 'offer', connection: 1, offer: 1, epoch: 0, kind: 'first', role: 'viewer', sdp: 'offer 1/0' },
    ]);
    expect(session.current).toBeUndefined();
  });

  it('is promoted as soon as it has keys, without a word of the page', () => {
    session.attach(undefined, now);
    drain();
    answer(1);
    const fresh = key(numbered(1));
    expect(session.current?.number).toBe(1);
    expect(messages(fresh)).toEqual([{ type: 'keyed', connection: 1, epoch: 0 }]);
    expect(fresh).toContainEqual(expect.objectContaining({ kind: 'keyed' }));
    expect(closedIn(fresh)).toEqual([]);
  });

  it('is captured from its answer on', () => {
    session.attach(undefined, now);
    expect(session.captureConnection()).toBeUndefined();
    answer(1);
    expect(session.captureConnection()).toMatchObject({
      number: 1,
      offers: 1,
      epoch: 0,
      remoteUfrag: 'rmte',
    });
  });

  it('is told of an answer that cannot be used, and goes on with one that can', () => {
    session.attach(undefined, now);
    drain();
    expect(messages(answer(1, 'bad'))).toMatchObject([{ type: 'error', code: 'SDP_INVALID' }]);
    expect(peers[0]!.answers).toEqual([]);
    answer(1);
    expect(peers[0]!.answers.length).toBe(1);
  });

  it.each([
    ['another offer', { connection: 1, offer: 2 }],
    ['an offer before', { connection: 1, offer: 0 }],
    ['another connection', { connection: 9, offer: 1 }],
  ])('ignores an answer to %s', (_what, numbers) => {
    session.attach(undefined, now);
    session.handleMessage({ type: 'answer', ...numbers, sdp: 'rmte' }, now);
    expect(peers[0]!.answers).toEqual([]);
  });

  it('is tried again at once when it gets no keys in 15 s, then later and later', () => {
    session.attach(undefined, now);
    drain();
    const start = now;
    const at = offersIn(pass(299_000)).map(({ connection }) => peers[connection - 1]!.offers[0]!.at - start);
    expect(at.slice(0, 4)).toEqual([15_000, 31_000, 48_000, 66_000]);
    const gaps = at.map((time, i) => time - (at[i - 1] ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(30_000);
    expect(at.at(-1)).toBeGreaterThan(260_000);
  });

  it('of a broadcaster waits a minute for the camera prompt', () => {
    create({ role: 'broadcaster' });
    session.attach(undefined, now);
    drain();
    expect(offersIn(pass(59_000))).toEqual([]);
    expect(offersIn(pass(2_000))).toMatchObject([{ connection: 2 }]);
  });

  it('is tried again at once when its handshake fails', () => {
    session.attach(undefined, now);
    drain();
    peers[0]!.say({ kind: 'failed', reason: 'bad-finished' });
    session.flush(numbered(1), now);
    const fresh = [...drain(), ...pass(0)];
    expect(events(fresh)).toContain('handshake-failed');
    expect(closedIn(fresh)).toEqual([1]);
    expect(offersIn(fresh)).toMatchObject([{ connection: 2 }]);
    expect(peers[0]!.closed).toBe(true);
  });
});

describe('a page that goes away', () => {
  it('takes its keys with it, and finds its place for a moment', () => {
    const connection = live();
    session.goAway(now);
    const fresh = drain();
    expect([peerOf(connection).closed, session.connections]).toEqual([true, []]);
    expect(kinds(fresh)).toContain('changed');
    expect(events(fresh)).toContain('stale-keys-destroyed');
    expect(session.captureConnection()).toBeUndefined();
    expect(session.captureFormer()).toEqual({ number: 1, epoch: 0, away: true });
    pass(9_999);
    expect([session.closed, session.away]).toEqual([false, true]);
    session.comeBack();
    session.attach(undefined, now);
    expect(offersIn(drain())).toMatchObject([{ kind: 'first', connection: 2, epoch: 1 }]);
    expect(session.captureFormer()).toEqual({ number: 2, epoch: 0, away: false });
    pass(14_000);
    expect([session.closed, session.away]).toEqual([false, false]);
    answer(2);
    key(numbered(2));
    expect([session.captureFormer(), session.captureConnection()?.epoch]).toEqual([undefined, 1]);
  });

  it('and does not come back has left, after a moment and not for ever', () => {
    live();
    session.goAway(now);
    pass(10_000);
    expect(session.closed).toBe(true);
  });

  it('while it has nothing yet leaves nothing, and is not tried again', () => {
    session.attach(undefined, now);
    session.goAway(now);
    drain();
    expect(session.captureFormer()).toEqual({ number: 1, epoch: 0, away: true });
    expect(offersIn(pass(9_999))).toEqual([]);
    pass(1);
    expect(session.closed).toBe(true);
  });

  it('is away in the process after that too, and counts on there', () => {
    create({ former: { number: 7, epoch: 5, away: true } });
    session.stayAway(now);
    pass(9_999);
    expect([session.closed, session.captureFormer()]).toEqual([false, { number: 7, epoch: 5, away: true }]);
    session.comeBack();
    session.attach(undefined, now);
    expect(offersIn(drain())).toMatchObject([{ kind: 'first', connection: 8, epoch: 6 }]);
  });
});

describe('what a browser can', () => {
  it('is what its page says last', () => {
    live();
    const learn = (rekeyInPlace: boolean): string[] => {
      session.handleMessage({ type: 'capabilities', capabilities: { rekeyInPlace } }, now);
      return kinds(drain());
    };
    expect(learn(true)).toEqual([]);
    expect(learn(false)).toEqual(['changed']);
    expect(session.capabilities).toEqual({ rekeyInPlace: false });
    session.rekey('resume', now);
    expect(offersIn(drain())).toMatchObject([{ kind: 'replacement' }]);
    expect(learn(true)).toEqual(['changed']);
    session.rekey('resume', now);
    expect(offersIn(drain())).toMatchObject([{ kind: 'rekey' }]);
  });
});

describe('a page that comes back', () => {
  it('finds its keys still fresh, and is told so and no more', () => {
    const connection = live();
    session.detach(now);
    now += 2_000;
    session.attach({ connection: 1, epoch: 0, settled: true }, now);
    expect(messages(drain())).toEqual([{ type: 'keyed', connection: 1, epoch: 0 }]);
    expect(peerOf(connection).closed).toBe(false);
  });

  it('on another connection gets one beside the one in use', () => {
    live();
    session.detach(now);
    session.attach({ connection: 3, epoch: 0, settled: true }, now);
    const [offer] = offersIn(drain());
    expect(offer).toMatchObject({ kind: 'replacement', connection: 4 });
    expect(session.current?.number).toBe(1);
  });

  it('without a position was loaded again: the keys that it had are wiped at once, and it gets a first connection with newer ones', () => {
    const connection = live();
    session.rekey('order', now);
    session.detach(now);
    session.attach(undefined, now);
    const fresh = drain();
    expect([peerOf(connection).closed, closedIn(fresh)]).toEqual([true, [2, 1]]);
    expect(offersIn(fresh).at(-1)).toMatchObject({ kind: 'first', connection: 3, epoch: 1 });
    key(numbered(3));
    expect(session.current?.number).toBe(3);
  });

  it('while a replacement was on its way keeps its fresh keys, and gets another replacement', () => {
    live();
    session.rekey('order', now);
    session.detach(now);
    session.attach({ connection: 1, epoch: 0, settled: true }, now);
    const fresh = drain();
    expect(session.current).toMatchObject({ number: 1, keyedAt: now });
    expect(offersIn(fresh).at(-1)).toMatchObject({ kind: 'replacement', connection: 3 });
    expect(peers[0]!.offers.length).toBe(1);
  });

  it('to keys that a failed handshake has taken gets new ones', () => {
    const connection = live();
    session.detach(now);
    peerOf(connection).say(
      { kind: 'stale-keys-destroyed', by: 'closed' },
      { kind: 'failed', reason: 'bad-finished' },
    );
    session.flush(connection, now);
    pass(100);
    drain();
    session.attach({ connection: 1, epoch: 0, settled: true }, now);
    const fresh = drain();
    expect(messages(fresh).filter(({ type }) => type === 'keyed')).toEqual([]);
    expect(offersIn(fresh)).toMatchObject([{ connection: 1, kind: 'rekey', epoch: 1 }]);
  });
});

describe('a resume', () => {
  it('re-keys in place: the next epoch, the other digest, the same connection', () => {
    const fresh = resumed();
    expect(offersIn(fresh)).toMatchObject([{ kind: 'rekey', connection: 4, offer: 3, epoch: 8 }]);
    expect(kinds(fresh).indexOf('rekey-started')).toBeGreaterThanOrEqual(0);
    expect(peers[0]!.staleUntil).toBe(now + 5_000);
    const keyed = key(session.current!);
    expect(keyed).toContainEqual(expect.objectContaining({ kind: 'keyed' }));
    expect(session.current?.number).toBe(4);
  });

  it.each([
    [7, 8],
    [8, 9],
    [9, 10],
    [6, 9],
    [5, 8],
  ])('goes by what the page has applied: at epoch %d the next is %d', (epoch, next) => {
    expect(offersIn(resumed({ connection: 4, epoch, settled: true }))).toMatchObject([{ epoch: next }]);
  });

  it.each([true, false])(
    'sends the ClientHello ahead of the answer only to a settled page (%s)',
    (settled) => {
      resumed({ connection: 4, epoch: 7, settled });
      expect(peers[0]!.offers).toMatchObject([{ epoch: 8, early: settled }]);
    },
  );

  it.each([
    ['the browser has the keys that are sent under', { epoch: 7, settled: true }, true],
    ['its last handshake is not complete', { epoch: 7, settled: false }, false],
    ['it has been given others since', { epoch: 8, settled: true }, false],
  ])('tells whether what was sent until now could be read: %s', (_, position, served) => {
    const started = resumed({ connection: 4, ...position }).filter(({ kind }) => kind === 'rekey-started');
    expect(started).toMatchObject([{ served }]);
  });

  it('tells that not all could be read where a stream could not begin under the keys of before', () => {
    create();
    session.resume(RECORD, STALE, now);
    peers[0]!.lacksStreams = true;
    session.attach(AT_RECORD, now);
    expect(drain().filter(({ kind }) => kind === 'rekey-started')).toMatchObject([{ served: false }]);
  });

  it('tells that nothing could be read where the keys have ended before', () => {
    create();
    session.resume(RECORD, undefined, now);
    session.attach(AT_RECORD, now);
    expect(drain().filter(({ kind }) => kind === 'rekey-started')).toMatchObject([{ served: false }]);
  });

  it('is a replacement where the browser cannot, the page on stale keys meanwhile', () => {
    const fresh = resumed(AT_RECORD, { capabilities: { rekeyInPlace: false } });
    expect(offersIn(fresh)).toMatchObject([{ kind: 'replacement', connection: 5, epoch: 8 }]);
    expect(peerOf(session.current).closed).toBe(false);
  });

  it('is a replacement with a number that the page has never seen, where it is ahead of the file', () => {
    expect(offersIn(resumed({ connection: 9, epoch: 12, settled: true }))).toMatchObject([
      { kind: 'replacement', connection: 10 },
    ]);
  });

  it('that misses its deadline of 3 s is followed by a replacement at once', () => {
    resumed();
    expect(offersIn(pass(2_999))).toEqual([]);
    expect(offersIn(pass(1))).toMatchObject([{ kind: 'replacement', connection: 5, epoch: 9 }]);
    expect(session.current?.number).toBe(4);
  });

  it('that has got its keys shortly before its deadline has two seconds more for the end of the handshake', () => {
    resumed();
    pass(2_900);
    peers[0]!.say({ kind: 'keyed', epoch: 8 });
    session.flush(session.current!, now);
    drain();
    expect(offersIn(pass(1_999))).toEqual([]);
    expect(offersIn(pass(1))).toMatchObject([{ kind: 'replacement' }]);
  });

  it('that has got its keys early is given up no sooner than one that has not', () => {
    resumed();
    pass(100);
    peers[0]!.say({ kind: 'keyed', epoch: 8 });
    session.flush(session.current!, now);
    drain();
    expect(offersIn(pass(2_899))).toEqual([]);
    expect(offersIn(pass(1))).toMatchObject([{ kind: 'replacement' }]);
  });

  it('whose handshake fails is followed by a replacement at once', () => {
    resumed();
    peers[0]!.say({ kind: 'failed', reason: 'timeout' });
    session.flush(session.current!, now);
    expect(offersIn([...drain(), ...pass(0)])).toMatchObject([{ kind: 'replacement' }]);
  });

  it('that gets its keys after all is the same viewer to the room as before', () => {
    resumed();
    pass(3_000);
    const keyed = key(session.current!);
    expect(keyed).toContainEqual(expect.objectContaining({ kind: 'keyed' }));
  });

  it('that is left and come back to is offered anew, higher and under the other digest', () => {
    resumed();
    session.detach(now);
    session.attach(AT_RECORD, now);
    const [again] = offersIn(drain());
    expect(again).toMatchObject({ kind: 'rekey', offer: 4, epoch: 10 });
  });

  it('says since when the stale keys are gone', () => {
    resumed();
    now += 25;
    peers[0]!.say({ kind: 'stale-keys-destroyed', by: 'flight' });
    session.flush(session.current!, now);
    expect(drain()).toContainEqual({
      kind: 'event',
      event: { event: 'stale-keys-destroyed', connection: 'session/4', by: 'flight', sinceOfferMs: 25 },
    });
  });

  it('without contexts has none, and is re-keyed all the same', () => {
    create();
    session.resume(RECORD, undefined, now);
    session.attach(AT_RECORD, now);
    expect(peers[0]!.resumed).toBe(0);
    expect(offersIn(drain())).toMatchObject([{ kind: 'rekey' }]);
  });
});

describe('a replacement', () => {
  it('takes over when the page says that it plays, and the old one is closed and wiped', () => {
    const first = live();
    session.rekey('order', now);
    const [offer] = offersIn(drain());
    expect(offer).toMatchObject({ kind: 'replacement', connection: 2, epoch: 1 });
    answer(2);
    expect(key(numbered(2))).toContainEqual(expect.objectContaining({ kind: 'keyed' }));
    expect(session.current).toBe(first);
    session.handleMessage({ type: 'playing', connection: 2 }, now);
    const fresh = drain();
    expect(session.current?.number).toBe(2);
    expect(closedIn(fresh)).toEqual([1]);
    expect(peerOf(first).closed).toBe(true);
    expect(fresh).toContainEqual({ kind: 'closed', connection: first });
    const event = { event: 'stale-keys-destroyed', connection: first.id, by: 'closed' };
    expect(fresh).toContainEqual({ kind: 'event', event: { ...event, sinceOfferMs: undefined } });
  });

  it('that is overtaken before it has keys is closed without a word about keys', () => {
    live();
    session.rekey('order', now);
    drain();
    session.rekey('order', now);
    const fresh = drain();
    expect(closedIn(fresh)).toEqual([2]);
    expect(events(fresh)).not.toContain('stale-keys-destroyed');
  });

  it('does not take over before it has keys, nor for another number', () => {
    live();
    session.rekey('order', now);
    session.handleMessage({ type: 'playing', connection: 2 }, now);
    expect(session.current?.number).toBe(1);
    key(numbered(2));
    for (const connection of [1, 3]) session.handleMessage({ type: 'playing', connection }, now);
    expect(session.current?.number).toBe(1);
  });

  it('takes over 8 s after its keys where the page says nothing', () => {
    live();
    session.rekey('order', now);
    drain();
    pass(1_000);
    key(numbered(2));
    pass(7_999);
    expect(session.current?.number).toBe(1);
    pass(1);
    expect(session.current?.number).toBe(2);
  });

  it('is re-keyed in place like any other when its path is lost later', () => {
    live();
    session.rekey('order', now);
    drain();
    answer(2);
    key(numbered(2));
    session.handleMessage({ type: 'playing', connection: 2 }, now);
    drain();
    expect(offersIn(pass(30_000))).toMatchObject([{ kind: 'rekey', connection: 2, epoch: 2 }]);
  });

  it('that fails leaves the one in use alone, and is tried again', () => {
    const first = live();
    session.rekey('order', now);
    drain();
    peers[1]!.say({ kind: 'failed', reason: 'timeout' });
    session.flush(numbered(2), now);
    const fresh = [...drain(), ...pass(0)];
    expect(closedIn(fresh)).toEqual([2]);
    expect(offersIn(fresh)).toMatchObject([{ connection: 3 }]);
    expect(session.current).toBe(first);
    expect(peerOf(first).closed).toBe(false);
  });

  it('that was answered and then failed says nothing about the connection in use', () => {
    live();
    hear(session.current!);
    session.rekey('stalled', now);
    drain();
    answer(2);
    // The browser has applied epoch 0 on connection 1: only an odd one starts a new association there.
    const rekeys = offersIn(pass(40_000)).filter(({ kind }) => kind === 'rekey');
    expect(rekeys.map(({ connection, epoch }) => [connection, epoch % 2])).toEqual([[1, 1]]);
  });

  it('is asked for by a page that has stalled, one at a time', () => {
    live();
    session.handleMessage({ type: 'stalled', connection: 1 }, now);
    expect(offersIn(drain())).toMatchObject([{ kind: 'replacement', connection: 2 }]);
    session.handleMessage({ type: 'stalled', connection: 1 }, now);
    session.handleMessage({ type: 'stalled', connection: 7 }, now);
    expect(offersIn(drain())).toEqual([]);
  });

  it('is not offered to a page that is away', () => {
    live();
    session.detach(now);
    session.rekey('order', now);
    expect(drain()).toEqual([]);
  });
});

describe('keys of a certain age', () => {
  it('are replaced, again and again, while the page is there', () => {
    live({ rekeyInterval: 20_000 });
    for (let number = 2; number < 6; number++) {
      hear(session.current!);
      pass(10_000);
      hear(session.current!);
      const fresh = pass(10_000);
      expect(offersIn(fresh)).toMatchObject([{ kind: 'replacement', connection: number }]);
      answer(number);
      key(numbered(number));
      session.handleMessage({ type: 'playing', connection: number }, now);
    }
  });

  it('are kept while it is not', () => {
    const connection = live({ rekeyInterval: 20_000 });
    session.detach(now);
    for (let i = 0; i < 5; i++) {
      hear(connection);
      expect(offersIn(pass(10_000))).toEqual([]);
    }
  });
});

describe('a replacement of old keys that keeps failing', () => {
  it('is tried again after longer and longer waits, not at once because the keys are old', () => {
    live({ rekeyInterval: 20_000 });
    let offered = offersIn(pass(20_000));
    const waits: number[] = [];
    for (let i = 0; i < 4; i++) {
      expect(offered.length).toBe(1);
      const next = numbered(offered[0]!.connection);
      peerOf(next).say({ kind: 'failed', reason: 'fingerprint-mismatch' });
      session.flush(next, now);
      drain();
      const failedAt = now;
      offered = [];
      while (offered.length === 0) {
        offered = offersIn(pass(100));
        hear(numbered(1));
      }
      waits.push(Math.round((now - failedAt) / 1_000));
    }
    expect(waits).toEqual([0, 1, 2, 3]);
  });
});

describe('consent (RFC 7675 §5.1)', () => {
  it('is kept by checks', () => {
    const connection = live();
    for (let i = 0; i < 10; i++) {
      pass(29_999);
      hear(connection);
    }
    expect(peerOf(connection).closed).toBe(false);
  });

  it('is lost after 30 s without one: the keys go, and the page gets another way in', () => {
    const connection = live();
    pass(10_000);
    hear(connection);
    expect(events(pass(29_999))).toEqual([]);
    const fresh = pass(1);
    expect(events(fresh)[0]).toBe('consent-lost');
    expect(fresh).toContainEqual({ kind: 'closed', connection });
    expect(offersIn(fresh)).toMatchObject([{ kind: 'rekey', connection: 1 }]);
  });

  it('makes the connection new to the room when it comes back', () => {
    const connection = live();
    pass(30_000);
    answer(1);
    expect(key(connection)).toContainEqual(expect.objectContaining({ kind: 'keyed' }));
  });

  it('wipes the keys also while the page is away', () => {
    const connection = live();
    session.detach(now);
    const fresh = pass(30_000);
    expect(peerOf(connection).closed).toBe(true);
    expect(offersIn(fresh)).toEqual([]);
    session.attach({ connection: 1, epoch: 0, settled: true }, now);
    expect(offersIn(drain())).toMatchObject([{ kind: 'rekey', connection: 1, epoch: 1 }]);
  });

  it('is lost too where the page came and went while a replacement was on its way', () => {
    const connection = live();
    session.rekey('order', now);
    session.detach(now);
    session.attach({ connection: 1, epoch: 0, settled: true }, now);
    session.detach(now);
    pass(60_000);
    expect(peerOf(connection).closed).toBe(true);
  });
});

describe('a role', () => {
  it('that changes needs another connection; the viewer goes on watching until it plays', () => {
    const first = live();
    session.changeRole('broadcaster', now);
    const fresh = drain();
    expect(messages(fresh)[0]).toEqual({ type: 'role', role: 'broadcaster' });
    expect(offersIn(fresh)).toMatchObject([{ kind: 'replacement', role: 'broadcaster' }]);
    expect(session.current).toBe(first);
  });

  it('of a broadcaster that ends takes nothing more from its connection', () => {
    const first = live({ role: 'broadcaster' });
    session.changeRole('viewer', now);
    expect(peerOf(first).closed).toBe(true);
    expect(session.current).toBeUndefined();
    expect(offersIn(drain())).toMatchObject([{ role: 'viewer', connection: 2 }]);
  });

  it('of a broadcaster that ends while it is away takes nothing more from its replacement either', () => {
    live({ role: 'broadcaster' });
    session.rekey('order', now);
    session.detach(now);
    session.changeRole('viewer', now);
    expect(session.connections).toEqual([]);
    expect(peers.every(({ closed }) => closed)).toBe(true);
  });

  it('that stays the same changes nothing', () => {
    live();
    session.changeRole('viewer', now);
    expect(drain()).toEqual([]);
  });

  it('that was about to change is still about to when the page comes back', () => {
    live();
    session.changeRole('broadcaster', now);
    session.detach(now);
    session.attach({ connection: 1, epoch: 0, settled: true }, now);
    expect(offersIn(drain()).at(-1)).toMatchObject({
      kind: 'replacement',
      role: 'broadcaster',
      connection: 3,
    });
    answer(3);
    key(numbered(3));
    session.handleMessage({ type: 'playing', connection: 3 }, now);
    expect(session.current).toMatchObject({ number: 3, role: 'broadcaster' });
  });

  it('is never given to a connection of another role by a crash', () => {
    live();
    session.changeRole('broadcaster', now);
    expect(session.captureConnection()).toBeUndefined();
    drain();
    answer(2);
    expect(session.captureConnection()).toMatchObject({ number: 2 });
    session.changeRole('viewer', now);
    expect(session.captureConnection()).toMatchObject({ number: 1 });
  });

  it('is captured with the connection in use while a replacement of the same role is on its way', () => {
    live();
    session.rekey('order', now);
    answer(2);
    expect(session.captureConnection()).toMatchObject({ number: 1 });
  });
});

describe('a page that answers offers with nothing', () => {
  it('gives its place up after five minutes, and is told so', () => {
    session.attach(undefined, now);
    pass(299_000);
    expect([session.closed, kinds(outputs).includes('unreachable')]).toEqual([false, false]);
    expect(kinds(pass(60_000))).toContain('unreachable');
    expect(session.closed).toBe(true);
    expect(peers.every(({ closed }) => closed)).toBe(true);
  });

  it('gives it up as well where it answers and its handshakes all fail', () => {
    session.attach(undefined, now);
    for (let start = now; !session.closed && now < start + 600_000; pass(1_000)) {
      for (const connection of session.connections) {
        peerOf(connection).say({ kind: 'failed', reason: 'fingerprint-mismatch' });
        session.flush(connection, now);
        drain();
      }
    }
    expect(kinds(outputs)).toContain('unreachable');
  });

  it('keeps it for SESSION_TTL where it has had media before', () => {
    session.resume(RECORD, STALE, now);
    session.attach(AT_RECORD, now);
    pass(590_000);
    expect(session.closed).toBe(false);
    expect(kinds(pass(60_000))).toContain('unreachable');
  });

  it('is not held to the time that it was away', () => {
    session.resume(RECORD, STALE, now);
    session.attach(AT_RECORD, now);
    pass(60_000);
    session.detach(now);
    pass(580_000);
    session.attach(AT_RECORD, now);
    pass(500_000);
    expect([session.closed, kinds(outputs).includes('unreachable')]).toEqual([false, false]);
    expect(kinds(pass(100_000))).toContain('unreachable');
  });

  it('keeps it where only the replacement of a connection that works comes to nothing', () => {
    const first = live({ rekeyInterval: 60_000 });
    for (let i = 0; i < 200; i++) {
      hear(first);
      pass(10_000);
    }
    expect(session.closed).toBe(false);
    expect(session.current).toBe(first);
  });

  it('has its patience back with every connection', () => {
    session.attach(undefined, now);
    pass(270_000);
    while (session.connections.length === 0) pass(1_000);
    const [connection] = session.connections;
    answer(connection!.number);
    key(connection!);
    for (let i = 0; i < 60; i++) {
      hear(connection!);
      pass(10_000);
    }
    expect(session.closed).toBe(false);
  });
});

describe('an end', () => {
  it('comes SESSION_TTL after the page and its media were last there', () => {
    const connection = live({ sessionTtl: 60_000 });
    session.detach(now);
    pass(20_000);
    hear(connection);
    pass(59_999);
    expect(session.closed).toBe(false);
    pass(1);
    expect(session.closed).toBe(true);
    expect(session.nextTimeout()).toBeUndefined();
  });

  it('comes sooner where there never were keys, but not while the page is there', () => {
    session.attach(undefined, now);
    pass(200_000);
    expect(session.closed).toBe(false);
    session.detach(now);
    pass(59_999);
    expect(session.closed).toBe(false);
    pass(1);
    expect(session.closed).toBe(true);
  });

  it('comes after SESSION_TTL where the keys were those of an earlier process', () => {
    session.resume(RECORD, STALE, now);
    pass(599_999);
    expect(session.closed).toBe(false);
    pass(1);
    expect(session.closed).toBe(true);
  });

  it('does not come while the page is there', () => {
    live({ sessionTtl: 60_000 });
    pass(200_000);
    expect(session.closed).toBe(false);
  });

  it('closes every connection and wipes its keys, once', () => {
    live();
    session.rekey('order', now);
    drain();
    session.close();
    expect(closedIn(drain()).sort()).toEqual([1, 2]);
    expect(peers.every(({ closed }) => closed)).toBe(true);
    session.close();
    session.rekey('order', now);
    expect(drain()).toEqual([]);
  });
});

describe('what its peers have', () => {
  it('is handed on, with the connection it is of', () => {
    const connection = live();
    const packet = Uint8Array.of(1);
    const address = { ip: '192.0.2.9', port: 9 };
    peerOf(connection).say(
      { kind: 'rtp', packet },
      { kind: 'rtcp', packet },
      { kind: 'transmit', to: address, datagram: packet },
      { kind: 'validated', address },
      { kind: 'selected', address },
    );
    session.flush(connection, now);
    expect(drain()).toEqual([
      { kind: 'rtp', connection, packet },
      { kind: 'rtcp', connection, packet },
      { kind: 'transmit', to: address, datagram: packet },
      { kind: 'validated', connection, address },
      { kind: 'changed' },
    ]);
  });
});

import { describe, expect, it } from 'vitest';
import type { PageInput, PageOutput } from '../../../src/client/io.ts';
import { PING_TIMEOUT_MS } from '../../../src/client/link.ts';
import { Page } from '../../../src/client/page.ts';
import {
  CLOSE_CODE,
  type OfferKind,
  type PageMessage,
  type Role,
  type ServerMessage,
  SUBPROTOCOL,
  TOKEN_SUBPROTOCOL_PREFIX,
} from '../../../src/signaling/protocol.ts';
import { seededNumbers } from '../../support/seeded-rng.ts';

/** Drives a page on virtual time; what it puts out is kept. */
class Driver {
  readonly page: Page;
  now = 0;
  attempt = 0;
  outputs: PageOutput[] = [];

  constructor(rekeyInPlace = true, token?: string) {
    this.page = new Page({ rekeyInPlace, token, jitter: seededNumbers(7) });
  }

  handle(input: PageInput): void {
    this.page.handle(input, this.now);
    this.#drain();
  }

  receive(message: ServerMessage): void {
    this.handle({ kind: 'received', attempt: this.attempt, message });
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const due = this.page.nextTimeout();
      if (due === undefined || due > end) break;
      this.now = Math.max(this.now, due);
      this.page.handleTimeout(this.now);
      this.#drain();
    }
    this.now = end;
  }

  /** What came out since the last call. */
  take(): PageOutput[] {
    const taken = this.outputs;
    this.outputs = [];
    return taken;
  }

  takeSent(): PageMessage[] {
    return this.take().flatMap((output) => (output.kind === 'send' ? [output.message] : []));
  }

  open(): readonly string[] {
    const opening = this.take().findLast((output) => output.kind === 'openSocket');
    if (opening?.kind !== 'openSocket') throw new Error('the page opens no WebSocket');
    this.attempt = opening.attempt;
    this.handle({ kind: 'opened', attempt: this.attempt });
    return opening.protocols;
  }

  /** The server is gone for `ms` and then answers the next probe. Returns the subprotocols that the page comes back with. */
  outage(ms: number): readonly string[] {
    this.handle({ kind: 'closed', attempt: this.attempt, code: 1006 });
    const end = this.now + ms;
    while (this.now < end) {
      this.advance(1);
      this.#answerProbes(false);
    }
    while (!this.outputs.some((output) => output.kind === 'openSocket')) {
      this.advance(1);
      this.#answerProbes(true);
    }
    return this.open();
  }

  frame(peer: number): void {
    this.handle({ kind: 'frame', peer, at: this.now });
  }

  /** Frames at 30 a second. */
  frames(peer: number, ms: number): void {
    for (let passed = 0; passed < ms; passed += 33) {
      this.advance(33);
      this.frame(peer);
    }
  }

  #answerProbes(ready: boolean): void {
    for (const output of this.outputs.filter(({ kind }) => kind === 'probe')) {
      this.outputs = this.outputs.filter((other) => other !== output);
      if (output.kind === 'probe') this.handle({ kind: 'probed', attempt: output.attempt, ready });
    }
  }

  #drain(): void {
    for (let output = this.page.pollOutput(); output !== undefined; output = this.page.pollOutput())
      this.outputs.push(output);
  }
}

const welcome = (options: Partial<Extract<ServerMessage, { type: 'welcome' }>> = {}): ServerMessage => ({
  type: 'welcome',
  session: 's',
  token: 'token-1',
  resumed: false,
  instance: 'instance-1',
  role: 'viewer',
  ...options,
});

interface OfferOptions {
  readonly connection?: number;
  readonly offer?: number;
  readonly epoch?: number;
  readonly role?: Role;
}

const offer = (
  kind: OfferKind,
  { connection = 1, offer: number = 1, epoch = 0, role = 'viewer' }: OfferOptions = {},
): ServerMessage => ({ type: 'offer', connection, offer: number, epoch, kind, role, sdp: `sdp ${epoch}` });

const answered = (peer: number, number: number, epoch: number): PageInput => ({
  kind: 'answered',
  peer,
  offer: number,
  epoch,
  sdp: 'answer',
});

const connected = (peer: number): PageInput => ({ kind: 'peerState', peer, state: 'connected' });
const room = (onAir: boolean): ServerMessage => ({ type: 'room', viewers: 1, onAir });

/** A viewer that watches on connection 1, epoch 0. */
function watching(rekeyInPlace?: boolean): Driver {
  const driver = new Driver(rekeyInPlace);
  driver.handle({ kind: 'start' });
  driver.open();
  driver.receive(welcome());
  driver.receive(room(true));
  driver.receive(offer('first'));
  driver.handle(answered(1, 1, 0));
  driver.handle(connected(1));
  driver.receive({ type: 'keyed', connection: 1, epoch: 0 });
  driver.frames(1, 1_000);
  driver.take();
  return driver;
}

function broadcasting(): Driver {
  const driver = new Driver();
  driver.handle({ kind: 'start' });
  driver.open();
  driver.receive(welcome({ role: 'broadcaster' }));
  driver.receive(offer('first', { role: 'broadcaster' }));
  driver.handle({ kind: 'cameraReady' });
  driver.handle(answered(1, 1, 0));
  driver.handle(connected(1));
  driver.receive({ type: 'keyed', connection: 1, epoch: 0 });
  driver.take();
  return driver;
}

describe('a first visit', () => {
  it('joins, confirms its token, answers and shows what it has', () => {
    const driver = new Driver();
    driver.handle({ kind: 'start' });
    expect(driver.page.facts()).toMatchObject({ state: 'connecting', role: undefined });
    expect(driver.open()).toEqual(['rekeycast.v1']);
    expect(driver.takeSent()).toEqual([{ type: 'join', capabilities: { rekeyInPlace: true } }]);
    driver.receive(welcome());
    expect(driver.takeSent()).toEqual([{ type: 'confirm' }]);
    driver.receive(room(true));
    driver.receive(offer('first'));
    expect(driver.take()).toMatchObject([
      { kind: 'apply', peer: 1, create: true, sdp: 'sdp 0' },
      { kind: 'show', peer: 1 },
    ]);
    driver.handle(answered(1, 1, 0));
    expect(driver.takeSent()).toEqual([{ type: 'answer', connection: 1, offer: 1, sdp: 'answer' }]);
    driver.handle(connected(1));
    driver.receive({ type: 'keyed', connection: 1, epoch: 0 });
    driver.frame(1);
    expect(driver.takeSent()).toEqual([{ type: 'playing', connection: 1 }]);
    expect(driver.page.facts()).toMatchObject({
      state: 'live',
      role: 'viewer',
      epoch: 0,
      viewers: 1,
      connections: 1,
      frames: 1,
      instance: 'instance-1',
      restarts: 0,
      lastGapMs: undefined,
    });
  });

  it('answers an offer that comes before the welcome, and plays', () => {
    const driver = new Driver();
    driver.handle({ kind: 'start' });
    driver.open();
    driver.receive(offer('first'));
    driver.handle(answered(1, 1, 0));
    expect(driver.takeSent()).toContainEqual({ type: 'answer', connection: 1, offer: 1, sdp: 'answer' });
    driver.handle(connected(1));
    driver.receive({ type: 'keyed', connection: 1, epoch: 0 });
    driver.frame(1);
    expect(driver.takeSent()).toContainEqual({ type: 'playing', connection: 1 });
  });

  it('says that nobody broadcasts and offers to', () => {
    const driver = watching();
    driver.receive(room(false));
    expect(driver.page.facts()).toMatchObject({ state: 'waiting', canBroadcast: true, picture: false });
    driver.receive(room(true));
    expect(driver.page.facts()).toMatchObject({ state: 'live', canBroadcast: false, picture: true });
  });

  it('gives a server up that takes the WebSocket and says nothing', () => {
    const driver = new Driver();
    driver.handle({ kind: 'start' });
    driver.open();
    driver.take();
    driver.advance(5_000);
    expect(driver.take().map(({ kind }) => kind)).toContain('closeSocket');
  });
});

it('says since when somebody is on air, by the earliest of the reports, which are whole seconds and come late', () => {
  const driver = new Driver();
  driver.handle({ kind: 'start' });
  driver.open();
  driver.receive(welcome());
  const tell = (onAir: boolean, onAirSeconds?: number): number | undefined => {
    driver.receive({
      type: 'room',
      viewers: 1,
      onAir,
      ...(onAirSeconds === undefined ? {} : { onAirSeconds }),
    });
    return driver.page.facts().onAirSince;
  };
  const first = driver.now - 90_000;
  expect(tell(true, 90)).toBe(first);
  driver.now += 900;
  expect(tell(true, 90)).toBe(first);
  driver.now += 900;
  expect(tell(true, 92)).toBe(driver.now - 92_000);
  // Its own clock stood still while the machine slept, or another broadcast has begun.
  expect(tell(true, 7_200)).toBe(driver.now - 7_200_000);
  expect(tell(true, 1)).toBe(driver.now - 1_000);
  expect(tell(true)).toBeUndefined();
  expect(tell(true, 5)).toBe(driver.now - 5_000);
  expect(tell(false, 0)).toBeUndefined();
});

describe('a restart of the server', () => {
  it('is survived on the same connection, with the token, the place and new keys', () => {
    const driver = watching();
    expect(driver.outage(700)).toEqual(['rekeycast.v1', 'rekeycast.token.token-1', 'rekeycast.at.1.0.open']);
    expect(driver.page.facts().state).toBe('reconnecting');
    expect(driver.takeSent()).toEqual([]);
    driver.receive(offer('rekey', { offer: 2, epoch: 1 }));
    expect(driver.take()).toMatchObject([{ kind: 'apply', peer: 1, create: false }]);
    driver.handle(answered(1, 2, 1));
    driver.receive(welcome({ resumed: true, token: 'token-2', instance: 'instance-2' }));
    expect(driver.takeSent()).toEqual([
      { type: 'answer', connection: 1, offer: 2, sdp: 'answer' },
      { type: 'confirm' },
    ]);
    expect(driver.page.facts()).toMatchObject({ state: 'rekeying', epoch: 0 });
    driver.receive({ type: 'keyed', connection: 1, epoch: 1 });
    expect(driver.page.facts()).toMatchObject({ state: 'live', epoch: 1, restarts: 1, connections: 1 });
    expect(driver.outage(10)).toContain('rekeycast.token.token-2');
  });

  it('is measured by the longest time without a frame', () => {
    const driver = watching();
    driver.frame(1);
    const lastFrame = driver.now;
    driver.outage(700);
    driver.receive(welcome({ resumed: true, instance: 'instance-2' }));
    driver.frame(1);
    expect(driver.page.facts().lastGapMs).toBe(driver.now - lastFrame);
    expect(driver.page.facts().lastGapMs).toBeGreaterThan(700);
  });

  it('is measured only as long as it lasts', () => {
    const driver = watching();
    driver.outage(100);
    driver.receive(welcome({ resumed: true, instance: 'instance-2' }));
    driver.frames(1, 6_000);
    const { lastGapMs } = driver.page.facts();
    driver.advance(2_000);
    driver.frame(1);
    expect(driver.page.facts().lastGapMs).toBe(lastGapMs);
  });

  it('is not measured by a time in the other role', () => {
    const driver = watching();
    driver.outage(100);
    driver.receive(welcome({ resumed: true, instance: 'instance-2' }));
    driver.frame(1);
    const { lastGapMs } = driver.page.facts();
    driver.receive({ type: 'role', role: 'broadcaster' });
    driver.advance(2_000);
    driver.receive({ type: 'role', role: 'viewer' });
    driver.frame(1);
    expect(driver.page.facts().lastGapMs).toBe(lastGapMs);
  });

  it('is not measured by a time off air or on a hidden page', () => {
    const driver = watching();
    driver.outage(100);
    driver.receive(welcome({ resumed: true, instance: 'instance-2' }));
    driver.frame(1);
    const { lastGapMs } = driver.page.facts();
    driver.receive(room(false));
    driver.advance(2_000);
    driver.receive(room(true));
    driver.frame(1);
    driver.handle({ kind: 'visibility', hidden: true });
    driver.advance(2_000);
    driver.frame(1);
    expect(driver.page.facts().lastGapMs).toBe(lastGapMs);
  });

  it('is not over with a server that takes the token and says nothing', () => {
    const driver = watching();
    driver.outage(100);
    driver.take();
    driver.advance(5_000);
    expect(driver.take().map(({ kind }) => kind)).toContain('closeSocket');
  });

  it('is not counted when the same run of the server takes the page back', () => {
    const driver = watching();
    driver.outage(50);
    driver.receive(welcome({ resumed: true }));
    expect(driver.page.facts().restarts).toBe(0);
  });

  it('makes an answer void that belongs to an offer from before', () => {
    const driver = watching();
    driver.receive(offer('rekey', { offer: 2, epoch: 1 }));
    driver.outage(100);
    driver.handle(answered(1, 2, 1));
    expect(driver.takeSent()).toEqual([]);
    expect(driver.outage(10)).toContain('rekeycast.at.1.1.open');
  });

  it('that lost the session is answered with a new join while the old picture stays', () => {
    const driver = watching();
    driver.receive({ type: 'keyed', connection: 1, epoch: 5 });
    driver.outage(100);
    driver.take();
    driver.receive({ type: 'error', code: 'TOKEN_UNKNOWN', message: '' });
    expect(driver.takeSent()).toEqual([{ type: 'join', capabilities: { rekeyInPlace: true } }]);
    expect(driver.page.facts().epoch).toBeUndefined();
    driver.receive(offer('first'));
    driver.receive(welcome({ token: 'other', instance: 'instance-2' }));
    expect(driver.take().filter(({ kind }) => kind === 'closePeer' || kind === 'show')).toEqual([]);
    driver.handle(connected(2));
    driver.receive({ type: 'keyed', connection: 1, epoch: 0 });
    for (let i = 0; i < 6; i++) driver.frame(2);
    expect(driver.take()).toEqual(
      expect.arrayContaining([
        { kind: 'show', peer: 2 },
        { kind: 'closePeer', peer: 1 },
        { kind: 'send', message: { type: 'playing', connection: 1 } },
      ]),
    );
    expect(driver.page.facts()).toMatchObject({ restarts: 0, connections: 2, epoch: 0 });
  });

  it('is measured for a broadcaster by the time without a connection', () => {
    const driver = broadcasting();
    driver.outage(400);
    driver.receive(welcome({ role: 'broadcaster', resumed: true, instance: 'instance-2' }));
    driver.receive(offer('rekey', { role: 'broadcaster', offer: 2, epoch: 1 }));
    driver.handle({ kind: 'peerState', peer: 1, state: 'disconnected' });
    driver.advance(20);
    driver.handle({ kind: 'peerState', peer: 1, state: 'connecting' });
    driver.advance(100);
    driver.handle({ kind: 'frame', peer: undefined, at: driver.now });
    driver.handle(connected(1));
    expect(driver.page.facts()).toMatchObject({ lastGapMs: 120, restarts: 1, frames: 1 });
  });
});

describe('a re-key in place that does not work', () => {
  it('is reported, and the next join says so', () => {
    const driver = watching();
    driver.receive(offer('rekey', { offer: 2, epoch: 1 }));
    driver.receive({ type: 'keyed', connection: 1, epoch: 1 });
    driver.take();
    driver.handle({ kind: 'progress', peer: 1, moved: false });
    driver.advance(3_100);
    expect(driver.takeSent()).toEqual([{ type: 'stalled', connection: 1 }, { type: 'ping' }]);
    driver.receive({ type: 'error', code: 'TOKEN_UNKNOWN', message: '' });
    expect(driver.takeSent()).toEqual([{ type: 'join', capabilities: { rekeyInPlace: false } }]);
  });

  it('makes the page ask whether the server is there, and look for it when that is silent too', () => {
    const driver = watching();
    const since = driver.now;
    driver.handle({ kind: 'progress', peer: 1, moved: false });
    driver.advance(3_100);
    expect(driver.takeSent()).toEqual([{ type: 'stalled', connection: 1 }, { type: 'ping' }]);
    driver.advance(since + 3_000 + PING_TIMEOUT_MS - 1 - driver.now);
    expect(driver.page.facts().state).toBe('live');
    driver.advance(101);
    expect(driver.page.facts().state).toBe('reconnecting');
  });

  it('leaves a server in peace that is there', () => {
    const driver = watching();
    driver.handle({ kind: 'progress', peer: 1, moved: false });
    driver.advance(3_100);
    driver.receive({ type: 'pong' });
    driver.advance(PING_TIMEOUT_MS);
    expect(driver.page.facts().state).toBe('live');
  });

  it('is not the reason to doubt a silent server whose media moves', () => {
    const driver = watching();
    driver.frames(1, 120_000);
    expect(driver.page.facts().state).toBe('live');
  });

  it('is not suspected while frames come', () => {
    const driver = watching();
    driver.receive(offer('rekey', { offer: 2, epoch: 1 }));
    driver.receive({ type: 'keyed', connection: 1, epoch: 1 });
    driver.take();
    driver.frames(1, 10_000);
    expect(driver.takeSent()).toEqual([]);
  });
});

describe('a machine that was asleep, or has another network', () => {
  const HOURS = 8 * 3_600_000;

  /** Time passes and no timer runs. */
  function sleep(driver: Driver): void {
    driver.now += HOURS;
  }

  it('finds the server at once when it is woken, though its WebSocket has not noticed that it is dead', () => {
    const driver = watching();
    sleep(driver);
    driver.handle({ kind: 'wake' });
    expect(driver.takeSent()).toEqual([{ type: 'ping' }]);
    driver.advance(PING_TIMEOUT_MS + 75);
    expect(driver.take().map(({ kind }) => kind)).toEqual(['closeSocket', 'probe']);
    expect(driver.page.facts()).toMatchObject({ state: 'reconnecting', problem: undefined });
  });

  it.each(['disconnected', 'failed'] as const)(
    'finds it as soon as the media is %s where nothing has woken it',
    (state) => {
      for (const driver of [watching(), broadcasting()]) {
        sleep(driver);
        driver.handle({ kind: 'peerState', peer: 1, state });
        const sent = driver.takeSent();
        expect(sent.filter(({ type }) => type === 'ping')).toEqual([{ type: 'ping' }]);
        driver.advance(PING_TIMEOUT_MS + 75);
        expect(driver.page.facts().state).toBe('reconnecting');
      }
    },
  );

  it('and whose session is over by then joins anew, with the old picture until there is another', () => {
    const driver = watching();
    sleep(driver);
    driver.handle({ kind: 'closed', attempt: 1, code: 1006 });
    expect(driver.outage(0)).toHaveLength(3);
    driver.receive({ type: 'error', code: 'TOKEN_UNKNOWN', message: '' });
    expect(driver.takeSent()).toMatchObject([{ type: 'join' }]);
    driver.receive(welcome({ token: 'token-2' }));
    driver.receive(offer('first'));
    expect(driver.take().filter(({ kind }) => kind === 'closePeer')).toEqual([]);
  });

  it('is not taken for a loss where the server answers', () => {
    const driver = watching();
    driver.advance(10_000);
    driver.take();
    driver.handle({ kind: 'wake' });
    driver.handle({ kind: 'wake' });
    expect(driver.takeSent()).toEqual([{ type: 'ping' }]);
    driver.receive({ type: 'pong' });
    driver.handle({ kind: 'wake' });
    expect(driver.takeSent()).toEqual([]);
    driver.frames(1, 20_000);
    expect(driver.page.facts().state).toBe('live');
  });
});

describe('a browser that is said not to take new keys in place', () => {
  const tried = (rekeyInPlace: boolean): PageInput => ({ kind: 'tried', rekeyInPlace });

  it('is tried out once, when its picture is there, and the server is told what it can', () => {
    const driver = new Driver(false);
    const trials = () => driver.take().filter(({ kind }) => kind === 'tryRekey').length;
    driver.handle({ kind: 'start' });
    driver.open();
    driver.receive(welcome());
    driver.receive(offer('first'));
    driver.handle(answered(1, 1, 0));
    driver.handle(connected(1));
    driver.receive({ type: 'keyed', connection: 1, epoch: 0 });
    expect(trials()).toBe(0);
    driver.frames(1, 500);
    expect(trials()).toBe(1);
    driver.handle(tried(true));
    expect(driver.takeSent()).toEqual([{ type: 'capabilities', capabilities: { rekeyInPlace: true } }]);
    driver.outage(500);
    driver.receive(welcome({ token: 'token-2', resumed: true }));
    expect(driver.takeSent()).toEqual([
      { type: 'confirm' },
      { type: 'capabilities', capabilities: { rekeyInPlace: true } },
    ]);
    driver.frames(1, 500);
    expect(trials()).toBe(0);
    driver.outage(500);
    driver.receive({ type: 'error', code: 'TOKEN_UNKNOWN', message: '' });
    expect(driver.takeSent()).toEqual([{ type: 'join', capabilities: { rekeyInPlace: true } }]);
    driver.receive(welcome({ token: 'token-3' }));
    expect(driver.takeSent()).toEqual([{ type: 'confirm' }]);
  });

  it('whose trial ends while the server is away has it told at the next welcome', () => {
    const driver = watching(false);
    driver.frames(1, 500);
    driver.handle({ kind: 'closed', attempt: 1, code: 1006 });
    driver.take();
    driver.handle(tried(true));
    expect(driver.takeSent()).toEqual([]);
    driver.outage(500);
    driver.receive(welcome({ token: 'token-2', resumed: true }));
    expect(driver.takeSent()).toContainEqual({ type: 'capabilities', capabilities: { rekeyInPlace: true } });
  });

  it('and cannot says nothing more; nor is one tried that is said to', () => {
    const driver = watching(false);
    driver.frames(1, 500);
    driver.take();
    driver.handle(tried(false));
    driver.outage(500);
    driver.receive(welcome({ token: 'token-2', resumed: true }));
    expect(driver.takeSent()).toEqual([{ type: 'confirm' }]);
    const able = watching();
    able.frames(1, 500);
    expect(able.take().filter(({ kind }) => kind === 'tryRekey')).toEqual([]);
  });
});

describe('a broadcaster', () => {
  it('says why it cannot broadcast, and nothing of it once the camera works', () => {
    const driver = new Driver();
    driver.handle({ kind: 'start' });
    driver.open();
    driver.receive(welcome({ role: 'broadcaster' }));
    expect(driver.page.facts().state).toBe('camera');
    driver.handle({ kind: 'cameraGone', problem: 'camera-denied' });
    expect(driver.takeSent()).toContainEqual({ type: 'decline', reason: 'camera-denied' });
    expect(driver.page.facts().problem).toBe('camera-denied');
    driver.receive({ type: 'role', role: 'viewer' });
    driver.handle({ kind: 'press', button: 'broadcast' });
    driver.handle({ kind: 'cameraReady' });
    expect(driver.takeSent()).toContainEqual({ type: 'publish' });
    expect(driver.page.facts().problem).toBeUndefined();
  });

  it('that stops turns the camera off and tells the server', () => {
    const driver = broadcasting();
    expect(driver.page.facts()).toMatchObject({ state: 'live', canStop: true });
    driver.handle({ kind: 'press', button: 'stop' });
    expect(driver.take()).toEqual([
      { kind: 'closeCamera' },
      { kind: 'send', message: { type: 'decline', reason: 'stopped' } },
    ]);
    expect(driver.page.facts().canStop).toBe(false);
  });

  it('that stops while the server is away tells it at the next welcome and not before', () => {
    const driver = broadcasting();
    driver.outage(50);
    driver.handle({ kind: 'press', button: 'stop' });
    expect(driver.takeSent()).toEqual([]);
    driver.receive(welcome({ role: 'broadcaster', resumed: true }));
    expect(driver.takeSent()).toContainEqual({ type: 'decline', reason: 'stopped' });
  });

  it('that was not fast enough is told so', () => {
    const driver = watching();
    driver.receive(room(false));
    driver.handle({ kind: 'press', button: 'broadcast' });
    driver.handle({ kind: 'cameraReady' });
    driver.receive({ type: 'error', code: 'BROADCASTER_PRESENT', message: '' });
    expect(driver.take()).toContainEqual({ kind: 'closeCamera' });
    expect(driver.page.facts().problem).toBe('broadcaster-present');
  });
});

describe('a document that goes', () => {
  it('puts its token by and says so, and its successor comes with it and without a position', () => {
    const driver = watching();
    driver.handle({ kind: 'away' });
    expect(driver.take()).toEqual([
      { kind: 'keepPlace', token: 'token-1' },
      { kind: 'send', message: { type: 'away' } },
      { kind: 'closeSocket', attempt: 1 },
    ]);
    const next = new Driver(true, 'token-1');
    next.handle({ kind: 'start' });
    expect(next.open()).toEqual([SUBPROTOCOL, `${TOKEN_SUBPROTOCOL_PREFIX}token-1`]);
    next.receive(offer('first', { connection: 2, epoch: 1 }));
    next.receive(welcome({ token: 'token-2', resumed: true }));
    next.handle(answered(1, 1, 1));
    expect(next.takeSent()).toMatchObject([{ type: 'confirm' }, { type: 'answer', connection: 2 }]);
    next.handle(connected(1));
    next.receive(room(true));
    next.receive({ type: 'keyed', connection: 2, epoch: 1 });
    expect(next.page.facts()).toMatchObject({ state: 'live', role: 'viewer', epoch: 1, restarts: 0 });
  });

  it('opens the camera again by itself where it broadcast', () => {
    const next = new Driver(true, 'token-1');
    next.handle({ kind: 'start' });
    next.open();
    next.receive(welcome({ token: 'token-2', resumed: true, role: 'broadcaster' }));
    next.receive(offer('first', { connection: 2, epoch: 1, role: 'broadcaster' }));
    expect(next.take()).toContainEqual({ kind: 'openCamera' });
    next.handle({ kind: 'cameraReady' });
    expect(next.take()).toMatchObject([
      { kind: 'apply', create: true, role: 'broadcaster' },
      { kind: 'show' },
    ]);
  });

  it('joins anew where its place is gone', () => {
    const next = new Driver(true, 'token-1');
    next.handle({ kind: 'start' });
    next.open();
    next.receive({ type: 'error', code: 'TOKEN_UNKNOWN', message: '' });
    expect(next.takeSent()).toMatchObject([{ type: 'join' }]);
    next.receive(welcome({ token: 'token-9' }));
    expect(next.page.facts().problem).toBeUndefined();
  });

  it('puts its token by also while the server is away, and before it was welcomed', () => {
    const away = watching();
    away.handle({ kind: 'closed', attempt: 1, code: 1006 });
    away.handle({ kind: 'away' });
    expect(away.take()).toContainEqual({ kind: 'keepPlace', token: 'token-1' });
    expect(away.page.nextTimeout()).toBeUndefined();
    const again = new Driver(true, 'token-1');
    again.handle({ kind: 'start' });
    again.handle({ kind: 'away' });
    expect(again.take()).toContainEqual({ kind: 'keepPlace', token: 'token-1' });
  });

  it('puts nothing by where it has no place, or not any more', () => {
    const fresh = new Driver();
    fresh.handle({ kind: 'start' });
    const locked = new Driver(true, 'token-1');
    locked.handle({ kind: 'start' });
    locked.open();
    locked.handle({ kind: 'closed', attempt: 1, code: CLOSE_CODE.locked });
    const over = watching();
    over.handle({ kind: 'closed', attempt: 1, code: CLOSE_CODE.superseded });
    for (const driver of [fresh, locked, over]) {
      driver.handle({ kind: 'away' });
      expect(driver.take().filter(({ kind }) => kind === 'keepPlace')).toEqual([]);
    }
  });
});

describe('the end of a visit', () => {
  it('tells the server and stays away', () => {
    const driver = watching();
    driver.handle({ kind: 'leaving' });
    expect(driver.take()).toMatchObject([
      { kind: 'send', message: { type: 'leave' } },
      { kind: 'closeSocket' },
    ]);
  });

  it('by a close code of ours closes everything and says why', () => {
    const driver = broadcasting();
    driver.handle({ kind: 'closed', attempt: driver.attempt, code: CLOSE_CODE.superseded });
    expect(driver.take()).toEqual(
      expect.arrayContaining([{ kind: 'closePeer', peer: 1 }, { kind: 'closeCamera' }]),
    );
    expect(driver.page.facts()).toMatchObject({ state: 'stopped', problem: 'superseded' });
    expect(driver.page.nextTimeout()).toBeUndefined();
  });

  it('is not that no media connection came about: it says so, and comes back in a minute, when the network may be another', () => {
    const driver = watching();
    driver.receive({ type: 'error', code: 'UNREACHABLE', message: '' });
    expect(driver.take()).toContainEqual({ kind: 'closeSocket', attempt: 1 });
    driver.handle({ kind: 'closed', attempt: 1, code: CLOSE_CODE.unreachable });
    expect(driver.page.facts()).toMatchObject({ state: 'reconnecting', problem: 'unreachable' });
    expect(driver.page.nextTimeout()).toBe(driver.now + 60_000);
    driver.outage(60_000);
    driver.receive({ type: 'error', code: 'TOKEN_UNKNOWN', message: '' });
    expect(driver.takeSent()).toMatchObject([{ type: 'join' }]);
    driver.receive(welcome({ token: 'token-2' }));
    driver.receive(offer('first', { connection: 1 }));
    driver.receive({ type: 'keyed', connection: 1, epoch: 0 });
    expect(driver.page.facts().problem).toBeUndefined();
  });

  it('is not near because of one bad message: new keys show that it is over', () => {
    const driver = watching();
    driver.receive({ type: 'error', code: 'SDP_INVALID', message: '' });
    expect(driver.page.facts().problem).toBe('refused');
    driver.receive({ type: 'keyed', connection: 1, epoch: 1 });
    expect(driver.page.facts().problem).toBeUndefined();
  });

  it.each([
    ['ROOM_FULL', 'room-full'],
    ['TOO_MANY_VISITS', 'too-many-visits'],
    ['SHUTTING_DOWN', 'shutting-down'],
  ] as const)('is none after %s: the page comes back later', (code, problem) => {
    const driver = new Driver();
    driver.handle({ kind: 'start' });
    driver.open();
    driver.take();
    driver.receive({ type: 'error', code, message: '' });
    expect(driver.page.facts().problem).toBe(problem);
    driver.advance(9_000);
    expect(driver.take().map(({ kind }) => kind)).toEqual(['closeSocket']);
    driver.advance(1_000);
    expect(driver.take().map(({ kind }) => kind)).toEqual(['probe']);
  });
});

describe('relays', () => {
  const servers = [{ urls: ['turn:192.0.2.1'], username: 'u', credential: 'c' }];

  it('are used for the offer that follows, each time', () => {
    const driver = new Driver();
    driver.handle({ kind: 'start' });
    driver.open();
    for (const [kind, at] of [
      ['first', { offer: 1, epoch: 0 }],
      ['rekey', { offer: 2, epoch: 1 }],
    ] as const) {
      driver.take();
      driver.receive({ type: 'relays', servers });
      if (kind === 'first') driver.receive(welcome());
      driver.receive(offer(kind, at));
      const outputs = driver
        .take()
        .filter((output) => output.kind === 'useRelays' || output.kind === 'apply');
      expect(outputs).toMatchObject([{ kind: 'useRelays', servers }, { kind: 'apply' }]);
    }
  });
});

describe('a token', () => {
  const ACCESS = `rekeycast.access.${Buffer.from('pâss+/=').toString('base64url')}`;

  it('that came with the link goes with the first WebSocket and all others', () => {
    const driver = new Driver();
    driver.handle({ kind: 'token', token: 'pâss+/=' });
    expect(driver.take()).toEqual([]);
    driver.handle({ kind: 'start' });
    expect(driver.open()).toContain(ACCESS);
    driver.receive(welcome());
    expect(driver.outage(200)).toContain(ACCESS);
    expect(driver.page.facts().asksForToken).toBe(false);
  });

  it.each([
    ['ACCESS_REQUIRED', 'token-required'],
    ['ACCESS_REFUSED', 'token-refused'],
    ['ACCESS_EXPIRED', 'token-expired'],
  ] as const)('is asked for after %s, and the page joins anew with it', (code, problem) => {
    const driver = watching();
    driver.receive({ type: 'error', code, message: '' });
    driver.handle({ kind: 'closed', attempt: driver.attempt, code: CLOSE_CODE.locked });
    expect(driver.take()).toContainEqual({ kind: 'closePeer', peer: 1 });
    expect(driver.page.facts()).toMatchObject({ state: 'locked', problem, asksForToken: true });
    expect(driver.page.nextTimeout()).toBeUndefined();
    driver.handle({ kind: 'token', token: 'pâss+/=' });
    expect(driver.page.facts()).toMatchObject({ state: 'connecting', asksForToken: false });
    expect(driver.open()).toEqual([SUBPROTOCOL, ACCESS]);
    expect(driver.takeSent()).toMatchObject([{ type: 'join' }]);
    driver.receive(welcome());
    driver.receive(offer('first'));
    expect(driver.take()).toContainEqual(expect.objectContaining({ kind: 'apply', create: true }));
  });

  it('to broadcast is asked for while the page goes on watching, and it comes back with its session', () => {
    const driver = watching();
    driver.receive({ type: 'room', viewers: 1, onAir: false });
    driver.handle({ kind: 'press', button: 'broadcast' });
    driver.handle({ kind: 'cameraReady' });
    expect(driver.takeSent()).toMatchObject([{ type: 'publish' }]);
    driver.receive({ type: 'error', code: 'PUBLISH_FORBIDDEN', message: '' });
    expect(driver.take()).toContainEqual({ kind: 'closeCamera' });
    expect(driver.page.facts()).toMatchObject({
      problem: 'publish-forbidden',
      asksForToken: true,
      canBroadcast: true,
    });
    driver.handle({ kind: 'token', token: 'pâss+/=' });
    expect(driver.page.facts()).toMatchObject({ asksForToken: false, state: 'reconnecting' });
    expect(driver.take().map(({ kind }) => kind)).toEqual(['closeSocket']);
    expect(driver.outage(10)).toEqual(expect.arrayContaining([ACCESS, 'rekeycast.token.token-1']));
  });
});

describe('the continuity of a visit', () => {
  const certificate = (associations: number, value = 'aa'): PageInput => ({
    kind: 'certificate',
    peer: 1,
    associations,
    digest: { algorithm: 'sha-256', value, source: 'transport' },
  });
  const transport = (isConnected: boolean): PageInput => ({
    kind: 'transport',
    peer: 1,
    connected: isConnected,
  });

  /** A viewer whose browser has seen the first handshake. */
  function sealable(): Driver {
    const driver = watching();
    driver.handle(transport(true));
    driver.handle(certificate(1));
    driver.handle({ kind: 'path', peer: 1, path: { roundTripMs: 20, local: false } });
    driver.frames(1, 500);
    return driver;
  }

  function restart(driver: Driver): void {
    driver.outage(700);
    driver.receive(offer('rekey', { offer: 2, epoch: 1 }));
    driver.handle(answered(1, 2, 1));
    driver.receive(welcome({ resumed: true, token: 'token-2', instance: 'instance-2' }));
  }

  it('has a record of a restart, with its gap, its new keys and the seal', () => {
    const driver = sealable();
    const lastFrame = driver.now;
    restart(driver);
    const backAt = driver.now;
    expect(driver.page.facts().seal).toBe('keys-pending');
    driver.handle(transport(false));
    driver.advance(30);
    driver.handle(transport(true));
    driver.receive({ type: 'keyed', connection: 1, epoch: 1 });
    driver.handle(certificate(2));
    const keyedAt = driver.now;
    driver.advance(40);
    driver.frame(1);
    const { continuity } = driver.page;
    expect(driver.page.facts().seal).toBe('sealed');
    expect(continuity.outages).toEqual([
      expect.objectContaining({
        number: 1,
        backAt,
        restarted: true,
        gap: { from: lastFrame, to: driver.now },
        path: { roundTripMs: 20, local: false },
        epochBefore: 0,
        rekey: { from: backAt, to: keyedAt, way: 'in-place', epoch: 1 },
      }),
    ]);
    expect(driver.page.facts().lastGapMs).toBe(driver.now - lastFrame);
    expect(continuity.marks(driver.now).map(({ kind }) => kind)).toEqual([
      'keys',
      'gone',
      'back',
      'keys',
      'media',
    ]);
  });

  it('does not take the last frames that were on their way for the end of the gap', () => {
    const driver = sealable();
    driver.handle({ kind: 'closed', attempt: driver.attempt, code: 1006 });
    driver.advance(300);
    driver.frame(1);
    const kinds = (): string[] => driver.page.continuity.marks(driver.now).map(({ kind }) => kind);
    expect(kinds()).toEqual(['keys', 'gone', 'media']);
    driver.advance(400);
    expect(kinds()).toEqual(['keys', 'gone']);
    driver.frame(1);
    expect(kinds()).toEqual(['keys', 'gone', 'media']);
  });

  it('has no seal from a server that says it has new keys and has done no handshake', () => {
    const driver = sealable();
    restart(driver);
    driver.receive({ type: 'keyed', connection: 1, epoch: 1 });
    driver.handle(connected(1));
    driver.handle(certificate(1));
    driver.frames(1, 3_000);
    expect(driver.page.facts()).toMatchObject({ epoch: 1, restarts: 1, seal: 'keys-pending' });
    expect(driver.page.continuity.outages[0]!.rekey).toBeUndefined();
    expect(driver.page.continuity.marks(driver.now).filter(({ kind }) => kind === 'keys')).toHaveLength(1);
  });

  it('has a warning where the certificate of the new handshake is another one', () => {
    const driver = sealable();
    restart(driver);
    driver.handle(transport(false));
    driver.handle(transport(true));
    driver.receive({ type: 'keyed', connection: 1, epoch: 1 });
    driver.handle(certificate(2, 'bb'));
    expect(driver.page.facts().seal).toBe('changed');
  });

  it('has a mark for keys that are replaced without a restart, and no record', () => {
    const driver = sealable();
    driver.receive(offer('rekey', { offer: 2, epoch: 1 }));
    driver.handle(answered(1, 2, 1));
    driver.handle(transport(false));
    driver.receive({ type: 'keyed', connection: 1, epoch: 1 });
    driver.handle(transport(true));
    driver.handle(certificate(2));
    const { continuity } = driver.page;
    expect(continuity.marks(driver.now)).toMatchObject([
      { kind: 'keys', epoch: 0 },
      { kind: 'keys', epoch: 1, at: driver.now },
    ]);
    expect(continuity.outages).toEqual([]);
    expect(driver.page.facts()).toMatchObject({ seal: 'sealed', lastGapMs: undefined });
  });

  it('knows a second connection from a new session', () => {
    for (const [way, inTheSameSession] of [
      ['second-connection', true],
      ['anew', false],
    ] as const) {
      const driver = sealable();
      driver.outage(100);
      if (!inTheSameSession) driver.receive({ type: 'error', code: 'TOKEN_UNKNOWN', message: '' });
      driver.receive(welcome({ resumed: inTheSameSession, instance: 'instance-2' }));
      const kind = inTheSameSession ? 'replacement' : 'first';
      driver.receive(offer(kind, { connection: 2, epoch: 1 }));
      driver.handle(answered(2, 1, 1));
      driver.handle(connected(2));
      driver.receive({ type: 'keyed', connection: 2, epoch: 1 });
      expect(driver.page.continuity.outages[0]!.rekey).toMatchObject({ way, epoch: 1 });
    }
  });

  it('counts an attempt in place that failed into the time to new keys', () => {
    const driver = sealable();
    restart(driver);
    const offered = driver.now;
    driver.advance(500);
    driver.receive(offer('replacement', { connection: 2, epoch: 2 }));
    driver.handle(answered(2, 1, 2));
    driver.handle(connected(2));
    driver.receive({ type: 'keyed', connection: 2, epoch: 2 });
    expect(driver.page.continuity.outages[0]!.rekey).toEqual({
      from: offered,
      to: offered + 500,
      way: 'second-connection',
      epoch: 2,
    });
  });

  it('does not take the path of a connection that is not in use, or what a browser says while the server is away', () => {
    const driver = sealable();
    driver.handle({ kind: 'path', peer: 9, path: { roundTripMs: 1, local: true } });
    driver.handle({ kind: 'closed', attempt: driver.attempt, code: 1006 });
    driver.handle({ kind: 'path', peer: 1, path: { roundTripMs: 900, local: false } });
    expect(driver.page.continuity.outages[0]!.path?.roundTripMs).toBe(20);
  });

  it('has no gap on a hidden page, and no frames to speak of', () => {
    const driver = sealable();
    driver.handle({ kind: 'visibility', hidden: true });
    restart(driver);
    driver.handle({ kind: 'visibility', hidden: false });
    driver.frame(1);
    expect(driver.page.continuity.outages[0]!.unwatched).toBe(true);
    expect(driver.page.facts().lastGapMs).toBeLessThan(50);
  });

  it('measures nothing by the frames that a hidden page shows now and then', () => {
    const driver = sealable();
    restart(driver);
    driver.frame(1);
    const { lastGapMs } = driver.page.facts();
    driver.handle({ kind: 'visibility', hidden: true });
    driver.frame(1);
    driver.advance(2_000);
    driver.frame(1);
    expect(driver.page.facts().lastGapMs).toBe(lastGapMs);
  });

  it('does not take the end of older keys for that of the ones under way', () => {
    const driver = sealable();
    restart(driver);
    driver.handle(transport(false));
    driver.handle(transport(true));
    driver.receive({ type: 'keyed', connection: 1, epoch: 0 });
    expect(driver.page.continuity.outages[0]!.rekey).toBeUndefined();
    driver.receive({ type: 'keyed', connection: 1, epoch: 1 });
    expect(driver.page.continuity.outages[0]!.rekey).toBeDefined();
  });

  it('of a broadcaster is that of its connection, and its own picture while that is up', () => {
    const driver = broadcasting();
    const preview: PageInput = { kind: 'frame', peer: undefined, at: driver.now };
    driver.handle(preview);
    const { timeline } = driver.page.continuity;
    expect(timeline.bucket(timeline.newest!)?.frames).toBe(1);
    const downAt = driver.now;
    driver.handle({ kind: 'peerState', peer: 1, state: 'disconnected' });
    driver.handle(preview);
    expect(timeline.bucket(timeline.newest!)?.frames).toBe(1);
    driver.outage(500);
    driver.receive(welcome({ role: 'broadcaster', resumed: true, instance: 'instance-2' }));
    driver.handle(connected(1));
    expect(driver.page.continuity.outages).toMatchObject([
      { role: 'broadcaster', gap: { from: downAt, to: driver.now }, unwatched: false },
    ]);
    expect(driver.page.facts().lastGapMs).toBe(driver.now - downAt);
  });

  it('has no outage before the first welcome, and nothing to see after the end', () => {
    const driver = new Driver();
    driver.handle({ kind: 'start' });
    driver.open();
    driver.handle({ kind: 'closed', attempt: driver.attempt, code: 1006 });
    expect(driver.page.continuity.outages).toEqual([]);
    const stopped = watching();
    stopped.handle({ kind: 'closed', attempt: stopped.attempt, code: CLOSE_CODE.superseded });
    expect(stopped.page.continuity.timeline.watching).toBe('idle');
  });
});

describe('the certificate', () => {
  it('is read when the transport has it: connected, and again at new keys', () => {
    const driver = watching();
    driver.receive(offer('rekey', { offer: 2, epoch: 1 }));
    driver.handle({ kind: 'peerState', peer: 1, state: 'connecting' });
    driver.take();
    driver.handle(connected(1));
    driver.receive({ type: 'keyed', connection: 1, epoch: 1 });
    const read: PageOutput = { kind: 'readCertificate', peer: 1 };
    expect(driver.take()).toEqual([read, read]);
    driver.handle({
      kind: 'certificate',
      peer: 1,
      associations: 1,
      digest: { algorithm: 'sha-256', value: 'aa', source: 'transport' },
    });
    expect(driver.page.facts()).toMatchObject({ certificate: 'same', certificateSha256: 'aa' });
  });
});

describe('the buttons of a demonstration', () => {
  const ACTIONS = ['kill', 'deploy', 'rotate'] as const;

  it('are none before the server has offered them', () => {
    expect(watching().page.facts().demo).toBeUndefined();
  });

  it('are offered until the server is away, and again by the next one', () => {
    const driver = watching();
    driver.receive({ type: 'demo', actions: ACTIONS });
    expect(driver.page.facts().demo).toEqual({ actions: ACTIONS });
    driver.handle({ kind: 'closed', attempt: driver.attempt, code: 1006 });
    expect(driver.page.facts().demo).toEqual({ actions: [] });
  });

  it('come with what came of the last one', () => {
    const driver = watching();
    driver.receive({ type: 'demo', actions: [] });
    driver.receive({ type: 'demo-outcome', action: 'rotate', done: true, words: 'done' });
    driver.receive({ type: 'demo', actions: ACTIONS });
    expect(driver.page.facts().demo).toMatchObject({
      actions: ACTIONS,
      outcome: { action: 'rotate', done: true, words: 'done' },
    });
  });

  it('are pressed at the server', () => {
    const driver = watching();
    driver.take();
    driver.handle({ kind: 'demonstrate', action: 'deploy' });
    expect(driver.takeSent()).toEqual([{ type: 'demo', action: 'deploy' }]);
  });
});

import { describe, expect, it } from 'vitest';
import {
  Link,
  type LinkOutput,
  OPEN_TIMEOUT_MS,
  PING_TIMEOUT_MS,
  PROBE_TIMEOUT_MS,
  QUICK_PHASE_MS,
  SILENCE_LIMIT_MS,
  SLOWEST_STEP_MS,
} from '../../../src/client/link.ts';
import type { PagePosition } from '../../../src/signaling/protocol.ts';
import {
  ACCESS_SUBPROTOCOL_PREFIX,
  CLOSE_CODE,
  SUBPROTOCOL,
  TOKEN_SUBPROTOCOL_PREFIX,
} from '../../../src/signaling/protocol.ts';
import { seededNumbers } from '../../support/seeded-rng.ts';

interface World {
  mediaAlive: boolean;
  position: PagePosition | undefined;
}

function createLink(seed = 1) {
  const world: World = { mediaAlive: false, position: undefined };
  const link = new Link({
    jitter: seededNumbers(seed),
    mediaAlive: () => world.mediaAlive,
    position: () => world.position,
  });
  return { link, world };
}

function drain(link: Link): LinkOutput[] {
  const outputs: LinkOutput[] = [];
  for (let output = link.pollOutput(); output !== undefined; output = link.pollOutput()) outputs.push(output);
  return outputs;
}

/** Opens the first WebSocket at time 0 and is welcomed. */
function openLink(seed?: number) {
  const made = createLink(seed);
  made.link.start(0);
  made.link.handleOpen(1, 0);
  made.link.established();
  drain(made.link);
  return made;
}

/** Runs to the next deadline and returns it with what comes out. */
function step(link: Link): { at: number; outputs: LinkOutput[] } {
  const at = link.nextTimeout()!;
  link.handleTimeout(at);
  return { at, outputs: drain(link) };
}

const kinds = (outputs: readonly LinkOutput[]) => outputs.map(({ kind }) => kind);

/** Refuses every probe until `until` and returns the times of the probes. */
function probeTimes(link: Link, until: number): number[] {
  const times: number[] = [];
  for (;;) {
    const { at, outputs } = step(link);
    if (at > until) return times;
    const probe = outputs.find((output) => output.kind === 'probe');
    if (probe === undefined) continue;
    times.push(at);
    link.handleProbe(probe.attempt, false, at);
  }
}

describe('Link', () => {
  it('opens the WebSocket at once and without a token at first', () => {
    const { link } = createLink();
    link.start(0);
    expect(drain(link)).toEqual([{ kind: 'openSocket', attempt: 1, protocols: [SUBPROTOCOL] }]);
  });

  it('comes back with its token and its place behind a server that says it is ready', () => {
    const { link, world } = openLink();
    link.setToken('abc');
    world.position = { connection: 3, epoch: 8, settled: true };
    link.handleClose(1, 1006, 100);
    expect(kinds(drain(link))).toEqual(['lost']);
    const { at, outputs } = step(link);
    expect(outputs).toEqual([{ kind: 'probe', attempt: 2 }]);
    link.handleProbe(2, true, at);
    expect(drain(link)).toEqual([
      {
        kind: 'openSocket',
        attempt: 3,
        protocols: [SUBPROTOCOL, 'rekeycast.token.abc', 'rekeycast.at.3.8.settled'],
      },
    ]);
  });

  it('names no place without a token, since there is no session to be in', () => {
    const { link, world } = openLink();
    world.position = { connection: 3, epoch: 8, settled: true };
    link.handleClose(1, 1006, 0);
    const { at } = step(link);
    link.handleProbe(2, true, at);
    expect(drain(link)).toMatchObject([{ protocols: [SUBPROTOCOL] }]);
  });

  it('does not open a WebSocket while the server is not ready', () => {
    const { link } = openLink();
    link.handleClose(1, 1006, 0);
    drain(link);
    const { at } = step(link);
    link.handleProbe(2, false, at);
    expect(drain(link)).toEqual([]);
    expect(kinds(step(link).outputs)).toEqual(['probe']);
  });

  it('looks for the server within 75 ms and then every 100 to 150 ms for ten seconds, whatever the jitter', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { link } = openLink(seed);
      link.handleClose(1, 1006, 0);
      const times = probeTimes(link, QUICK_PHASE_MS);
      expect(times[0]).toBeGreaterThanOrEqual(25);
      expect(times[0]).toBeLessThanOrEqual(75);
      const gaps = times.slice(1).map((time, index) => time - times[index]!);
      expect(Math.min(...gaps)).toBeGreaterThanOrEqual(100);
      expect(Math.max(...gaps)).toBeLessThanOrEqual(150);
    }
  });

  it('slows down to a step of at most a second and never gives up', () => {
    const { link } = openLink();
    link.handleClose(1, 1006, 0);
    const hour = 3_600_000;
    const times = probeTimes(link, hour);
    const late = times.filter((time) => time > 60_000);
    const gaps = late.slice(1).map((time, index) => time - late[index]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(SLOWEST_STEP_MS);
    expect(Math.min(...gaps)).toBeGreaterThan(SLOWEST_STEP_MS / 2);
    expect(times.at(-1)).toBeGreaterThan(hour - 2 * SLOWEST_STEP_MS);
  });

  it('spreads the pages of one room: two jitters give two times', () => {
    const [one, other] = [openLink(1).link, openLink(2).link];
    one.handleClose(1, 1006, 0);
    other.handleClose(1, 1006, 0);
    expect(one.nextTimeout()).not.toBe(other.nextTimeout());
  });

  it('abandons a WebSocket that does not open in time and does not hear it afterwards', () => {
    const { link } = createLink();
    link.start(0);
    drain(link);
    link.handleTimeout(OPEN_TIMEOUT_MS - 1);
    expect(drain(link)).toEqual([]);
    link.handleTimeout(OPEN_TIMEOUT_MS);
    expect(drain(link)).toEqual([{ kind: 'closeSocket', attempt: 1 }]);
    link.handleOpen(1, OPEN_TIMEOUT_MS + 1);
    expect(drain(link)).toEqual([]);
    expect(kinds(step(link).outputs)).toEqual(['probe']);
  });

  it('takes a probe without an answer for a refusal', () => {
    const { link } = openLink();
    link.handleClose(1, 1006, 0);
    drain(link);
    const probed = step(link).at;
    expect(link.nextTimeout()).toBe(probed + PROBE_TIMEOUT_MS);
    expect(step(link).outputs).toEqual([]);
    link.handleProbe(2, true, probed + PROBE_TIMEOUT_MS + 1);
    expect(drain(link)).toEqual([]);
    expect(kinds(step(link).outputs)).toEqual(['probe']);
  });

  it('does not take the late answer to one probe for the answer to the next', () => {
    const { link } = openLink();
    link.handleClose(1, 1006, 0);
    step(link);
    step(link);
    const { at } = step(link);
    link.handleProbe(2, true, at);
    expect(drain(link)).toEqual([]);
    link.handleProbe(3, true, at);
    expect(kinds(drain(link))).toEqual(['openSocket']);
  });

  it('asks a server that was silent for a while when it is woken, once, and gives it up that does not answer', () => {
    const { link, world } = openLink();
    world.mediaAlive = true;
    link.handleMessage(1, 1_000);
    link.wake(2_999);
    expect(drain(link)).toEqual([]);
    link.wake(3_000);
    link.check(3_001);
    expect(drain(link)).toEqual([{ kind: 'ping' }]);
    link.handleMessage(1, 4_000);
    link.check(6_000);
    expect(drain(link)).toEqual([{ kind: 'ping' }]);
    expect(step(link)).toMatchObject({
      at: 6_000 + PING_TIMEOUT_MS,
      outputs: [{ kind: 'closeSocket' }, { kind: 'lost' }],
    });
  });

  it('asks nobody while it has no WebSocket', () => {
    const { link } = createLink();
    link.check(0);
    link.start(0);
    link.check(60_000);
    expect(kinds(drain(link))).toEqual(['openSocket']);
  });

  it('is woken from waiting, and not from what was just heard', () => {
    const { link } = openLink();
    link.wake(1);
    expect(drain(link)).toEqual([]);
    link.handleClose(1, 1006, 2);
    drain(link);
    link.wake(3);
    expect(drain(link)).toEqual([{ kind: 'probe', attempt: 2 }]);
  });

  for (const [name, code] of Object.entries(CLOSE_CODE)) {
    it(`does not come back after the close code for "${name}"`, () => {
      const { link } = openLink();
      link.handleClose(1, code, 5);
      expect(drain(link)).toEqual([{ kind: 'stopped', code }]);
      link.wake(6);
      link.start(7);
      expect(link.nextTimeout()).toBeUndefined();
      expect(drain(link)).toEqual([]);
    });
  }

  it('does not hear the close or the messages of a WebSocket before the one in use', () => {
    const { link } = openLink();
    link.handleClose(1, 1006, 0);
    const { at } = step(link);
    link.handleProbe(2, true, at);
    link.handleOpen(3, at);
    drain(link);
    link.handleClose(1, CLOSE_CODE.superseded, at);
    expect(drain(link)).toEqual([]);
    expect(link.handleMessage(1, at)).toBe(false);
    expect(link.handleMessage(3, at)).toBe(true);
  });

  it('gives a WebSocket up that is silent while the media is dead', () => {
    const { link } = openLink();
    link.handleMessage(1, 1_000);
    expect(link.nextTimeout()).toBe(1_000 + SILENCE_LIMIT_MS);
    expect(kinds(step(link).outputs)).toEqual(['closeSocket', 'lost']);
  });

  it('keeps a WebSocket that is silent while the media shows that the server is there', () => {
    const { link, world } = openLink();
    world.mediaAlive = true;
    expect(step(link).outputs).toEqual([]);
    expect(link.isOpen).toBe(true);
    expect(link.nextTimeout()).toBe(2 * SILENCE_LIMIT_MS);
  });

  it('gives a WebSocket up that owes an answer, even while media flows', () => {
    const { link, world } = openLink();
    world.mediaAlive = true;
    link.expectReply(5_000, 100);
    expect(link.nextTimeout()).toBe(5_100);
    expect(kinds(step(link).outputs)).toEqual(['closeSocket', 'lost']);
  });

  it('is content with any message as an answer', () => {
    const { link } = openLink();
    link.expectReply(5_000, 100);
    link.handleMessage(1, 200);
    expect(link.nextTimeout()).toBe(200 + SILENCE_LIMIT_MS);
  });

  it('asks a server that opens and closes at once in ever slower steps', () => {
    const { link } = openLink();
    let attempt = 1;
    let now = 0;
    const delays: number[] = [];
    for (let round = 0; round < 6; round++) {
      link.handleClose(attempt, 1011, now);
      const { at } = step(link);
      delays.push(at - now);
      link.handleProbe(attempt + 1, true, at);
      attempt += 2;
      link.handleOpen(attempt, at);
      drain(link);
      now = at;
    }
    expect(delays[0]).toBeLessThanOrEqual(75);
    expect(delays.at(-1)).toBeGreaterThan(SLOWEST_STEP_MS / 2);
  });

  it('is quick again at the loss after a welcome', () => {
    const { link } = openLink();
    link.handleClose(1, 1006, 0);
    const { at } = step(link);
    link.handleProbe(2, true, at);
    link.handleOpen(3, at);
    link.established();
    drain(link);
    link.handleClose(3, 1006, 60_000);
    expect(link.nextTimeout()).toBeLessThanOrEqual(60_075);
  });

  it('takes what lets the page in along on every WebSocket, beside the token', () => {
    const { link } = createLink();
    link.setAccess('abc', 0);
    link.start(0);
    const access = `${ACCESS_SUBPROTOCOL_PREFIX}abc`;
    expect(drain(link)).toMatchObject([{ kind: 'openSocket', protocols: [SUBPROTOCOL, access] }]);
    link.handleOpen(1, 0);
    link.setToken('t');
    link.handleClose(1, 1006, 0);
    const { at } = step(link);
    link.handleProbe(2, true, at);
    expect(drain(link)).toContainEqual(
      expect.objectContaining({ protocols: [SUBPROTOCOL, access, `${TOKEN_SUBPROTOCOL_PREFIX}t`] }),
    );
  });

  it('comes back at once with another one, and starts again where it was shut out', () => {
    const { link } = openLink();
    link.setAccess('abc', 10);
    expect(kinds(drain(link))).toEqual(['closeSocket', 'lost']);
    expect(link.nextTimeout()).toBe(10);
    const { link: shut } = openLink();
    shut.handleClose(1, CLOSE_CODE.locked, 10);
    expect([kinds(drain(shut)), shut.nextTimeout()]).toEqual([['stopped'], undefined]);
    shut.setAccess('abc', 20);
    expect(kinds(drain(shut))).toEqual(['openSocket']);
  });

  it('closes the WebSocket when the page leaves and stays away', () => {
    const { link } = openLink();
    link.leave();
    expect(kinds(drain(link))).toEqual(['closeSocket']);
    link.handleClose(1, 1000, 1);
    expect(drain(link)).toEqual([]);
    expect(link.nextTimeout()).toBeUndefined();
  });
});

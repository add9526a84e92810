import { describe, expect, it } from 'vitest';
import {
  Connections,
  type ConnectionsOutput,
  type OfferMessage,
  PENDING_PATIENCE_MS,
  PICTURE_DEADLINE_MS,
  PICTURE_DEADLINE_WHILE_PLAYING_MS,
  RETIRE_AFTER_MS,
  STALL_INTERVAL_MS,
  STALL_LIMIT_MS,
} from '../../../src/client/connections.ts';
import type { OfferKind, Role } from '../../../src/signaling/protocol.ts';

interface OfferOptions {
  readonly role?: Role;
  readonly epoch?: number;
  readonly offer?: number;
}

const offerOf = (connection: number, kind: OfferKind, options: OfferOptions = {}): OfferMessage => ({
  type: 'offer',
  connection,
  offer: options.offer ?? 1,
  epoch: options.epoch ?? 0,
  kind,
  role: options.role ?? 'viewer',
  sdp: `sdp of ${connection}`,
});

function drain(connections: Connections): ConnectionsOutput[] {
  const outputs: ConnectionsOutput[] = [];
  for (let output = connections.pollOutput(); output !== undefined; output = connections.pollOutput())
    outputs.push(output);
  return outputs;
}

/** Enough frames of a replacement for the page to take it, the last one at `at`. */
function showEvenly(connections: Connections, peer: number, at: number): void {
  for (let i = 5; i >= 0; i--) connections.handleFrame(peer, at - i);
}

/** A viewer whose connection 1 shows a picture at time 0. */
function watching(): Connections {
  const connections = new Connections();
  connections.beginSession();
  connections.handleUp(0);
  connections.handleOnAir(true, 0);
  connections.handleOffer(offerOf(1, 'first'), 0);
  connections.handleAnswered(1, 0);
  connections.handlePeerState(1, 'connected', 0);
  connections.handleKeyed(1);
  connections.handleFrame(1, 0);
  drain(connections);
  return connections;
}

const play = (connections: Connections, until: number): void => {
  for (let now = 0; now <= until; now += 33) connections.handleFrame(1, now);
};
/** It is looked for media, and there is none. */
const stand = (connections: Connections, now: number): void => connections.handleProgress(1, false, now);
const playing = (connection: number): ConnectionsOutput => ({
  kind: 'send',
  message: { type: 'playing', connection },
});
const stalled = (connection: number): ConnectionsOutput => ({
  kind: 'send',
  message: { type: 'stalled', connection },
});

describe('the first connection', () => {
  it('is made, shown and, once it has keys and a picture, reported', () => {
    const connections = new Connections();
    connections.beginSession();
    connections.handleUp(0);
    connections.handleOffer(offerOf(1, 'first'), 0);
    expect(drain(connections)).toEqual([
      { kind: 'apply', peer: 1, create: true, offer: 1, epoch: 0, role: 'viewer', sdp: 'sdp of 1' },
      { kind: 'show', peer: 1 },
    ]);
    connections.handleKeyed(1);
    connections.handleFrame(1, 50);
    connections.handleFrame(1, 83);
    expect(drain(connections)).toEqual([playing(1)]);
  });

  it('is not reported before the server has its keys', () => {
    const connections = new Connections();
    connections.beginSession();
    connections.handleUp(0);
    connections.handleOffer(offerOf(1, 'first'), 0);
    drain(connections);
    connections.handleFrame(1, 50);
    expect(drain(connections)).toEqual([]);
    connections.handleKeyed(1);
    expect(drain(connections)).toEqual([playing(1)]);
  });

  it('of a broadcaster is reported when it is connected', () => {
    const connections = new Connections();
    connections.beginSession();
    connections.handleUp(0);
    connections.handleOffer(offerOf(1, 'first', { role: 'broadcaster' }), 0);
    connections.handleKeyed(1);
    drain(connections);
    connections.handlePeerState(1, 'connecting', 5);
    connections.handleFrame(1, 6);
    expect(drain(connections)).toEqual([]);
    connections.handlePeerState(1, 'connected', 10);
    expect(drain(connections)).toEqual([playing(1)]);
  });
});

describe('a re-key', () => {
  it('is answered on the same peer connection', () => {
    const connections = watching();
    connections.handleOffer(offerOf(1, 'rekey', { epoch: 1, offer: 2 }), 100);
    expect(drain(connections)).toMatchObject([{ kind: 'apply', peer: 1, create: false, epoch: 1, offer: 2 }]);
    expect(connections.made).toBe(1);
    expect(connections.inUse?.rekeying).toBe(true);
    connections.handleKeyed(1);
    expect(connections.inUse?.rekeying).toBe(false);
  });

  it('moves the place of the page when the browser is given the offer, and is settled when its handshake is complete', () => {
    const connections = watching();
    connections.handleTransport(1, true);
    expect(connections.position).toEqual({ connection: 1, epoch: 0, settled: true });
    connections.handleOffer(offerOf(1, 'rekey', { epoch: 1, offer: 2 }), 100);
    expect(connections.position).toEqual({ connection: 1, epoch: 1, settled: false });
    connections.handleTransport(1, true);
    expect(connections.position?.settled).toBe(false);
    expect(connections.handleAnswered(1, 1)).toBe(1);
    expect(connections.position?.settled).toBe(false);
    connections.handleTransport(1, false);
    connections.handleTransport(1, true);
    expect(connections.position).toEqual({ connection: 1, epoch: 1, settled: true });
  });

  it('that cannot be applied leaves the page where it was', () => {
    const connections = watching();
    connections.handleOffer(offerOf(1, 'rekey', { epoch: 1, offer: 2 }), 100);
    connections.handleAnswerFailed(1, 110);
    expect(connections.position?.epoch).toBe(0);
  });

  it('of a connection that the page does not have asks for a replacement', () => {
    const connections = watching();
    connections.handleOffer(offerOf(7, 'rekey'), 100);
    expect(drain(connections)).toEqual([stalled(7)]);
    expect(connections.made).toBe(1);
  });

  it('of a connection that the page does not have is not reported over and over', () => {
    const connections = watching();
    for (let now = 100; now < 1_000; now += 100) connections.handleOffer(offerOf(7, 'rekey'), now);
    expect(drain(connections)).toEqual([stalled(7)]);
  });

  it('drops a replacement that was under way', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement'), 100);
    drain(connections);
    connections.handleOffer(offerOf(1, 'rekey', { epoch: 1 }), 200);
    expect(drain(connections)).toMatchObject([
      { kind: 'closePeer', peer: 2 },
      { kind: 'apply', peer: 1 },
    ]);
  });

  it('that the server follows with a replacement before it has keys has failed in place', () => {
    const connections = watching();
    connections.handleOffer(offerOf(1, 'rekey', { epoch: 1 }), 100);
    connections.handleOffer(offerOf(2, 'replacement', { epoch: 2 }), 3_100);
    expect(drain(connections)).toContainEqual({ kind: 'inPlaceFailed' });
  });

  it('that got its keys has not failed when a replacement comes later', () => {
    const connections = watching();
    connections.handleOffer(offerOf(1, 'rekey', { epoch: 1 }), 100);
    connections.handleKeyed(1);
    connections.handleOffer(offerOf(2, 'replacement', { epoch: 2 }), 3_100);
    expect(drain(connections)).not.toContainEqual({ kind: 'inPlaceFailed' });
  });

  it('that cannot be applied is reported and has failed in place', () => {
    const connections = watching();
    connections.handleOffer(offerOf(1, 'rekey', { epoch: 1 }), 100);
    drain(connections);
    connections.handleAnswerFailed(1, 110);
    expect(drain(connections)).toEqual([{ kind: 'inPlaceFailed' }, stalled(1)]);
  });
});

describe('a replacement', () => {
  it('stays behind the connection in use until it runs evenly, then takes its place', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement', { epoch: 1 }), 100);
    connections.handlePeerState(2, 'connected', 150);
    connections.handleKeyed(2);
    expect(drain(connections)).toMatchObject([{ kind: 'apply', peer: 2, create: true }]);
    expect(connections.inUse?.peer).toBe(1);
    connections.handleFrame(2, 160);
    expect(drain(connections)).toEqual([]);
    showEvenly(connections, 2, 190);
    expect(drain(connections)).toEqual([{ kind: 'show', peer: 2 }, playing(2)]);
    expect(connections.inUse?.peer).toBe(2);
  });

  it('takes its place with the first frame where the picture in use stands still', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement', { epoch: 1 }), 2_000);
    connections.handlePeerState(2, 'connected', 2_050);
    connections.handleKeyed(2);
    drain(connections);
    connections.handleFrame(2, 2_100);
    expect(drain(connections)).toEqual([{ kind: 'show', peer: 2 }, playing(2)]);
  });

  it('leaves the old one open until the server closes it', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement'), 100);
    showEvenly(connections, 2, 190);
    drain(connections);
    connections.handleTimeout(190 + RETIRE_AFTER_MS - 1);
    expect(drain(connections)).toEqual([]);
    connections.handleClose(1, 200);
    expect(drain(connections)).toEqual([{ kind: 'closePeer', peer: 1 }]);
  });

  it('has the old one closed without the server in the end', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement'), 100);
    showEvenly(connections, 2, 190);
    drain(connections);
    connections.handleDown();
    expect(connections.nextTimeout()).toBe(190 + RETIRE_AFTER_MS);
    connections.handleTimeout(190 + RETIRE_AFTER_MS);
    expect(drain(connections)).toEqual([{ kind: 'closePeer', peer: 1 }]);
  });

  it('of a broadcaster takes over when it is connected', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement', { role: 'broadcaster' }), 100);
    showEvenly(connections, 2, 120);
    drain(connections);
    expect(connections.inUse?.peer).toBe(1);
    connections.handlePeerState(2, 'connected', 150);
    expect(drain(connections)).toEqual([{ kind: 'show', peer: 2 }]);
  });

  it('without a picture is taken after a while, so that sound alone goes on', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement'), 10_000);
    connections.handlePeerState(2, 'connected', 10_100);
    connections.handleTimeout(10_100 + PICTURE_DEADLINE_MS - 1);
    expect(connections.inUse?.peer).toBe(1);
    connections.handleTimeout(10_100 + PICTURE_DEADLINE_MS);
    expect(connections.inUse?.peer).toBe(2);
  });

  it('is given longer to bring a picture while the one in use still moves', () => {
    const connections = watching();
    play(connections, 10_100);
    connections.handleOffer(offerOf(2, 'replacement'), 10_000);
    connections.handlePeerState(2, 'connected', 10_100);
    connections.handleTimeout(10_100 + PICTURE_DEADLINE_MS);
    expect(connections.inUse?.peer).toBe(1);
    connections.handleTimeout(10_100 + PICTURE_DEADLINE_WHILE_PLAYING_MS);
    expect(connections.inUse?.peer).toBe(2);
  });

  it('is taken at once when nobody broadcasts and there is nothing to wait for', () => {
    const connections = watching();
    connections.handleOnAir(false, 50);
    connections.handleOffer(offerOf(2, 'replacement'), 100);
    connections.handlePeerState(2, 'connected', 150);
    expect(connections.inUse?.peer).toBe(2);
  });

  it('is taken by its decoded media on a hidden page, which presents no frames, and only there', () => {
    for (const hidden of [false, true]) {
      const connections = watching();
      connections.handleVisibility(hidden);
      connections.handleOffer(offerOf(2, 'replacement'), 100);
      connections.handleProgress(2, true, 900);
      expect(connections.inUse?.peer).toBe(hidden ? 2 : 1);
    }
  });

  it('makes way for a newer one', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement'), 100);
    drain(connections);
    connections.handleOffer(offerOf(3, 'replacement'), 200);
    expect(drain(connections)).toMatchObject([
      { kind: 'closePeer', peer: 2 },
      { kind: 'apply', peer: 3 },
    ]);
    showEvenly(connections, 2, 210);
    expect(connections.inUse?.peer).toBe(1);
    showEvenly(connections, 3, 220);
    expect(connections.inUse?.peer).toBe(3);
  });

  it('with the number of one from before a crash is a new peer connection', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement'), 100);
    connections.handleDown();
    connections.handleUp(500);
    drain(connections);
    connections.handleOffer(offerOf(2, 'replacement', { epoch: 3 }), 600);
    expect(drain(connections)).toMatchObject([
      { kind: 'closePeer', peer: 2 },
      { kind: 'apply', peer: 3, create: true },
    ]);
  });

  it('is taken early when the server closes the connection in use', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement'), 100);
    drain(connections);
    connections.handleClose(1, 150);
    expect(drain(connections)).toEqual([
      { kind: 'show', peer: 2 },
      { kind: 'closePeer', peer: 1 },
    ]);
  });

  it('that took over while signaling was lost is reported at the next welcome, once', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement'), 100);
    connections.handleKeyed(2);
    connections.handleDown();
    showEvenly(connections, 2, 190);
    expect(drain(connections)).not.toContainEqual(playing(2));
    connections.handleUp(300);
    expect(drain(connections)).toEqual([playing(2)]);
    connections.handleUp(400);
    expect(drain(connections)).toEqual([]);
  });
});

describe('a page that joins anew', () => {
  it('shows the old picture until the new connection plays, though both have the same number', () => {
    const connections = watching();
    connections.handleDown();
    connections.beginSession();
    connections.handleUp(1_000);
    connections.handleOffer(offerOf(1, 'first'), 1_010);
    expect(drain(connections)).toMatchObject([{ kind: 'apply', peer: 2, create: true }]);
    expect(connections.inUse?.peer).toBe(1);
    connections.handleKeyed(1);
    showEvenly(connections, 2, 1_100);
    expect(drain(connections)).toEqual([
      { kind: 'show', peer: 2 },
      { kind: 'closePeer', peer: 1 },
      playing(1),
    ]);
  });

  it('has no place in the new session yet', () => {
    const connections = watching();
    connections.beginSession();
    expect(connections.position).toBeUndefined();
    expect(connections.handleAnswered(1, 4)).toBeUndefined();
  });

  it('does not let the new session close what it does not know', () => {
    const connections = watching();
    connections.beginSession();
    connections.handleClose(1, 10);
    expect(drain(connections)).toEqual([]);
    expect(connections.inUse?.peer).toBe(1);
  });
});

describe('the watchdog', () => {
  it('reports a picture that stands still, and again only after a while', () => {
    const connections = watching();
    play(connections, 5_000);
    stand(connections, 5_900);
    drain(connections);
    const due = connections.nextTimeout()!;
    expect(due).toBeGreaterThan(4_900 + STALL_LIMIT_MS);
    connections.handleTimeout(due - 1);
    expect(drain(connections)).toEqual([]);
    connections.handleTimeout(due);
    expect(drain(connections)).toEqual([stalled(1)]);
    expect(connections.nextTimeout()).toBe(due + STALL_INTERVAL_MS);
    connections.handleTimeout(due + STALL_INTERVAL_MS);
    expect(drain(connections)).toEqual([stalled(1)]);
  });

  it('is quiet while frames come', () => {
    const connections = watching();
    for (let now = 0; now < 20_000; now += 33) {
      connections.handleFrame(1, now);
      connections.handleTimeout(now);
    }
    expect(drain(connections)).toEqual([]);
  });

  it('is quiet while media is decoded that is not shown', () => {
    const connections = watching();
    for (let now = 0; now < 20_000; now += 1_000) {
      connections.handleProgress(1, true, now);
      connections.handleTimeout(now);
    }
    expect(drain(connections)).toEqual([]);
  });

  it('is quiet on a hidden page whose timers run once a minute, also where it is asked before it has looked', () => {
    const connections = watching();
    connections.handleVisibility(true);
    for (let now = 60_000; now <= 600_000; now += 60_000) {
      connections.handleTimeout(now);
      connections.handleProgress(1, true, now + 5);
      connections.handleTimeout(now + 6);
    }
    expect(drain(connections)).toEqual([]);
    // Nothing was decoded in a whole minute: now it stands still.
    stand(connections, 660_000);
    connections.handleTimeout(660_001);
    expect(drain(connections)).toEqual([stalled(1)]);
  });

  it('is quiet about the hours in which the machine slept, and not about what is gone after them', () => {
    const connections = watching();
    play(connections, 5_000);
    drain(connections);
    const woken = 5_000 + 8 * 3_600_000;
    connections.handleTimeout(woken);
    connections.handleProgress(1, true, woken + 1);
    connections.handleTimeout(woken + 2);
    expect(drain(connections)).toEqual([]);
    stand(connections, woken + 1_000);
    const due = connections.nextTimeout()!;
    expect(due).toBe(woken + 1 + STALL_LIMIT_MS);
    connections.handleTimeout(due);
    expect(drain(connections)).toEqual([stalled(1)]);
  });

  it('forgets a look that found nothing with the next frame', () => {
    const connections = watching();
    stand(connections, 1_000);
    connections.handleFrame(1, 2_000);
    expect(connections.nextTimeout()).toBeUndefined();
  });

  it('is not put off by news of the room', () => {
    const connections = watching();
    stand(connections, 1_000);
    const due = connections.nextTimeout()!;
    connections.handleOnAir(true, due - 1);
    expect(connections.nextTimeout()).toBe(due);
  });

  it('is quiet when nobody broadcasts and when signaling is lost', () => {
    const offAir = watching();
    stand(offAir, 50);
    offAir.handleOnAir(false, 100);
    const down = watching();
    stand(down, 50);
    down.handleDown();
    for (const connections of [offAir, down]) {
      expect(connections.nextTimeout()).toBeUndefined();
      connections.handleTimeout(60_000);
      expect(drain(connections)).toEqual([]);
    }
  });

  it('reports a failed connection at once', () => {
    const connections = watching();
    connections.handleOnAir(false, 0);
    connections.handlePeerState(1, 'failed', 20_000);
    expect(connections.nextTimeout()).toBe(20_000);
    connections.handleTimeout(20_000);
    expect(drain(connections)).toEqual([stalled(1)]);
  });

  it('leaves a failed connection to the re-key right after a resume', () => {
    const connections = watching();
    connections.handleDown();
    connections.handlePeerState(1, 'failed', 20_000);
    connections.handleUp(70_000);
    connections.handleOffer(offerOf(1, 'rekey', { epoch: 1 }), 70_005);
    drain(connections);
    expect(connections.nextTimeout()).toBe(70_005 + STALL_LIMIT_MS);
    connections.handleTimeout(70_100);
    connections.handlePeerState(1, 'connected', 70_133);
    connections.handleFrame(1, 70_150);
    connections.handleTimeout(70_005 + STALL_LIMIT_MS);
    expect(drain(connections)).toEqual([]);
  });

  it('takes a silence that begins with an in-place re-key for a browser that cannot', () => {
    const connections = watching();
    play(connections, 10_000);
    connections.handleOffer(offerOf(1, 'rekey', { epoch: 1 }), 10_000);
    connections.handleKeyed(1);
    connections.handleFrame(1, 10_050);
    stand(connections, 11_000);
    drain(connections);
    connections.handleTimeout(connections.nextTimeout()!);
    expect(drain(connections)).toEqual([{ kind: 'inPlaceFailed' }, stalled(1)]);
  });

  it('does not blame a re-key after which the picture went on', () => {
    const connections = watching();
    connections.handleOffer(offerOf(1, 'rekey', { epoch: 1 }), 0);
    play(connections, 20_000);
    stand(connections, 21_000);
    drain(connections);
    connections.handleTimeout(connections.nextTimeout()!);
    expect(drain(connections)).toEqual([stalled(1)]);
  });

  it('gives a replacement its time before it reports again', () => {
    const connections = watching();
    connections.handleOffer(offerOf(2, 'replacement'), 1_000);
    stand(connections, 2_000);
    drain(connections);
    connections.handleTimeout(STALL_LIMIT_MS);
    expect(drain(connections)).toEqual([]);
    expect(connections.nextTimeout()).toBe(1_000 + PENDING_PATIENCE_MS);
    connections.handleTimeout(1_000 + PENDING_PATIENCE_MS);
    expect(drain(connections)).toEqual([stalled(1)]);
  });
});

import { describe, expect, it, vi } from 'vitest';
import { Room } from '../../../src/room/room.ts';
import { Forwarding } from '../../../src/server/forwarding.ts';
import { type Route, Routes } from '../../../src/server/routes.ts';
import { Relay } from '../../../src/server/workers/relay.ts';
import { type Connection, connectionId } from '../../../src/session/connection.ts';
import type { Role } from '../../../src/signaling/protocol.ts';
import type { MediaProtector } from '../../../src/transport/srtp/protector.ts';
import { secureRandom } from '../../../src/util/rng.ts';
import { videoPacket } from '../../support/room-media.ts';

/** Gives packets as they are, and remembers for which connection. */
const openly: MediaProtector = {
  protect: (jobs, emit) => {
    for (const job of jobs) emit(job, job.packet.bytes);
  },
};

function open() {
  const room = new Room({ rng: secureRandom, now: 0, wall: 0 });
  const routes = new Routes();
  const calls = { reserve: vi.fn(), flush: vi.fn(), queueFull: vi.fn(), protectFailed: vi.fn() };
  const forwarding = new Forwarding({ room, routes, relay: new Relay(undefined, room, 0), ...calls });
  forwarding.useProtector(openly);
  const connect = (session: string, number: number, role: Role, { keyed = true } = {}): Connection => {
    const peer = {
      ufrags: [],
      remoteAddress: { ip: connectionId(session, number), port: 1 },
      isValidated: () => true,
      sendContext: {},
      keyEpoch: keyed ? 1 : undefined,
      sendRtcp: vi.fn(),
    };
    const connection = { id: connectionId(session, number), number, role, peer } as unknown as Connection;
    routes.put({ session: {}, connection } as unknown as Route);
    if (keyed) forwarding.keyed(connection, 0);
    return connection;
  };
  /** To whom media goes that is sent now. */
  const receivers = (): string[] => {
    forwarding.drain(0);
    const to: string[] = [];
    while (forwarding.waits) forwarding.send((_, { ip }) => to.push(ip));
    return to;
  };
  return { room, routes, forwarding, connect, receivers, calls };
}

const frame = (sequence: number) => videoPacket({ sequence, keyframe: true, marker: true });

describe('forwarding', () => {
  it('takes media of the broadcaster to each viewer, and of viewers to nobody', () => {
    const { forwarding, connect, receivers } = open();
    const broadcaster = connect('b', 1, 'broadcaster');
    const viewers = [connect('v', 1, 'viewer'), connect('w', 1, 'viewer')];
    forwarding.takeRtp(broadcaster, frame(1), 0);
    expect(receivers()).toEqual(['v/1', 'w/1']);
    forwarding.takeRtp(viewers[0]!, frame(2), 0);
    expect(receivers()).toEqual([]);
    expect(forwarding.sent).toBe(2);
    expect(forwarding.send(() => undefined)).toBe(false);
  });

  it('hears the broadcaster on the newer connection from its first whole frame on, and on the older one never again', () => {
    const { room, forwarding, connect } = open();
    const former = connect('b', 1, 'broadcaster');
    const next = connect('b', 2, 'broadcaster');
    expect(room.producer).toBe('b/1');
    expect(forwarding.takeRtp(next, videoPacket({ sequence: 1, keyframe: true }), 0)).toBe(false);
    expect([forwarding.takeRtp(former, frame(5), 0), room.producer]).toEqual([false, 'b/1']);
    expect([forwarding.takeRtp(next, frame(2), 0), room.producer]).toEqual([true, 'b/2']);
    expect([forwarding.takeRtp(former, frame(6), 0), room.producer]).toEqual([false, 'b/2']);
    expect(room.stats.drops).toEqual({ notTheProducer: 1 });
  });

  it('hears another broadcaster as soon as it has keys, and not one who has none', () => {
    const { room, forwarding, connect } = open();
    connect('b', 1, 'broadcaster');
    const other = connect('c', 1, 'broadcaster', { keyed: false });
    expect(room.producer).toBe('b/1');
    forwarding.keyed(other, 0);
    expect(room.producer).toBe('c/1');
  });

  it('goes back to what the session of the broadcaster has left, where that has keys', () => {
    const { room, forwarding, connect } = open();
    const former = connect('b', 1, 'broadcaster');
    const [next, keyless] = [
      connect('b', 2, 'broadcaster'),
      connect('b', 3, 'broadcaster', { keyed: false }),
    ];
    forwarding.takeRtp(next, frame(1), 0);
    forwarding.closed(next, [keyless, former]);
    expect(room.producer).toBe('b/1');
    forwarding.closed(next, []);
    expect(room.producer).toBe('b/1');
    forwarding.closed(former, [keyless]);
    expect(room.producer).toBeUndefined();
  });

  it('asks the broadcaster for a keyframe when a viewer comes, by its peer', () => {
    const { forwarding, connect, calls } = open();
    const broadcaster = connect('b', 1, 'broadcaster');
    forwarding.takeRtp(broadcaster, frame(1), 0);
    connect('v', 1, 'viewer');
    forwarding.drain(0);
    expect(calls.flush).toHaveBeenCalled();
    expect(broadcaster.peer.sendRtcp).toHaveBeenCalledTimes(calls.flush.mock.calls.length);
    for (const [route] of calls.flush.mock.calls) expect((route as Route).connection).toBe(broadcaster);
  });

  it('does not send twice what a viewer with new keys is sent again', () => {
    const { forwarding, connect, receivers } = open();
    const broadcaster = connect('b', 1, 'broadcaster');
    const viewer = connect('v', 1, 'viewer');
    forwarding.rekeyStarted(viewer, true, 0);
    forwarding.takeRtp(broadcaster, frame(1), 0);
    forwarding.drain(0);
    forwarding.keyed(viewer, 0);
    expect(receivers()).toEqual(['v/1']);
  });
});

import { beforeEach, describe, expect, it } from 'vitest';
import { Room } from '../../../src/room/room.ts';
import { writeRtcp } from '../../../src/rtp/rtcp.ts';
import { MediaLedger } from '../../../src/server/media-ledger.ts';
import { Routes } from '../../../src/server/routes.ts';
import { type Connection, connectionId } from '../../../src/session/connection.ts';
import type { Session } from '../../../src/session/session.ts';
import type { MediaSnapshot } from '../../../src/snapshot/schema.ts';
import type { DtlsIdentity } from '../../../src/transport/dtls/client.ts';
import { Peer } from '../../../src/transport/peer.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { SAMPLE_TIME, samplePeer } from '../../support/snapshots.ts';

const FOREVER = Number.POSITIVE_INFINITY;
const REPORT = writeRtcp([{ type: 'receiverReport', ssrc: 1, reports: [] }]);

let rng = seededRandom(1);
let now = 0;
let routes = new Routes();
let written: MediaSnapshot[] = [];
let canWrite = true;
let ledger = open();

function open(resumedNotAfter = FOREVER): MediaLedger {
  return new MediaLedger({
    routes,
    room: new Room({ rng, now: 0, wall: SAMPLE_TIME }),
    mediaTtl: 30_000,
    resumedNotAfter,
    now: () => now,
    wall: () => SAMPLE_TIME + now,
    persist: (snapshot) => {
      if (canWrite) written.push(snapshot);
      return canWrite;
    },
  });
}

beforeEach(() => {
  rng = seededRandom(1);
  now = 0;
  routes = new Routes();
  written = [];
  canWrite = true;
  ledger = open();
});

/** Somebody with contexts of an earlier process. */
function join(port: number, deadline = FOREVER): Connection {
  const record = samplePeer(rng);
  const peer: Peer = new Peer(
    {
      identity: { certificate: new Uint8Array(0) } as DtlsIdentity,
      rng,
      srtpProfiles: [],
      ice: { ufrag: `ufrag${port}`, pwd: 'x'.repeat(24) },
      reserve: () => ledger.write(),
      contextsChanged: () => ledger.changed(peer),
    },
    {
      remoteUfrag: 'abcd',
      remoteFingerprint: { algorithm: 'sha-256', digest: new Uint8Array(32) },
      remoteAddress: { ip: '192.0.2.1', port },
    },
  );
  peer.resume(record, [], deadline);
  const connection: Connection = {
    id: connectionId(toHex(record.session), 1),
    number: 1,
    role: 'viewer',
    peer,
    offers: 1,
    epoch: record.epoch,
    pending: undefined,
    keyedAt: undefined,
  };
  routes.put({ session: {} as Session, connection });
  ledger.follow(connection);
  return connection;
}

function leave(connection: Connection): void {
  connection.peer.close();
  routes.remove(connection.id);
  ledger.forget(connection);
}

/** How many packets could be sent. */
function send({ peer }: Connection, packets: number): number {
  for (let i = 0; i < packets; i++) peer.sendRtcp(REPORT);
  let sent = 0;
  for (let output = peer.pollOutput(); output !== undefined; output = peer.pollOutput())
    if (output.kind === 'transmit') sent++;
  return sent;
}

const portsOf = (snapshot: MediaSnapshot | undefined): readonly number[] =>
  (snapshot?.peers ?? []).map(({ remoteAddress }) => remoteAddress.port).sort((a, b) => a - b);

const recordOf = (snapshot: MediaSnapshot | undefined, port: number) =>
  snapshot?.peers.find(({ remoteAddress }) => remoteAddress.port === port);

describe('the media ledger', () => {
  it('writes the same record again until something in it has changed', () => {
    const [busy] = [join(1), join(2)];
    ledger.write();
    send(busy, 100);
    ledger.write();
    const [first, second] = written;
    expect(recordOf(second, 2)).toBe(recordOf(first, 2));
    expect(recordOf(second, 1)!.send.srtcpLimit).toBeGreaterThan(recordOf(first, 1)!.send.srtcpLimit);
    expect(portsOf(second)).toEqual([1, 2]);
  });

  it('has everything sent below the limits that it has written, and writes when one is reached', () => {
    const connection = join(1);
    ledger.write();
    const before = connection.peer.captureContexts()!.send.srtcpLimit;
    expect(send(connection, 1_000)).toBe(1_000);
    expect(written.length).toBeGreaterThan(2);
    expect(written.at(-1)!.peers[0]!.send.srtcpLimit).toBeGreaterThanOrEqual(before + 1_000 - 128);
  });

  it('leaves out who is gone, and everybody else stays where they were but for one', () => {
    const connections = [1, 2, 3, 4].map((port) => join(port));
    ledger.write();
    leave(connections[1]!);
    ledger.write();
    expect(written[1]!.peers.map(({ remoteAddress }) => remoteAddress.port)).toEqual([1, 4, 3]);
    for (const connection of connections) if (connection !== connections[1]) leave(connection);
    ledger.write();
    expect(written[2]!.peers).toEqual([]);
  });

  it('leaves out contexts that have been wiped, though the connection stays', () => {
    const connection = join(1, 5_000);
    ledger.write();
    connection.peer.handleTimeout(5_000);
    ledger.write();
    expect(written.map(portsOf)).toEqual([[1], []]);
  });

  it('gives stale keys no later deadline, and fresh ones their own once those are gone', () => {
    ledger = open(SAMPLE_TIME + 7_000);
    const connection = join(1, 5_000);
    ledger.write();
    connection.peer.handleTimeout(5_000);
    ledger.write();
    expect(written.map(({ notAfter }) => notAfter)).toEqual([SAMPLE_TIME + 7_000, SAMPLE_TIME + 30_000]);
  });

  it('leaves out keys of before a time, also those that it has written', () => {
    join(1);
    ledger.write();
    ledger.writeOnlySince(0);
    ledger.write();
    expect(written.map(portsOf)).toEqual([[1], []]);
  });

  it('limits nobody where nothing is on file, and writes nothing of what it knew before should there be a file again', () => {
    const connection = join(1);
    ledger.write();
    const { srtcpLimit } = written[0]!.peers[0]!.send;
    canWrite = false;
    ledger.write();
    expect(send(connection, 1_000)).toBe(1_000);
    canWrite = true;
    ledger.write();
    expect(written.at(-1)!.peers[0]!.send.srtcpLimit).toBeGreaterThan(srtcpLimit + 1_000 - 128);
    // And they bind again.
    canWrite = false;
    const limit = written.at(-1)!.peers[0]!.send.srtcpLimit;
    expect(connection.peer.captureContexts()!.send.srtcpLimit).toBe(limit);
  });

  it('binds everybody again to a file that there is again, at once', () => {
    const connection = join(1);
    ledger.write();
    canWrite = false;
    ledger.write();
    canWrite = true;
    ledger.write();
    written.length = 0;
    expect(send(connection, 1_000)).toBe(1_000);
    expect(written.length).toBeGreaterThan(2);
  });

  it('grants what was captured before and written after another write', () => {
    const connection = join(1);
    ledger.write();
    send(connection, 100);
    const captured = ledger.capture();
    ledger.write();
    ledger.granted(captured);
    written.length = 0;
    expect(send(connection, 60)).toBe(60);
    expect(written).toEqual([]);
  });

  it('grants a snapshot that it did not make itself by what it says', () => {
    const connection = join(1);
    ledger.write();
    send(connection, 100);
    const captured = ledger.capture();
    ledger.granted({ ...captured });
    written.length = 0;
    expect(send(connection, 60)).toBe(60);
    expect(written).toEqual([]);
  });

  it('writes those who follow each other closely once, and a thousand further apart', () => {
    join(1);
    ledger.write();
    ledger.writeSoon(now);
    ledger.writeSoon(now);
    expect(ledger.nextTimeout()).toBe(20);
    for (let port = 2; port <= 100; port++) join(port);
    ledger.write();
    ledger.writeSoon(now);
    expect(ledger.nextTimeout()).toBe(25);
  });
});

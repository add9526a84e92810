import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Address } from '../../../src/transport/address.ts';
import { classifyDatagram } from '../../../src/transport/demux.ts';
import type { DtlsIdentity } from '../../../src/transport/dtls/client.ts';
import { fingerprintOf } from '../../../src/transport/dtls/fingerprint.ts';
import { createIceCredentials } from '../../../src/transport/ice/ice-lite.ts';
import { bindingSuccess, parseStun, STUN_TYPE } from '../../../src/transport/ice/stun.ts';
import {
  Peer,
  type PeerContexts,
  type PeerIdentity,
  type PeerOutput,
  type SendFloor,
} from '../../../src/transport/peer.ts';
import { SrtpReceiveContext } from '../../../src/transport/srtp/receive-context.ts';
import { SrtpSendContext } from '../../../src/transport/srtp/send-context.ts';
import { toHex } from '../../../src/util/bytes.ts';
import type { Millis } from '../../../src/util/clock.ts';
import { randomBytes } from '../../../src/util/rng.ts';
import { Secret } from '../../../src/util/secret.ts';
import { testIdentity } from '../../support/dtls-identity.ts';
import { DtlsTestServer, type ServerKnobs } from '../../support/dtls-server.ts';
import { flipped } from '../../support/flipped.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { copyOf, rtcpPacket, rtpPacket, TEST_SSRC } from '../../support/srtp.ts';
import { bindingRequest } from '../../support/stun.ts';

const HERE: Address = { ip: '192.0.2.1', port: 1_000 };
const THERE: Address = { ip: '192.0.2.1', port: 2_000 };
const REMOTE = 'rmte';
const REMOTE_PWD = 'remote-password-of-22c';

let server: DtlsIdentity;
let browserIdentity: DtlsIdentity;
let otherIdentity: DtlsIdentity;
beforeAll(async () => {
  [server, browserIdentity, otherIdentity] = await Promise.all([
    testIdentity(),
    testIdentity(),
    testIdentity(),
  ]);
});

const rng = seededRandom(3);
let now: Millis;
let peer: Peer;
/** The browser's present association. */
let dtls: DtlsTestServer;
let outputs: PeerOutput[];
let reserved: number;

beforeEach(() => {
  now = 1_000;
  outputs = [];
  reserved = 0;
  peer = createPeer();
  associate();
});

function createPeer(restored?: PeerIdentity): Peer {
  return new Peer(
    {
      identity: server,
      rng,
      srtpProfiles: ['AES_CM_128_HMAC_SHA1_80'],
      ice: createIceCredentials(rng),
      reserve: () => {
        reserved++;
      },
    },
    restored,
  );
}

/** The browser starts anew. */
function associate(knobs: ServerKnobs = {}, identity = browserIdentity): void {
  dtls = new DtlsTestServer({ identity, rng, knobs });
}

/** Everything since the last call. */
function drain(): PeerOutput[] {
  const fresh: PeerOutput[] = [];
  for (let output = peer.pollOutput(); output !== undefined; output = peer.pollOutput()) fresh.push(output);
  outputs.push(...fresh);
  return fresh;
}

const kinds = (list: readonly PeerOutput[]): string[] => list.map(({ kind }) => kind);
const sent = (list: readonly PeerOutput[], kind: string) =>
  list.flatMap((output) =>
    output.kind === 'transmit' && classifyDatagram(output.datagram) === kind ? [output] : [],
  );

/** A check arrives; gives what follows from it. */
function check(from = HERE, nominate = true, remote = REMOTE, ice = peer.iceCredentials): PeerOutput[] {
  const request = bindingRequest({
    transactionId: randomBytes(rng, 12),
    username: `${ice.ufrag}:${remote}`,
    password: ice.pwd,
    priority: 1,
    tieBreaker: new Uint8Array(8),
    useCandidate: nominate,
  });
  peer.handleDatagram(request, from, now);
  return respond(drain());
}

function answer(ufrag = REMOTE, identity = browserIdentity): PeerOutput[] {
  const fingerprints = [fingerprintOf(identity.certificate, 'sha-256')];
  peer.acceptAnswer({ ice: { ufrag, pwd: REMOTE_PWD }, fingerprints }, now);
  return respond(drain());
}

/** The browser responds to the probes among these; gives the rest, and what follows from the responses. */
function respond(list: readonly PeerOutput[]): PeerOutput[] {
  return list.flatMap((output) => {
    if (output.kind === 'probing') return [];
    const request = output.kind === 'transmit' ? parseStun(output.datagram) : undefined;
    if (output.kind !== 'transmit' || request?.type !== STUN_TYPE.bindingRequest) return [output];
    peer.handleDatagram(bindingSuccess(request, HERE, REMOTE_PWD), output.to, now);
    return drain();
  });
}

/** Datagrams that an engine has dropped. */
const countOf = (engine: string): number =>
  Object.entries(peer.dropCounts.toJSON())
    .filter(([reason]) => reason.startsWith(engine))
    .reduce((sum, [, count]) => sum + count, 0);

/** Carries DTLS back and forth until both are silent. */
function shake(start: readonly PeerOutput[], from = HERE, upTo = 100): PeerOutput[] {
  const all = [...start];
  let waiting = sent(start, 'dtls');
  for (let i = 0; waiting.length > 0 && i < upTo; i++) {
    for (const { datagram } of waiting) dtls.handleDatagram(datagram, now);
    for (let reply = dtls.pollDatagram(); reply !== undefined; reply = dtls.pollDatagram())
      peer.handleDatagram(reply, from, now);
    const fresh = drain();
    all.push(...fresh);
    waiting = sent(fresh, 'dtls');
  }
  return all;
}

/** Time passes in which a better flight than the one that was refused could have come. */
function letDoubtsPass(): PeerOutput[] {
  now += 1_000;
  peer.handleTimeout(now);
  return drain();
}

/** A peer with fresh keys of epoch 0. */
function connect(): void {
  peer.offer(0, peer.iceCredentials, false, now);
  answer();
  shake(check());
  expect(peer.keyEpoch).toBe(0);
}

/** The browser's contexts of its present association. */
function browserContexts(): { readonly send: SrtpSendContext; readonly receive: SrtpReceiveContext } {
  const { profile, local, remote } = dtls.keys!;
  const copy = ({ key, salt }: typeof local) => ({
    key: Secret.copy(key.bytes),
    salt: Secret.copy(salt.bytes),
  });
  return {
    send: SrtpSendContext.create(profile, copy(local)),
    receive: SrtpReceiveContext.create(profile, copy(remote)),
  };
}

/** As another process finds them in a snapshot. */
const written = ({ epoch, send, receive }: PeerContexts): PeerContexts => ({
  epoch,
  send: copyOf(send),
  receive: copyOf(receive),
});

/** Another process takes this peer's identity and contexts. */
function resume(deadline = now + 5_000, floors: readonly SendFloor[] = []): void {
  const [identity, contexts] = [peer.captureIdentity()!, written(peer.captureContexts()!)];
  peer = createPeer(identity);
  peer.resume(contexts, floors, deadline);
  drain();
}

describe('a first connection', () => {
  it('starts its handshake at the nomination, where the answer is there', () => {
    peer.offer(0, peer.iceCredentials, false, now);
    expect(drain()).toEqual([]);
    expect(answer()).toEqual([]);
    expect(kinds(check(HERE, false))).toEqual(['validated', 'transmit']);
    const fresh = check();
    expect(kinds(fresh)).toEqual(['transmit', 'selected', 'transmit']);
    expect(sent(fresh, 'dtls').map(({ to }) => to)).toEqual([HERE]);
    expect(kinds(shake(fresh))).toEqual(expect.arrayContaining(['keyed', 'connected']));
    expect(peer.keyEpoch).toBe(0);
  });

  it('starts its handshake at the answer, where the nomination is there', () => {
    peer.offer(0, peer.iceCredentials, false, now);
    expect(sent(check(), 'dtls')).toEqual([]);
    const fresh = answer();
    expect(sent(fresh, 'dtls').length).toBe(1);
    expect(kinds(shake(fresh))).toEqual(expect.arrayContaining(['keyed', 'connected']));
  });

  it('has its keys one round trip in, before the peer has said the last word', () => {
    peer.offer(0, peer.iceCredentials, false, now);
    answer();
    const fresh = shake(check(), HERE, 1);
    expect(kinds(fresh)).toContain('keyed');
    expect(kinds(fresh)).not.toContain('connected');
    expect(peer.sendContext).toBeDefined();
    const finishedAt = outputs.findLastIndex((output) => output.kind === 'transmit');
    expect(finishedAt).toBeLessThan(outputs.findIndex(({ kind }) => kind === 'keyed'));
  });

  it('ends no stale keys, since there are none', () => {
    connect();
    expect(kinds(outputs)).not.toContain('stale-keys-destroyed');
  });

  it('is not captured before its answer', () => {
    peer.offer(0, peer.iceCredentials, false, now);
    expect(check()).toEqual([]);
    expect(peer.captureIdentity()).toBeUndefined();
    expect(peer.captureContexts()).toBeUndefined();
    answer();
    expect(peer.captureIdentity()).toMatchObject({ remoteUfrag: REMOTE, remoteAddress: HERE });
  });

  it('does not begin where the certificate is not the one that was answered', () => {
    peer.offer(0, peer.iceCredentials, false, now);
    answer(REMOTE, otherIdentity);
    shake(check());
    expect(letDoubtsPass()).toContainEqual({ kind: 'failed', reason: 'fingerprint-mismatch' });
    expect(kinds(outputs)).not.toContain('keyed');
    expect(peer.keyEpoch).toBeUndefined();
    expect(peer.sendContext).toBeUndefined();
  });

  it('takes another answer with another certificate for the one that counts', () => {
    peer.offer(0, peer.iceCredentials, false, now);
    answer(REMOTE, otherIdentity);
    check();
    expect(kinds(shake(answer()))).toContain('connected');
  });

  it('loses the keys of a handshake that fails at the last word', () => {
    associate({ finished: 'random' });
    peer.offer(0, peer.iceCredentials, false, now);
    answer();
    const fresh = shake(check());
    expect(kinds(fresh).filter((kind) => kind !== 'transmit')).toEqual([
      'validated',
      'selected',
      'keyed',
      'stale-keys-destroyed',
      'failed',
    ]);
    expect(peer.keyEpoch).toBeUndefined();
  });

  it('gives up where nobody answers, after its deadline', () => {
    peer.offer(0, peer.iceCredentials, false, now);
    answer();
    check();
    for (let due = peer.nextTimeout(); due !== undefined; due = peer.nextTimeout()) {
      now = Math.max(now, due);
      peer.handleTimeout(now);
      expect(now).toBeLessThan(60_000);
    }
    expect(drain()).toContainEqual({ kind: 'failed', reason: 'timeout' });
  });
});

describe('a re-key in place', () => {
  const after = createIceCredentials(seededRandom(9));

  it('sends its ClientHello in the turn of the offer, to the address in use, and repeats it within 20 ms, evenly', () => {
    connect();
    peer.offer(1, after, true, now);
    const hello = sent(drain(), 'dtls');
    expect(hello.map(({ to }) => to)).toEqual([HERE]);
    const interval = peer.nextTimeout()! - now;
    expect(interval).toBeLessThanOrEqual(20);
    for (let i = 0; i < 5; i++) {
      now += interval;
      expect(peer.nextTimeout()).toBe(now);
      peer.handleTimeout(now);
      expect(sent(drain(), 'dtls')).toEqual(hello);
    }
  });

  it('repeats its ClientHello less and less often once the answer is here: the browser takes it from then on', () => {
    connect();
    peer.offer(1, after, true, now);
    const hello = sent(drain(), 'dtls');
    const interval = peer.nextTimeout()! - now;
    const begun = now;
    now += interval / 2;
    expect(sent(answer('rnew'), 'dtls')).toEqual([]);
    const sentAt: number[] = [];
    while (sentAt.length < 4) {
      now = peer.nextTimeout()!;
      peer.handleTimeout(now);
      expect(sent(drain(), 'dtls')).toEqual(hello);
      sentAt.push((now - begun) / interval);
    }
    expect(sentAt).toEqual([1, 3, 7, 15]);
  });

  it('sends its ClientHello to another address as soon as that is nominated, and to the same one no sooner', () => {
    connect();
    peer.offer(1, after, true, now);
    const [hello] = sent(drain(), 'dtls');
    answer('rnew');
    for (let i = 0; i < 6; i++) {
      now = peer.nextTimeout()!;
      peer.handleTimeout(now);
    }
    drain();
    const next = peer.nextTimeout()!;
    now += 10;
    expect(sent(check(HERE, true, 'rnew'), 'dtls')).toEqual([]);
    expect(peer.nextTimeout()).toBe(next);
    expect(sent(check(THERE, true, 'rnew'), 'dtls')).toEqual([{ ...hello, to: THERE }]);
  });

  it('of a page that is not settled waits for its answer', () => {
    connect();
    associate();
    peer.offer(1, after, false, now);
    expect(drain()).toEqual([]);
    expect(check(THERE, true, 'rnew', after)).toEqual([]);
    const fresh = answer('rnew');
    expect(sent(fresh, 'dtls').length).toBe(1);
    expect(peer.remoteAddress).toEqual(THERE);
    expect(kinds(shake(fresh, THERE))).toContain('connected');
  });

  it('uses the old keys until the flight of the peer is verified, then the new ones and no others', () => {
    connect();
    const before = browserContexts();
    associate();
    peer.offer(1, after, true, now);
    const hello = drain();
    expect(peer.keyEpoch).toBe(0);
    peer.handleDatagram(before.send.protectRtp(rtpPacket(1), 1)!, HERE, now);
    expect(kinds(drain())).toEqual(['rtp']);

    const oldKeys = peer.captureContexts()!;
    const fresh = shake(hello).filter(({ kind }) => kind !== 'transmit');
    expect(fresh).toEqual([
      { kind: 'stale-keys-destroyed', by: 'flight' },
      { kind: 'keyed', epoch: 1 },
      { kind: 'connected', epoch: 1 },
    ]);
    for (const { master } of [oldKeys.send, oldKeys.receive]) {
      expect(master.key.disposed).toBe(true);
      expect(master.salt.disposed).toBe(true);
    }
    peer.handleDatagram(before.send.protectRtp(rtpPacket(2), 2)!, HERE, now);
    peer.handleDatagram(before.send.protectRtcp(rtcpPacket())!, HERE, now);
    expect(drain()).toEqual([]);

    const current = browserContexts();
    peer.handleDatagram(current.send.protectRtp(rtpPacket(3), 3)!, HERE, now);
    expect(kinds(drain())).toEqual(['rtp']);
    peer.sendRtcp(rtcpPacket());
    const [rtcp] = sent(drain(), 'srtcp');
    expect(before.receive.unprotectRtcp(rtcp!.datagram)).toBeUndefined();
    expect(current.receive.unprotectRtcp(rtcp!.datagram)).toEqual(rtcpPacket());
  });

  it('ends the stale keys at the answer, where that is first', () => {
    connect();
    const { send } = peer.captureContexts()!;
    associate();
    peer.offer(1, after, true, now);
    const hello = drain();
    expect(answer()).toEqual([{ kind: 'stale-keys-destroyed', by: 'answer' }]);
    expect(send.master.key.disposed).toBe(true);
    expect(peer.sendContext).toBeUndefined();
    expect(kinds(shake(hello))).toEqual(expect.arrayContaining(['keyed', 'connected']));
    expect(outputs.filter(({ kind }) => kind === 'stale-keys-destroyed').length).toBe(1);
  });

  it('that has its keys is not disturbed by its answer', () => {
    connect();
    associate();
    peer.offer(1, after, true, now);
    shake(drain());
    expect(answer()).toEqual([]);
    expect(peer.keyEpoch).toBe(1);
  });

  it('takes the flight of a browser with another certificate once its answer has shown that', () => {
    connect();
    associate({}, otherIdentity);
    peer.offer(1, after, true, now);
    shake(drain());
    expect(peer.keyEpoch).toBe(0);
    associate({}, otherIdentity);
    expect(kinds(shake(answer(REMOTE, otherIdentity)))).toContain('connected');
  });

  it('begins anew where the answer shows another certificate', () => {
    connect();
    peer.offer(1, after, true, now);
    drain();
    associate({}, otherIdentity);
    const fresh = shake(answer(REMOTE, otherIdentity));
    expect(kinds(fresh)).toEqual(expect.arrayContaining(['stale-keys-destroyed', 'keyed', 'connected']));
    expect(toHex(peer.captureIdentity()!.remoteFingerprint.digest)).toBe(
      toHex(fingerprintOf(otherIdentity.certificate, 'sha-256').digest),
    );
  });

  it('is not believed to be done by an old association or its alerts', () => {
    connect();
    const old = dtls;
    peer.offer(1, after, true, now);
    drain();
    // close_notify under the old keys, authenticated by nobody any more.
    old.sendProtected(21, Uint8Array.of(1, 0));
    peer.handleDatagram(old.pollDatagram()!, HERE, now);
    expect(drain()).toEqual([]);
    expect(peer.keyEpoch).toBe(0);
  });

  it('that fails leaves the stale keys to their own end', () => {
    connect();
    resume(now + 5_000);
    associate({}, otherIdentity);
    peer.offer(1, after, true, now);
    shake(drain());
    expect(kinds(letDoubtsPass())).toContain('failed');
    expect(peer.keyEpoch).toBe(0);
    now += 4_000;
    peer.handleTimeout(now);
    expect(drain()).toContainEqual({ kind: 'stale-keys-destroyed', by: 'deadline' });
  });

  it('goes on to the address that is nominated under its credentials', () => {
    connect();
    associate();
    peer.offer(1, after, true, now);
    const hello = drain();
    expect(peer.ufrags.length).toBe(2);
    expect(check(THERE, true, 'rnew')).toEqual([]);
    expect(peer.remoteAddress).toEqual(HERE);
    const moved = answer('rnew');
    expect(kinds(moved)).toEqual(['validated', 'transmit', 'selected', 'transmit', 'stale-keys-destroyed']);
    expect(sent(moved, 'dtls')).toEqual(sent(hello, 'dtls').map((first) => ({ ...first, to: THERE })));
    expect(peer.ufrags).toEqual([after.ufrag]);
    const fresh = shake(hello, THERE);
    expect(kinds(fresh)).toContain('connected');
    expect(sent(fresh, 'dtls').at(-1)!.to).toEqual(THERE);
    expect(peer.remoteAddress).toEqual(THERE);
  });
});

describe('contexts of an earlier process', () => {
  it('carry media at once, in both directions, to the address it had', () => {
    connect();
    const browser = browserContexts();
    resume();
    expect(peer.keyEpoch).toBe(0);
    peer.sendRtcp(rtcpPacket());
    const [rtcp] = sent(drain(), 'srtcp');
    expect(rtcp!.to).toEqual(HERE);
    expect(browser.receive.unprotectRtcp(rtcp!.datagram)).toEqual(rtcpPacket());
    peer.handleDatagram(browser.send.protectRtp(rtpPacket(5), 5)!, HERE, now);
    expect(kinds(drain())).toEqual(['rtp']);
  });

  it('lack a stream that has not begun under them, once there is media of it', () => {
    connect();
    peer.sendContext!.protectRtp(rtpPacket(5), 5);
    resume(now + 5_000, [{ ssrc: TEST_SSRC, limit: 6 }]);
    expect(peer.sendContext!.protectRtp(rtpPacket(6), 6)).toBeDefined();
    expect(peer.lacksStreams).toBe(false);
    expect(peer.sendContext!.protectRtp(rtpPacket(7, TEST_SSRC + 1), 7)).toBeUndefined();
    expect(peer.lacksStreams).toBe(true);
  });

  it('end at their deadline and not before', () => {
    connect();
    resume(now + 5_000);
    const { send } = peer.captureContexts()!;
    expect(peer.nextTimeout()).toBe(now + 5_000);
    now += 4_999;
    peer.handleTimeout(now);
    expect(peer.keyEpoch).toBe(0);
    now += 1;
    peer.handleTimeout(now);
    expect(drain()).toEqual([{ kind: 'stale-keys-destroyed', by: 'deadline' }]);
    expect(send.master.key.disposed).toBe(true);
    expect(peer.nextTimeout()).toBeUndefined();
  });

  it('that are replaced in time take their deadline with them', () => {
    connect();
    resume(now + 5_000);
    associate();
    peer.offer(1, createIceCredentials(rng), true, now);
    shake(drain());
    expect(peer.keyEpoch).toBe(1);
    now += 10_000;
    peer.handleTimeout(now);
    expect(peer.keyEpoch).toBe(1);
  });

  it('accept no packet of the time before them a second time', () => {
    connect();
    const browser = browserContexts();
    const early = browser.send.protectRtp(rtpPacket(5), 5)!;
    peer.handleDatagram(early, HERE, now);
    expect(kinds(drain())).toEqual(['rtp']);
    peer.granted(peer.captureContexts()!);
    resume();
    peer.handleDatagram(early, HERE, now);
    expect(drain()).toEqual([]);
  });
});

describe('a grant', () => {
  it('for another epoch is not one', () => {
    connect();
    const captured = peer.captureContexts()!;
    const limit = captured.send.srtcpLimit;
    peer.granted({ ...captured, epoch: 9 });
    peer.granted(captured);
    for (let i = 0; i < limit; i++) peer.sendRtcp(rtcpPacket());
    expect(sent(drain(), 'srtcp').length).toBe(limit);
    expect(reserved).toBe(0);
    // Past the limit of the file it asks for a newer one, and without that sends nothing.
    peer.granted({ ...captured, epoch: 9, send: { ...captured.send, srtcpLimit: limit * 2 } });
    peer.sendRtcp(rtcpPacket());
    expect(drain()).toEqual([]);
    expect(reserved).toBeGreaterThan(0);
  });
});

describe('a browser whose indices leap', () => {
  it('causes a few snapshots at once and twenty a second, and is heard again behind the next', () => {
    connect();
    const browser = browserContexts();
    peer.granted(peer.captureContexts()!);
    const leap = () => {
      for (let i = 0; i < 50; i++) browser.send.protectRtcp(rtcpPacket());
      peer.handleDatagram(browser.send.protectRtcp(rtcpPacket())!, HERE, now);
      return drain().length;
    };
    leap();
    reserved = 0;
    peer.granted(peer.captureContexts()!);
    for (let i = 0; i < 200; i++) expect(leap()).toBe(0);
    expect(reserved).toBe(40);
    now += 1_000;
    for (let i = 0; i < 200; i++) leap();
    expect(reserved).toBe(60);
    peer.granted(peer.captureContexts()!);
    peer.handleDatagram(browser.send.protectRtcp(rtcpPacket())!, HERE, now);
    expect(kinds(drain())).toEqual(['rtcp']);
  });
});

describe('datagrams', () => {
  it('of DTLS and media from an address that has not proven itself are dropped', () => {
    connect();
    const packet = browserContexts().send.protectRtp(rtpPacket(1), 1)!;
    peer.handleDatagram(packet, THERE, now);
    peer.handleDatagram(Uint8Array.of(22, 254, 253), THERE, now);
    expect(drain()).toEqual([]);
    expect(peer.drops.toJSON()).toEqual({ 'address not validated': 2 });
    check(THERE, false);
    peer.handleDatagram(packet, THERE, now);
    expect(kinds(drain())).toEqual(['rtp']);
  });

  it('of no known kind are dropped', () => {
    peer.handleDatagram(Uint8Array.of(100, 0, 0), HERE, now);
    peer.handleDatagram(new Uint8Array(0), HERE, now);
    expect(peer.drops.toJSON()).toEqual({ 'unknown kind': 2 });
  });

  it('of media before there are keys, and of DTLS between handshakes, are dropped', () => {
    const remoteFingerprint = fingerprintOf(browserIdentity.certificate, 'sha-256');
    peer = createPeer({ remoteUfrag: REMOTE, remoteFingerprint, remoteAddress: HERE });
    peer.handleDatagram(rtpPacket(1), HERE, now);
    peer.handleDatagram(rtcpPacket(), HERE, now);
    peer.handleDatagram(Uint8Array.of(21, 254, 253), HERE, now);
    expect(drain()).toEqual([]);
    expect(peer.drops.toJSON()).toEqual({ 'no keys': 2, 'no handshake': 1 });
  });

  it('of media that are not authentic are dropped and counted where they were judged', () => {
    connect();
    const packet = flipped(browserContexts().send.protectRtp(rtpPacket(1), 1)!);
    peer.handleDatagram(packet, HERE, now);
    expect(drain()).toEqual([]);
    expect(countOf('srtp')).toBe(1);
    peer.close();
    expect(countOf('srtp')).toBe(1);
  });

  it('of checks are answered where they come from, and make an address known when it proves itself', () => {
    answer();
    expect(kinds(check(HERE, false))).toEqual(['validated', 'transmit']);
    const again = check(HERE, false);
    expect(kinds(again)).toEqual(['transmit']);
    const [response] = sent(again, 'stun');
    expect(response!.to).toEqual(HERE);
    expect(parseStun(response!.datagram)!.type).toBe(STUN_TYPE.bindingSuccess);
    expect(kinds(check(HERE))).toEqual(['transmit', 'selected']);
    now += 5_000;
    expect(kinds(check(HERE))).toEqual(['transmit', 'validated']);
    expect(peer.heardAt).toBe(now);
  });

  it('of checks that are not authentic get nothing and change nothing', () => {
    peer.offer(0, peer.iceCredentials, false, now);
    expect(check(HERE, true, REMOTE, { ...peer.iceCredentials, pwd: 'x'.repeat(24) })).toEqual([]);
    expect(peer.remoteAddress).toBeUndefined();
    expect(peer.heardAt).toBeUndefined();
    expect(peer.dropCounts.toJSON()).toEqual({ 'ice: bad integrity': 1 });
  });

  it('of RTCP are not sent without keys or without an address', () => {
    peer.sendRtcp(rtcpPacket());
    expect(drain()).toEqual([]);
    peer.offer(0, peer.iceCredentials, false, now);
    check();
    peer.sendRtcp(rtcpPacket());
    expect(drain()).toEqual([]);
  });
});

describe('close', () => {
  it('wipes the keys and ends the handshake', () => {
    connect();
    const { send, receive } = peer.captureContexts()!;
    associate();
    peer.offer(1, createIceCredentials(rng), true, now);
    drain();
    peer.close();
    expect(drain()).toEqual([{ kind: 'stale-keys-destroyed', by: 'closed' }]);
    for (const secret of [send.master.key, send.master.salt, receive.master.key, receive.master.salt])
      expect(secret.disposed).toBe(true);
    expect(peer.nextTimeout()).toBeUndefined();
    expect(peer.sendContext).toBeUndefined();
    peer.close();
    expect(drain()).toEqual([]);
  });

  it('is not undone by what still arrives', () => {
    connect();
    const packet = browserContexts().send.protectRtp(rtpPacket(1), 1)!;
    peer.close();
    drain();
    peer.handleDatagram(packet, HERE, now);
    expect(sent(check(), 'dtls')).toEqual([]);
    expect(answer()).toEqual([]);
    expect(peer.keyEpoch).toBeUndefined();
  });
});

import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { fingerprintOf } from '../../src/transport/dtls/fingerprint.ts';
import { parseStun, STUN_TYPE } from '../../src/transport/ice/stun.ts';
import { concat, fromHex } from '../../src/util/bytes.ts';
import { Broadcast } from '../support/broadcast.ts';
import { datagramKind } from '../support/capture.ts';
import { testIdentity } from '../support/dtls-identity.ts';
import { describeFailures } from '../support/fixture.ts';
import { libdatachannel, werift } from '../support/foreign-stacks.ts';
import { HeadlessPage } from '../support/headless-page.ts';
import { LiveMiddle } from '../support/live-middle.ts';
import { OpenPage } from '../support/open-page.ts';
import type { Direction } from '../support/relay.ts';
import { composures, expectComposed } from '../support/survival.ts';
import { ATTACKED_PROFILE, Thief } from '../support/thief.ts';
import { until } from '../support/wait.ts';

const TIMEOUT_MS = 300_000;
const RECENTLY_MS = 2_000;
const SETTLED_MS = 3_000;

let broadcast: Broadcast;
beforeAll(async () => {
  const env = { SRTP_PROFILES: ATTACKED_PROFILE };
  broadcast = await Broadcast.start({ viewers: 1, record: true, env });
}, TIMEOUT_MS);
afterAll(() => broadcast?.dispose());
describeFailures(() => broadcast);

it('off-path-rebinding: Chromium behind a NAT that gives it another port has its pictures back on the same connection and keys', {
  timeout: TIMEOUT_MS,
}, async () => {
  const [viewer] = broadcast.viewers;
  const before = await viewer!.facts();
  // It may change from one of its interfaces to another in the beginning.
  const peer = await until('Chromium has settled', () => {
    const [one, ...others] = onAir('down');
    return others.length === 0 && sentTo(one ?? '')[0]!.at < performance.now() - SETTLED_MS && one;
  });
  let at: number | undefined;
  // With its next check, which may be seconds away: in silence the page would ask for another connection.
  broadcast.udp.onDatagram = (one) => {
    if (one.peer !== peer || one.direction !== 'up' || parseStun(one.bytes)?.useCandidate !== true)
      return undefined;
    at = one.at;
    broadcast.udp.rebind(one.peer);
    broadcast.udp.onDatagram = undefined;
    return undefined;
  };
  // Whatever comes to this browser from then on was sent to its new address.
  const fresh = () => (at === undefined ? [] : sentTo(peer).filter((one) => one.at > at!));
  await until(
    'media follows',
    () => fresh().filter(({ bytes }) => datagramKind(bytes) === 'rtp').length > 50,
  );
  expect(parseStun(fresh()[0]!.bytes)?.type).toBe(STUN_TYPE.bindingRequest);
  await viewer!.waitPlaying();
  const { epoch, connections } = await viewer!.facts();
  expect({ epoch, connections }).toEqual({ epoch: before.epoch, connections: before.connections });
});

it('middle-control: where the signaling says that its certificate is the right one, the middle gets the media', {
  timeout: TIMEOUT_MS,
}, async () => {
  const identity = await testIdentity();
  const middle = new LiveMiddle(broadcast.udp, identity, []);
  middle.start();
  onTestFinished(() => middle.stop());
  const page = await OpenPage.open({
    name: 'accomplice',
    seed: 2,
    url: broadcast.server.url,
    udpPort: broadcast.udp.port,
    identity,
  });
  onTestFinished(() => page.close());
  await until('the middle is connected to the server', () => middle.seen.connectedToServer > 0);
  await until('media comes to the middle', () => middle.seen.media > 20);
  page.leave();
});

it('middle-active: who ends DTLS on both sides with a certificate of their own gets nothing, and once they are gone both sides find each other', {
  timeout: TIMEOUT_MS,
}, async () => {
  const before = await composures(broadcast);
  const failures = () =>
    broadcast.server
      .events('handshake-failed')
      .filter(({ fields }) => fields.reason === 'fingerprint-mismatch');
  const identity = await testIdentity();
  const der = await broadcast.broadcaster.certificateDer();
  const middle = new LiveMiddle(broadcast.udp, identity, [fingerprintOf(fromHex(der!), 'sha-256')]);
  middle.start();
  onTestFinished(() => middle.stop());
  const page = await broadcast.open('viewer behind the middle');
  await until('the server has counted it', () => failures().length > 0);
  await until(
    'both sides have been lied to',
    () => middle.seen.hellosOfServer > 0 && middle.seen.flightsOfBrowser > 0,
  );
  expect(middle.seen).toMatchObject({ connectedToBrowser: 0, connectedToServer: 0, media: 0 });
  expect(await page.frames()).toEqual([]);
  await expectComposed(broadcast, before);

  middle.stop();
  await broadcast.waitConnected(page, 'viewer');
  await page.waitPlaying();
  expect(middle.seen).toMatchObject({ connectedToBrowser: 0, connectedToServer: 0, media: 0 });
  await page.close();
});

it('off-path-stacks: Chromium, libdatachannel and werift answer what they are asked, again and again, and are sent nothing else before', {
  timeout: TIMEOUT_MS,
}, async () => {
  for (const stack of [libdatachannel, werift]) {
    const page = new HeadlessPage(broadcast.server.url, stack);
    onTestFinished(() => page.close());
    await page.open();
    await until('the visitor sees packets', () => page.video.length > 20);
  }
  // The broadcaster, the viewer and the two.
  const playing = await until('all four have answered twice', () => {
    const peers = onAir();
    return peers.length === 4 && peers.every((peer) => answersOf(peer).length > 1) && peers;
  });
  for (const peer of playing) {
    const others = sentTo(peer).filter(({ bytes }) => parseStun(bytes)?.type !== STUN_TYPE.bindingRequest);
    expect(others[0]!.at).toBeGreaterThanOrEqual(answersOf(peer)[0]!.at);
  }
});

/** Last: it takes the processor for a while, and the relay is of this process. */
it('middle-passive: who records everything between browser and server finds no key in it, of DTLS or of SRTP', {
  timeout: TIMEOUT_MS,
}, async () => {
  const page = await OpenPage.open({
    name: 'known',
    seed: 1,
    url: broadcast.server.url,
    udpPort: broadcast.udp.port,
  });
  onTestFinished(() => page.close());
  const peers = new Set(broadcast.udp.peers);
  await page.onAir(1);
  const peer = broadcast.udp.peers.find((one) => !peers.has(one))!;
  const mine = broadcast.udp.capture.filter((one) => one.peer === peer);
  const [media] = mine.filter(({ bytes }) => datagramKind(bytes) === 'rtp');
  const handshake = mine.filter(({ bytes }) => datagramKind(bytes) === 'dtls');
  expect(handshake.length).toBeGreaterThan(3);

  const thief = new Thief();
  thief.records.push(...handshake.map(({ bytes }) => bytes));
  expect(thief.decrypts([media!.bytes], ATTACKED_PROFILE)).toBe(0);
  const { key, salt } = page.browser.associations[0]!.keys.remote;
  thief.records.push(concat(key.bytes, salt.bytes));
  expect(thief.decrypts([media!.bytes], ATTACKED_PROFILE)).toBe(1);
});

const sentTo = (peer: string) =>
  broadcast.udp.capture.filter((one) => one.peer === peer && one.direction === 'down');
const answersOf = (peer: string) =>
  broadcast.udp.capture.filter(
    (one) =>
      one.peer === peer && one.direction === 'up' && parseStun(one.bytes)?.type === STUN_TYPE.bindingSuccess,
  );

/** Who has sent or been sent media lately. */
function onAir(direction?: Direction): readonly string[] {
  const recent = broadcast.udp.capture.filter(
    ({ at, bytes, ...one }) =>
      at > performance.now() - RECENTLY_MS &&
      datagramKind(bytes) === 'rtp' &&
      one.direction === (direction ?? one.direction),
  );
  return [...new Set(recent.map(({ peer }) => peer))];
}

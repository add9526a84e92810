import { expect } from 'vitest';
import { type Broadcast, waitConnected } from './broadcast.ts';
import type { Signal } from './page-probe.ts';
import { Strain } from './strain.ts';
import type { PageFacts, TestPage } from './test-page.ts';
import { until } from './wait.ts';

/** What the sockets of a busy machine may drop by themselves; 300 ms without keys or an address cost more, in packets of video. */
const TOLERATED_LOSS = 40;

/** How a page stood before an outage. */
interface Standing {
  readonly page: TestPage;
  readonly facts: PageFacts;
  readonly certificate: string | undefined;
  /** How many messages it has exchanged. */
  readonly signals: number;
}

/**
 * Runs an outage at the end of which a server serves, and expects of every page what the whole project is about: the one
 * RTCPeerConnection it has ever made goes on, under new keys, with the same certificate, and with sound and picture. In Firefox, which does not take
 * new keys in place, it goes on until a second one plays.
 *
 * @param strained whether the machine had no time for all of it, where a connection may be replaced; this looks at the server and at this process where it is absent
 */
export async function expectSurvival(
  broadcast: Broadcast,
  outage: () => Promise<unknown>,
  strained?: () => Promise<boolean>,
): Promise<void> {
  const before = await Promise.all(broadcast.pages.map(standing));
  await broadcast.onFile();
  const strain = await Strain.begin(broadcast);
  await outage();
  const backAt = Date.now();
  await Promise.all(
    before.map((one) =>
      one.page.driver.browser === 'firefox'
        ? expectReplaced(one)
        : expectSameConnection(one, strained ?? (() => strain.strained())),
    ),
  );
  await Promise.all(broadcast.viewers.map((viewer) => expectMedia(viewer, backAt)));
}

export async function standing(page: TestPage): Promise<Standing> {
  const facts = await page.waitForFacts(
    'knows the certificate',
    (one) => one.certificateSha256 !== '' && one.epoch >= 0,
  );
  return { page, facts, certificate: await page.certificateDer(), signals: (await page.signals()).length };
}

async function expectSameConnection(
  { page, facts: before, certificate }: Standing,
  strained: () => Promise<boolean>,
): Promise<void> {
  const after = await page.waitForFacts(
    `has keys of an epoch after ${before.epoch}`,
    (facts) => facts.epoch > before.epoch && facts.instance !== before.instance,
  );
  await waitConnected(page);
  expect(certificate).toMatch(/^30/);
  // Where a connection has to be replaced it has none for a moment.
  await until(
    `${page.name} shows the same certificate`,
    async () => (await page.certificateDer()) === certificate,
  );
  await page.waitForFacts('has compared the certificates', (facts) => facts.certificate === 'same');
  expect(after).toMatchObject({ role: before.role, certificateSha256: before.certificateSha256 });
  if (await strained()) return;
  expect(after.connections).toBe(before.connections);
  expect(await page.connections()).toHaveLength(before.connections);
}

async function expectReplaced({ page, facts: before, signals }: Standing): Promise<void> {
  const after = await page.waitForFacts(
    `has keys of an epoch after ${before.epoch} on another connection`,
    ({ epoch, instance, connections }) =>
      epoch > before.epoch && instance !== before.instance && connections > before.connections,
  );
  await waitConnected(page);
  await expectHandover(page, signals);
  await page.waitForFacts('has compared the certificates', (facts) => facts.certificate === 'same');
  expect(after).toMatchObject({ role: before.role, certificateSha256: before.certificateSha256 });
}

/**
 * Among the messages after the first `earlier` ones there is a handover, in its order: the connection that was in use goes when another one plays
 * that was offered in its place. What a kill has cut off before that may be among them. That a broadcaster's plays the server sees itself, perhaps
 * before its page has said so.
 */
export async function expectHandover(page: TestPage, earlier: number): Promise<void> {
  const is = (type: string) => (signal: Signal) => signal.message.type === type;
  const before = (await page.signals()).slice(0, earlier).findLast(is('playing'))?.message.connection;
  const { messages, left, playing } = await until(`${page.name} has left its old connection`, async () => {
    const later = (await page.signals()).slice(earlier);
    const close = later.findIndex((signal) => is('close')(signal) && signal.message.connection === before);
    const plays = later.findIndex(is('playing'));
    return close >= 0 && plays >= 0 && { messages: later, left: close, playing: plays };
  });
  const { connection } = messages[playing]!.message;
  const offer = messages.findIndex(
    (signal) => is('offer')(signal) && signal.message.connection === connection,
  );
  expect(messages[offer]!.message.kind).toBe('replacement');
  expect(connection).not.toBe(before);
  expect(offer).toBeLessThan(Math.min(playing, left));
  if (messages[offer]!.message.role === 'viewer') expect(playing).toBeLessThan(left);
}

/** What an attack would change of a page if it reached anything. */
interface Composure {
  /** How it stands, and how often it has had to ask for help. */
  readonly standing: unknown;
  /** Packets of video that did not come by themselves so far. */
  readonly lost: number;
}

/** How all pages stand, and what the machine has time for from then on. */
export interface Composures {
  readonly pages: readonly Composure[];
  readonly strain: Strain;
}

export async function composures(broadcast: Broadcast): Promise<Composures> {
  const pages = await Promise.all(broadcast.pages.map(composure));
  return { pages, strain: await Strain.begin(broadcast) };
}

/** The pictures go on, no page stands otherwise than before, and hardly a packet was missed, unless that is the machine's own doing. */
export async function expectComposed(broadcast: Broadcast, before: Composures): Promise<void> {
  expect(broadcast.server.running).toBe(true);
  const now = Date.now();
  for (const viewer of broadcast.viewers) await viewer.waitPlaying(now);
  const after = await Promise.all(broadcast.pages.map(composure));
  if (await before.strain.strained()) return;
  expect(after.map(({ standing }) => standing)).toEqual(before.pages.map(({ standing }) => standing));
  for (const [i, { lost }] of after.entries())
    expect(lost - before.pages[i]!.lost).toBeLessThan(TOLERATED_LOSS);
}

async function composure(page: TestPage): Promise<Composure> {
  const { role, epoch, connections, instance } = await page.facts();
  const stalled = (await page.signals()).filter(({ message }) => message.type === 'stalled').length;
  const video = role === 'viewer' ? await page.stat('inbound-rtp', 'video') : undefined;
  const states = await page.connections();
  return {
    standing: { role, epoch, connections, instance, states, stalled, keyframesAskedFor: video?.pliCount },
    lost: Number(video?.packetsLost ?? 0),
  };
}

/** Waits until this viewer sees and hears something that arrived after `since` (milliseconds since 1970). */
export async function expectMedia(viewer: TestPage, since: number): Promise<void> {
  await viewer.waitPlaying(since);
  // A connection that has just taken the place of another begins to count anew.
  const packets = async () => Number((await viewer.stat('inbound-rtp', 'audio')).packetsReceived);
  const what = `${viewer.name} hears something`;
  const heard = await until(what, packets);
  await until(what, async () => (await packets()) !== heard);
}

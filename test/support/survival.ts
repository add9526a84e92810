import { expect } from 'vitest';
import { type Broadcast, waitConnected } from './broadcast.ts';
import type { PageFacts, TestPage } from './test-page.ts';
import { until } from './wait.ts';

const SURVIVAL_TIMEOUT_MS = 30_000;
/** What the sockets of a busy machine may drop by themselves; 300 ms without keys or an address cost more, in packets of video. */
const TOLERATED_LOSS = 40;

/** How a page stood before an outage. */
interface Standing {
  readonly page: TestPage;
  readonly facts: PageFacts;
  readonly certificate: string | undefined;
}

/**
 * Runs an outage at the end of which a server serves, and expects of every page what the whole project is about: the one
 * RTCPeerConnection it has ever made goes on, under new keys, with the same certificate, and with sound and picture.
 */
export async function expectSurvival(broadcast: Broadcast, outage: () => Promise<unknown>): Promise<void> {
  const before = await Promise.all(broadcast.pages.map(standing));
  await broadcast.onFile();
  await outage();
  const backAt = Date.now();
  await Promise.all(before.map((one) => expectSameConnection(one)));
  await Promise.all(broadcast.viewers.map((viewer) => expectMedia(viewer, backAt)));
}

export async function standing(page: TestPage): Promise<Standing> {
  const facts = await page.waitForFacts(
    'knows the certificate',
    (one) => one.certificateSha256 !== '' && one.epoch >= 0,
  );
  return { page, facts, certificate: await page.certificateDer() };
}

async function expectSameConnection({ page, facts: before, certificate }: Standing): Promise<void> {
  const after = await page.waitForFacts(
    `has keys of an epoch after ${before.epoch}`,
    (facts) => facts.epoch > before.epoch && facts.instance !== before.instance,
    SURVIVAL_TIMEOUT_MS,
  );
  await waitConnected(page, SURVIVAL_TIMEOUT_MS);
  expect(certificate).toMatch(/^30/);
  expect(await page.certificateDer()).toBe(certificate);
  await page.waitForFacts('has compared the certificates', (facts) => facts.certificate === 'same');
  expect(after).toMatchObject({
    role: before.role,
    connections: before.connections,
    certificateSha256: before.certificateSha256,
  });
  expect(await page.connections()).toHaveLength(before.connections);
}

/** What an attack would change of a page if it reached anything. */
interface Composure {
  /** How it stands, and how often it has had to ask for help. */
  readonly standing: unknown;
  /** Packets of video that did not come by themselves so far. */
  readonly lost: number;
}

export function composures(broadcast: Broadcast): Promise<readonly Composure[]> {
  return Promise.all(broadcast.pages.map(composure));
}

/** The pictures go on, no page stands otherwise than before, and hardly a packet was missed. */
export async function expectComposed(broadcast: Broadcast, before: readonly Composure[]): Promise<void> {
  expect(broadcast.server.running).toBe(true);
  const now = Date.now();
  for (const viewer of broadcast.viewers) await viewer.waitPlaying(now);
  const after = await composures(broadcast);
  expect(after.map(({ standing }) => standing)).toEqual(before.map(({ standing }) => standing));
  for (const [i, { lost }] of after.entries()) expect(lost - before[i]!.lost).toBeLessThan(TOLERATED_LOSS);
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
  await viewer.waitPlaying(since, SURVIVAL_TIMEOUT_MS);
  const heard = Number((await viewer.stat('inbound-rtp', 'audio')).packetsReceived);
  await until(
    `${viewer.name} hears something`,
    async () => Number((await viewer.stat('inbound-rtp', 'audio')).packetsReceived) > heard,
  );
}

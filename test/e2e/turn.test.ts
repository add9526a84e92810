import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sharedBrowser } from '../support/fixture.ts';
import { ServerProcess } from '../support/process.ts';
import { Strain } from '../support/strain.ts';
import { expectMedia } from '../support/survival.ts';
import type { TestPage } from '../support/test-page.ts';
import { TurnServer } from '../support/turn-server.ts';
import { until } from '../support/wait.ts';

const SECRET = 'north-north-north-north';

const browser = sharedBrowser();
let coturn: TurnServer;
beforeAll(async () => {
  coturn = await TurnServer.start(SECRET);
});
afterAll(() => coturn.stop());

/** Makes the browser one whose network lets nothing through but the relay. Runs in the page. */
function relayOnly(): void {
  const RELAY = { iceTransportPolicy: 'relay' } as const;
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration?: RTCConfiguration) {
      super({ ...configuration, ...RELAY });
      this.addEventListener('icecandidateerror', ({ errorCode }) => {
        window.probe.violations.push(`TURN ${errorCode}`);
      });
    }
    override setConfiguration(configuration?: RTCConfiguration): void {
      super.setConfiguration({ ...configuration, ...RELAY });
    }
  };
}

/** Names in the credentials that the page was told, in their order. */
async function names(page: TestPage): Promise<string[]> {
  const signals = await page.signals();
  return signals.flatMap(({ message }) =>
    message.type === 'relays'
      ? (message.servers as { username: string }[]).map(({ username }) => username)
      : [],
  );
}

async function isRelayed(page: TestPage): Promise<boolean> {
  const reports = await page.stats();
  const transport = reports.find(({ type }) => type === 'transport');
  const pair = reports.find(({ id }) => id === transport?.selectedCandidatePairId);
  return reports.find(({ id }) => id === pair?.localCandidateId)?.candidateType === 'relay';
}

describe('a viewer whom only a relay reaches', { timeout: 300_000 }, () => {
  it('watches, keeps the picture over a kill with new credentials, and sees nothing where they are not good', async () => {
    const server = await ServerProcess.start({ env: { TURN_URLS: coturn.url, TURN_SECRET: SECRET } });
    try {
      const broadcaster = await browser().openPage(server.url, 'broadcaster');
      await broadcaster.waitForFacts(
        'is live',
        ({ role, state }) => role === 'broadcaster' && state === 'live',
      );
      const viewer = await browser().openPage(server.url, 'viewer behind a relay', relayOnly);
      await expectMedia(viewer, Date.now());
      expect(await isRelayed(viewer)).toBe(true);
      expect(await isRelayed(broadcaster)).toBe(false);
      expect(await viewer.violations()).toEqual([]);
      const [first] = await names(viewer);

      const strain = await Strain.begin({ server, pages: [broadcaster, viewer] });
      const { killedAtWall } = await server.restart(1_500);
      await expectMedia(viewer, killedAtWall + 1_500);
      const facts = await viewer.waitForFacts(
        'has new keys',
        ({ epoch, restarts }) => epoch >= 1 && restarts === 1,
      );
      if (!(await strain.strained())) expect(facts.connections).toBe(1);
      expect(await isRelayed(viewer)).toBe(true);
      const later = (await names(viewer)).at(-1)!;
      expect(later.split(':')[1]).toBe(first!.split(':')[1]);
      expect(Number(later.split(':')[0])).toBeGreaterThan(Number(first!.split(':')[0]));
      await until('coturn knows the new name', () => coturn.log.includes(later));
      expect([...server.runs.map(({ stdout }) => stdout)].join('')).not.toContain(SECRET);

      // Control: with another secret than coturn's nothing gets through, and nothing else has let the one before through.
      const stranger = await ServerProcess.start({
        env: { TURN_URLS: coturn.url, TURN_SECRET: SECRET.toUpperCase() },
      });
      try {
        const on = await browser().openPage(stranger.url, 'broadcaster of another server');
        await on.waitForFacts('is live', ({ role, state }) => role === 'broadcaster' && state === 'live');
        const shut = await browser().openPage(stranger.url, 'viewer behind a relay that refuses', relayOnly);
        await shut.waitForFacts('is in', ({ role }) => role === 'viewer');
        const refused = (await names(shut))[0]!;
        await until('coturn has refused it', () => coturn.log.includes(refused));
        // RFC 8656 §5: what the name or the password is not.
        await until('its browser is refused', async () => (await shut.violations()).includes('TURN 401'));
        expect(await shut.frames()).toEqual([]);
      } finally {
        await stranger.dispose();
      }
    } finally {
      await server.dispose();
    }
  });
});

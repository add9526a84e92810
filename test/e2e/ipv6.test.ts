import { describe, expect, it } from 'vitest';
import { sharedBrowser } from '../support/fixture.ts';
import { ServerProcess } from '../support/process.ts';
import { Strain } from '../support/strain.ts';
import { expectMedia } from '../support/survival.ts';
import type { TestPage } from '../support/test-page.ts';

const browser = sharedBrowser();

/** From where its browser exchanges media. What it says of the other end is empty where the server's check came before its own. */
async function ownAddress(page: TestPage): Promise<unknown> {
  const reports = await page.stats();
  const transport = reports.find(({ type }) => type === 'transport');
  const pair = reports.find(({ id }) => id === transport?.selectedCandidatePairId);
  return reports.find(({ id }) => id === pair?.localCandidateId)?.address;
}

describe('a server on all addresses of both families', { timeout: 300_000 }, () => {
  it('carries page, signaling and media over IPv6, beside a page over IPv4, and over a kill', async () => {
    const server = await ServerProcess.start({ env: { HOST: '::', ANNOUNCED_ADDRESS: '::1' } });
    try {
      const broadcaster = await browser().openPage(`http://[::1]:${server.port}/`, 'broadcaster over IPv6');
      await broadcaster.waitForFacts(
        'is live',
        ({ role, state }) => role === 'broadcaster' && state === 'live',
      );
      const viewers = [
        await browser().openPage(`http://[::1]:${server.port}/`, 'viewer over IPv6'),
        await browser().openPage(`http://127.0.0.1:${server.port}/`, 'viewer whose page came over IPv4'),
      ];
      for (const viewer of viewers) await expectMedia(viewer, Date.now());
      const pages = [broadcaster, ...viewers];
      for (const page of pages) expect(await ownAddress(page)).toContain(':');
      const strain = await Strain.begin({ server, pages });
      const { killedAtWall } = await server.restart(300);
      for (const viewer of viewers) await expectMedia(viewer, killedAtWall + 300);
      for (const page of pages) {
        await page.waitForFacts('has come back', ({ restarts, epoch }) => restarts === 1 && epoch >= 1);
        expect(await ownAddress(page)).toContain(':');
        if (!(await strain.strained())) expect(await page.connections()).toHaveLength(1);
      }
    } finally {
      await server.dispose();
    }
  });

  it('offers what is announced in the order given', async () => {
    const server = await ServerProcess.start({ env: { HOST: '::', ANNOUNCED_ADDRESS: '127.0.0.1,::1' } });
    try {
      const page = await browser().openPage(`http://127.0.0.1:${server.port}/`, 'visitor');
      await page.waitForFacts('is live', ({ role, state }) => role === 'broadcaster' && state === 'live');
      const offer = (await page.signals()).find(({ message }) => message.type === 'offer');
      const offered = [
        ...String(offer?.message.sdp).matchAll(/^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host/gm),
      ];
      expect([...new Set(offered.map(([, ip, port]) => `${ip} ${port}`))]).toEqual(
        ['127.0.0.1', '::1'].map((ip) => `${ip} ${server.udpPort}`),
      );
    } finally {
      await server.dispose();
    }
  });
});

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Visit, VisitState } from '../../src/client/index.ts';
import { prepareBroadcast, sharedBrowser } from '../support/fixture.ts';
import { LOOPBACK } from '../support/ports.ts';
import { ROOT } from '../support/process.ts';
import { Strain } from '../support/strain.ts';
import type { TestPage } from '../support/test-page.ts';
import { until } from '../support/wait.ts';

declare global {
  interface Window {
    visit: Visit;
    streams: MediaStream[];
  }
}

const browser = sharedBrowser();
const CLIENT = readFileSync(join(ROOT, 'dist/client.js'));

/** Somebody else's site, whose page shows the broadcast of a server elsewhere, and does this whenever it is called back. Gives its port. */
async function embed(server: () => string, also = ''): Promise<number> {
  const page =
    () => `<!doctype html><title>x</title><video autoplay muted playsinline></video><script type="module">
    import { connect } from '/client.js';
    window.streams = [];
    window.visit = connect({
      url: '${server()}',
      role: 'viewer',
      onStream: (stream) => {
        streams.push(stream);
        document.querySelector('video').srcObject = stream;
        ${also}
      },
      onChange: () => { ${also} },
    });
  </script>`;
  const site = createServer((request, response) => {
    const isScript = request.url === '/client.js';
    response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? CLIENT : page());
  });
  site.listen(0, LOOPBACK);
  await once(site, 'listening');
  onTestFinished(() => void site.close());
  return (site.address() as { port: number }).port;
}

const stateOf = (page: TestPage): Promise<VisitState> =>
  page.driver.evaluate(() => window.visit.state, undefined);

function reaches(page: TestPage, what: string, test: (state: VisitState) => boolean): Promise<VisitState> {
  return until(`${page.name} ${what}`, async () => {
    const state = await stateOf(page);
    return test(state) ? state : undefined;
  });
}

describe('rekeycast/client in the page of somebody else', { timeout: 300_000 }, () => {
  it('views only, goes on over kill -9 on the same stream, and leaves', async () => {
    let url = '';
    const port = await embed(() => url);
    const origin = `http://${LOOPBACK}:${port}`;
    const broadcast = await prepareBroadcast({ browser: browser(), env: { PUBLIC_ORIGIN: origin } });
    url = broadcast.tcp.url;

    const viewer = await browser().openPage(origin, 'embedded');
    onTestFinished(() => viewer.close());
    await reaches(viewer, 'waits', ({ state, role }) => state === 'waiting' && role === 'viewer');
    const broadcaster = await broadcast.openBroadcaster();
    await viewer.waitPlaying(0);

    const strain = await Strain.begin({ server: broadcast.server, pages: [viewer, broadcaster] });
    const { run } = await broadcast.server.restart(200);
    await reaches(viewer, 'has new keys', ({ epoch, restarts }) => (epoch ?? 0) >= 1 && restarts === 1);
    await viewer.waitPlaying(run.spawnedAtWall);
    expect(await stateOf(viewer)).toMatchObject({ problem: undefined, certificate: 'same' });
    if (!(await strain.strained())) expect((await stateOf(viewer)).connections).toBe(1);
    expect(await viewer.driver.evaluate(() => new Set(window.streams).size, undefined)).toBe(1);

    await viewer.driver.evaluate(() => window.visit.close(), undefined);
    await broadcaster.waitForFacts('is alone', ({ viewers }) => viewers === 0);
    expect((await viewer.connections()).map(({ connection }) => connection)).toEqual(['closed']);
  });

  it('goes on whatever the page throws when it is called back, and can be left from there', async () => {
    let url = '';
    const faults = "if (window.leaves) window.visit.close(); throw new Error('of the page');";
    const port = await embed(() => url, faults);
    const origin = `http://${LOOPBACK}:${port}`;
    const broadcast = await prepareBroadcast({ browser: browser(), env: { PUBLIC_ORIGIN: origin } });
    url = broadcast.tcp.url;
    const broadcaster = await broadcast.openBroadcaster();
    const viewer = await browser().openPage(origin, 'embedded');
    onTestFinished(() => viewer.close());
    await viewer.waitPlaying(0);
    const { run } = await broadcast.server.restart(200);
    await viewer.waitPlaying(run.spawnedAtWall);

    await viewer.driver.evaluate(() => {
      Object.assign(window, { leaves: true });
      window.visit.setVolume(1);
    }, undefined);
    await broadcaster.waitForFacts('is alone', ({ viewers }) => viewers === 0);
  });

  it('is not let in from an origin that the server does not know', async () => {
    let url = '';
    const port = await embed(() => url);
    const env = { PUBLIC_ORIGIN: `http://${LOOPBACK}:${port}` };
    const broadcast = await prepareBroadcast({ browser: browser(), env });
    url = broadcast.tcp.url;
    const foreign = await browser().openPage(`http://localhost:${port}`, 'foreign');
    onTestFinished(() => foreign.close());
    const asked = () =>
      foreign.driver.evaluate(
        () => performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/readyz')).length,
        undefined,
      );
    await until('it has asked and asked', async () => (await asked()) > 3);
    expect(await stateOf(foreign)).toMatchObject({ state: 'connecting', role: undefined, connections: 0 });
  });
});

import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { describe, expect, it, onTestFinished } from 'vitest';
import { runSnapshot } from '../../../src/cli/snapshot.ts';
import type { tryRekeyInPlace } from '../../../src/client/trial.ts';
import type { Inspected } from '../../../src/snapshot/inspect.ts';
import type { Broadcast } from '../../support/broadcast.ts';
import { ran } from '../../support/command.ts';
import { FirefoxBrowser } from '../../support/firefox.ts';
import { prepareBroadcast, sharedBrowser } from '../../support/fixture.ts';
import { hostAddress } from '../../support/ports.ts';
import { ROOT } from '../../support/process.ts';
import type { TestPage } from '../../support/test-page.ts';
import { until } from '../../support/wait.ts';

declare global {
  var trial: { tryRekeyInPlace: typeof tryRekeyInPlace };
  var made: RTCPeerConnection[];
}

const chromium = sharedBrowser();

const SOURCE = buildSync({
  entryPoints: [join(ROOT, 'src/client/trial.ts')],
  bundle: true,
  write: false,
  format: 'iife',
  globalName: 'trial',
}).outputFiles[0]!.text;

interface Trial {
  readonly verdict: boolean;
  /** The states that each connection went through. */
  readonly went: readonly (readonly string[])[];
  /** What it leaves open. */
  readonly left: readonly string[];
}

/** What the trial says in a page without anything else. */
async function trialIn(page: TestPage): Promise<Trial> {
  return page.driver.evaluate(async (source) => {
    window.made = [];
    const went: string[][] = [];
    // As a page's own program has it: without a policy of content, a script may be a text.
    new Function(`${source}; globalThis.trial = trial;`)();
    const create = (): RTCPeerConnection => {
      const pc = new RTCPeerConnection();
      const states: string[] = [];
      pc.addEventListener('connectionstatechange', () => states.push(pc.connectionState));
      window.made.push(pc);
      went.push(states);
      return pc;
    };
    const verdict = await window.trial.tryRekeyInPlace(create);
    return { verdict, went, left: window.made.map(({ signalingState }) => signalingState as string) };
  }, SOURCE);
}

async function generation({ server }: Broadcast): Promise<number> {
  const { out } = await ran((io) => runSnapshot(['inspect', '--json'], server.env, io));
  const { files } = JSON.parse(out) as { files: readonly Inspected[] };
  return files.find(({ kind }) => kind === 'identity')?.generation ?? 0;
}

describe('whether a browser takes new keys in place', { timeout: 120_000 }, () => {
  it('is yes in Chromium, each time, and nothing stays open', async () => {
    const page = await chromium().openPage('about:blank');
    onTestFinished(() => page.close());
    for (let times = 0; times < 3; times++)
      expect(await trialIn(page)).toMatchObject({ verdict: true, left: ['closed', 'closed', 'closed'] });
    expect(page.complaints).toEqual([]);
  });

  it('is no in Firefox ESR, which then says nothing to the server, and nothing on its console', async () => {
    const firefox = await FirefoxBrowser.launch();
    onTestFinished(() => firefox.close());
    const page = await firefox.openPage('about:blank');
    const { verdict, went, left } = await trialIn(page);
    expect([verdict, left]).toEqual([false, ['closed', 'closed', 'closed']]);
    // It was asked: the first association is there, and of the second nothing ever comes.
    expect(went.map((states) => states.includes('connected'))).toEqual([true, true, false]);
    expect(page.complaints).toEqual([]);

    const running = await prepareBroadcast({ browser: chromium(), address: hostAddress() });
    await running.openBroadcaster();
    const tried = await firefox.openPage(running.tcp.url, 'firefox', () => {
      window.made = [];
      const native = window.RTCPeerConnection;
      window.RTCPeerConnection = class extends native {
        constructor(configuration?: RTCConfiguration) {
          super(configuration);
          window.made.push(this);
        }
      };
    });
    await tried.waitPlaying(0, 20_000);
    const states = (): Promise<string[]> =>
      tried.driver.evaluate(
        () => window.made.map(({ signalingState }) => signalingState as string),
        undefined,
      );
    await until('it has tried and cleaned up', async () => {
      const all = await states();
      return all.length === 4 && all.filter((state) => state === 'closed').length === 3;
    });
    expect((await tried.connections()).map(({ connection }) => connection)).toEqual(['connected']);
    expect((await tried.signals()).filter(({ message }) => message.type === 'capabilities')).toEqual([]);
    expect([tried.complaints, await tried.violations()]).toEqual([[], []]);
  });

  it('is told to the server where the hint said no and the trial yes, and it acts on it', async () => {
    const running = await prepareBroadcast({ browser: chromium() });
    await running.openBroadcaster();
    // A Chromium that looks like a Firefox.
    const viewer = await chromium().openPage(running.tcp.url, 'viewer', () => {
      delete (RTCDtlsTransport.prototype as { onerror?: unknown }).onerror;
    });
    onTestFinished(() => viewer.close());
    await viewer.waitPlaying(0, 60_000);
    const said = async (type: string) =>
      (await viewer.signals()).find(({ message }) => message.type === type);
    expect((await said('join'))!.message.capabilities).toEqual({ rekeyInPlace: false });
    const word = await until('it has told', () => said('capabilities'));
    expect(word.message.capabilities).toEqual({ rekeyInPlace: true });
    expect(viewer.complaints).toEqual([]);
    // The second write from now on has begun after the word came.
    const told = await generation(running);
    await until('it is on file', async () => (await generation(running)) >= told + 2, 60_000);
    await running.server.restart(300);
    await viewer.waitForFacts('has new keys', ({ epoch }) => epoch > 0, 30_000);
    const offers = (await viewer.signals()).filter(({ message }) => message.type === 'offer');
    // On a slow machine a second connection may follow, as for every browser.
    expect(offers.map(({ message }) => message.kind).slice(0, 2)).toEqual(['first', 'rekey']);
  });
});

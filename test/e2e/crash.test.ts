import { describe, expect, it } from 'vitest';
import { clientHelloRandom, datagramKind, hasFinished } from '../support/capture.ts';
import { sharedBrowser, startBroadcast } from '../support/fixture.ts';
import type { Datagram } from '../support/relay.ts';
import { Strain } from '../support/strain.ts';
import { expectMedia, expectSurvival } from '../support/survival.ts';
import { elapse, until } from '../support/wait.ts';

const TAKEOVER_TIMEOUT_MS = 60_000;

const browser = sharedBrowser();

describe('crashes at bad moments', { timeout: 300_000 }, () => {
  it('go on after five kills in a row, at any stage of the start', async () => {
    const running = await startBroadcast({ browser: browser(), record: true });
    const { server } = running;
    await expectSurvival(running, async () => {
      await server.kill();
      for (const stage of ['spawned', 'resumed', 'ready', 'resumed'] as const) {
        const resumes = server.events('started').length;
        server.spawn();
        // Resumed: the media snapshot is taken away, and the next one is not written yet or just so.
        if (stage === 'resumed')
          await until('it has resumed', () => server.events('started').length > resumes, undefined, 1);
        if (stage === 'ready') await server.ready();
        await server.kill();
      }
      await server.start();
    });
    expect((await running.nonceReport()).reuses).toEqual([]);
  });

  const moments: [string, (datagram: Datagram) => boolean][] = [
    ['its first ClientHello leaves', (one) => clientHelloRandom(one.bytes) !== undefined],
    ['a browser answers it', (one) => one.direction === 'up' && datagramKind(one.bytes) === 'dtls'],
    ['its Finished leaves', (one) => one.direction === 'down' && hasFinished(one.bytes)],
    ['a browser’s Finished arrives', (one) => one.direction === 'up' && hasFinished(one.bytes)],
  ];
  it.each(moments)('go on after a kill in the middle of the re-key, when %s', async (_what, isMoment) => {
    const running = await startBroadcast({ browser: browser(), record: true });
    const { server, udp } = running;
    await expectSurvival(running, async () => {
      await server.kill();
      let struck = false;
      udp.onDatagram = (datagram) => {
        if (struck || !isMoment(datagram)) return undefined;
        struck = true;
        server.signal('SIGKILL');
        return undefined;
      };
      server.spawn();
      await until('the moment has come', () => struck);
      udp.onDatagram = undefined;
      await server.exited();
      await server.start();
    });
    expect((await running.nonceReport()).reuses).toEqual([]);
  });

  it('go on after a kill when a page has just got its re-key offer', async () => {
    const running = await startBroadcast({ browser: browser(), record: true });
    const { server, tcp } = running;
    await expectSurvival(running, async () => {
      await server.kill();
      let struck = false;
      tcp.onBytes = (direction, bytes) => {
        if (struck || direction !== 'down' || !bytes.includes('"type":"offer"')) return;
        struck = true;
        server.signal('SIGKILL');
      };
      server.spawn();
      await until('an offer has passed', () => struck);
      tcp.onBytes = undefined;
      await server.exited();
      await server.start();
    });
    expect((await running.nonceReport()).reuses).toEqual([]);
  });

  it('go on after a kill 100 ms after a viewer has joined, and the viewer too', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const late = await running.open('late viewer');
    await late.waitForFacts('has a role', (facts) => facts.role === 'viewer');
    await elapse(100);
    await expectSurvival(running, () => running.server.restart(300));
    await expectMedia(late, Date.now());
  });
});

describe('comings and goings during an outage', { timeout: 300_000 }, () => {
  it('lets a viewer in who came when the server was down', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const { server, tcp } = running;
    let struck = false;
    // The page has loaded; its first word to the server finds nobody there.
    tcp.onBytes = (direction, bytes) => {
      if (struck || direction !== 'up' || !bytes.includes('GET /ws')) return;
      struck = true;
      server.signal('SIGKILL');
    };
    const strain = await Strain.begin(running);
    const late = await running.open('late viewer');
    await until('the page has called', () => struck);
    tcp.onBytes = undefined;
    await server.exited();
    await expectSurvival(running, async () => {
      await elapse(1_000);
      await server.start();
    });
    await expectMedia(late, Date.now());
    expect((await late.facts()).role).toBe('viewer');
    if (!(await strain.strained())) expect((await late.facts()).connections).toBe(1);
  });

  it('lets another page broadcast after a restart, on the viewers’ same connections and without repeating a nonce', async () => {
    const running = await startBroadcast({ browser: browser(), record: true });
    const { server, viewers } = running;
    const [watcher, successor] = [viewers[0]!, viewers[1]!];
    await running.noteOwners();
    const strain = await Strain.begin({ server, pages: viewers });
    await server.kill();
    await running.broadcaster.close();
    await elapse(500);
    await server.start();
    await until(
      'the other page is the broadcaster',
      async () => {
        if ((await successor.facts()).role === 'broadcaster') return true;
        await successor.goLive(5_000);
        return undefined;
      },
      TAKEOVER_TIMEOUT_MS,
      500,
    );
    const tookOverAt = Date.now();
    await expectMedia(watcher, tookOverAt);
    expect(await watcher.facts()).toMatchObject({ role: 'viewer', certificate: 'same' });
    if (!(await strain.strained())) expect((await watcher.facts()).connections).toBe(1);
    expect((await running.nonceReport()).reuses).toEqual([]);
  });
});

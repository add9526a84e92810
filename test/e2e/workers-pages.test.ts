import { expect, it, onTestFinished } from 'vitest';
import { sharedBrowser } from '../support/fixture.ts';
import { freePorts } from '../support/ports.ts';
import { ServerProcess } from '../support/process.ts';
import type { TestPage } from '../support/test-page.ts';

const browser = sharedBrowser();

it('watches in a worker, goes on over kill -9, and takes the broadcast over from there', {
  timeout: 300_000,
}, async () => {
  const server = await ServerProcess.prepare({ udpPort: await freePorts(3), env: { WORKERS: '2' } });
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(server.describe());
    await server.dispose();
  });
  await server.start();
  const open = async (name: string): Promise<TestPage> => {
    const page = await browser().openPage(server.url, name);
    onTestFinished(() => page.close());
    return page;
  };
  const first = await open('the first');
  await first.waitForFacts('broadcasts', ({ role, state }) => role === 'broadcaster' && state === 'live');
  const [second, third] = [await open('the second'), await open('the third')];
  for (const viewer of [second, third]) await viewer.waitPlaying();
  expect(server.events('session-opened').map(({ fields }) => fields.worker)).toEqual([undefined, 1, 2]);

  const { run } = await server.restart(300);
  for (const viewer of [second, third]) {
    // On a second connection where the answer to the first was not on disk yet.
    await viewer.waitForFacts(
      'has new keys',
      ({ epoch, connections, restarts }) => ((epoch ?? 0) >= 1 || connections > 1) && restarts === 1,
    );
    await viewer.waitPlaying(run.spawnedAtWall);
    expect(await viewer.facts()).toMatchObject({ certificate: 'same', error: '' });
  }

  await first.click(/stop/);
  await second.waitForFacts('sees that the place is free', ({ state }) => state === 'waiting');
  const takenAt = Date.now();
  await second.goLive();
  await second.waitForFacts('broadcasts', ({ role, state }) => role === 'broadcaster' && state === 'live');
  for (const viewer of [first, third]) await viewer.waitPlaying(takenAt);
  expect((await second.facts()).error).toBe('');
  await third.waitForFacts('knows that two watch', ({ viewers }) => viewers === 2);
});

import { afterEach, describe, expect, it } from 'vitest';
import { readConfig } from '../../../../src/config.ts';
import { Crew, MAX_MEDIA_AHEAD } from '../../../../src/server/workers/crew.ts';
import type { StoreEvent } from '../../../../src/snapshot/store.ts';
import { until } from '../../../support/wait.ts';

const PROGRAM = new URL('../../../support/echo-worker.mjs', import.meta.url);

let crew: Crew;
afterEach(() => crew.abandon());

const logged: unknown[] = [];
const stored: StoreEvent[] = [];
const lost: unknown[] = [];

function hire(numbers: readonly number[], env: Record<string, string> = {}): Crew {
  for (const list of [logged, stored, lost]) list.length = 0;
  const tell = (event: object, words?: string) => logged.push({ ...event, words });
  crew = new Crew({
    numbers,
    config: readConfig(env),
    log: { debug: tell, info: tell, warn: tell, error: tell },
    stored: (event) => stored.push(event),
    lost: (cause) => lost.push(cause),
    program: PROGRAM,
  });
  return crew;
}

describe('a crew', () => {
  it('gives each of its workers a port of its own, behind that of the server', async () => {
    expect(await hire([1, 2, 5]).bind('::1', 9_000, false)).toEqual([9_001, 9_002, 9_005]);
    expect(await crew.bind('::1', 'any', false)).toEqual([0, 0, 0]);
  });

  it('throws what one of them could not do, under its code', async () => {
    await expect(hire([1, 2]).load('refuse')).rejects.toMatchObject({
      code: 'KEY_MISSING',
      message: 'no key',
    });
    await expect(crew.load('/run')).resolves.toBeDefined();
  });

  it('says that a disk hangs where it hangs for one of them', async () => {
    expect(await hire([1]).settle()).toBe('settled');
    await crew.abandon();
    expect(await hire([1, 2]).settle()).toBe('disk-hangs');
  });

  it('hears what they have said before anybody listened, and after', async () => {
    const heard: unknown[] = [];
    hire([1, 2]);
    await crew.load(undefined);
    crew.listen((number, message) => heard.push([number, message]));
    expect(heard).toEqual(
      expect.arrayContaining([
        [1, { kind: 'viewers', viewers: 1 }],
        [2, { kind: 'viewers', viewers: 2 }],
      ]),
    );
    crew.post(2, { kind: 'rekey' });
    await until('it has answered', () => heard.length === 3);
    expect(heard.at(-1)).toEqual([2, { kind: 'keyframe-wanted' }]);
  });

  it('passes on what they log, with their number, and what happens to their files', async () => {
    await hire([3]).load(undefined);
    expect(logged).toEqual([{ event: 'media-not-written', words: 'why', worker: 3 }]);
    expect(stored).toEqual([{ level: 'warn', event: 'media-expired', message: 'late' }]);
  });

  it('loses nobody whom it lets go, and leaves no question open', async () => {
    hire([1, 2]);
    const open = expect(crew.renew(0)).rejects.toThrow('has ended');
    await crew.dismiss(1, 0);
    await open;
    expect(crew.numbers).toEqual([2]);
    await crew.release(0);
    expect(crew.numbers).toEqual([]);
    expect(lost).toEqual([]);
  });

  it('lets go of all of them before it says that one has failed: until then the directories are theirs', async () => {
    await hire([1, 2, 3]).load(undefined);
    await expect(crew.release(1)).rejects.toThrow('no last snapshot');
    expect(crew.numbers).toEqual([]);
    expect(lost).toEqual([]);
  });

  it('has of one that does not say how it is what it has said before, and keeps nobody waiting', async () => {
    hire([1, 2]);
    const first = await crew.facts();
    expect([...first.keys()]).toEqual([1, 2]);
    expect(first.get(2)).toMatchObject({ udpPort: 7, silentMs: 0 });
    expect(await crew.facts()).toEqual(first);
    const both = crew.facts();
    await crew.dismiss(1, 0);
    expect([...(await both).keys()]).toEqual([2]);
  });

  it('keeps a worker that takes no media from having more and more before it, and goes on when it takes some', async () => {
    await hire([1, 2]).load(undefined);
    let answers = 0;
    crew.listen((_, { kind }) => {
      if (kind === 'keyframe-wanted') answers++;
    });
    const media = { kind: 'media', packets: new Uint8Array(10) } as const;
    const all = (): void => {
      for (let i = 0; i < MAX_MEDIA_AHEAD; i++) crew.post(1, media);
    };
    all();
    expect(crew.drops.toJSON()).toEqual({});
    crew.post(1, media);
    crew.post(2, media);
    expect(crew.drops.toJSON()).toEqual({ 'media for a worker': 1 });
    crew.post(1, { kind: 'rekey' });
    await until('it has taken all', () => answers === 1);
    all();
    expect(crew.drops.toJSON()).toEqual({ 'media for a worker': 1 });
  });

  it('tells once of one that ends by itself', async () => {
    hire([1]);
    void crew.read().catch(() => undefined);
    await until('it is lost', () => lost.length > 0);
    expect(lost).toEqual([expect.objectContaining({ message: 'out of order' })]);
    expect(logged).toContainEqual(expect.objectContaining({ event: 'worker-lost', worker: 1 }));
  });

  it('tells them of the settings what they need, and none of the secrets', async () => {
    const secrets = {
      PUBLISH_TOKEN: 'a'.repeat(20),
      TURN_SECRET: 'b'.repeat(20),
      TURN_URLS: 'turn:turn.example.org',
    };
    const [told] = (await hire([1], secrets).reseal()) as [string];
    expect(Object.keys(JSON.parse(told) as object)).toEqual(
      expect.arrayContaining(['stateDir', 'announced', 'srtpProfiles']),
    );
    for (const word of ['access', 'turn', 'aaaa', 'bbbb']) expect(told).not.toContain(word);
  });
});

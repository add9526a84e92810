import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runKeys } from '../../src/cli/keys.ts';
import { Keyring } from '../../src/keyring/keyring.ts';
import { NONE } from '../../src/snapshot/anchor.ts';
import type { IdentitySnapshot, MediaSnapshot } from '../../src/snapshot/schema.ts';
import { utf8 } from '../../src/util/bytes.ts';
import { type FileSystem, nodeFileSystem } from '../../src/util/file-system.ts';
import { inRam, ran, settingsOf } from '../support/command.ts';
import { Hoard, vouchForMedia } from '../support/forger.ts';
import { expectSeen, onAir } from '../support/on-air.ts';
import { seededRandom } from '../support/seeded-rng.ts';
import { revealed, SAMPLE_TIME, sampleIdentity, sampleMedia } from '../support/snapshots.ts';
import { type StoreBench, storeBench } from '../support/stores.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import type { VirtualWorld } from '../support/virtual-world.ts';

const [OLD, FORMER, NEWEST] = [1, 2, 3].map((seed) => sampleIdentity(seededRandom(seed))) as [
  IdentitySnapshot,
  IdentitySnapshot,
  IdentitySnapshot,
];
const OLD_MEDIA = sampleMedia(seededRandom(4), 1, SAMPLE_TIME - 2_000);
const MEDIA = sampleMedia(seededRandom(5), 2, SAMPLE_TIME - 1_000);

let bench: StoreBench;
let oldState: Hoard;
let oldRuntime: Hoard;

/** A server has written three times and was killed; somebody has copies of what lay there at first. */
async function written(way: 'copy' | 'link' = 'copy'): Promise<void> {
  bench = await storeBench();
  const store = await bench.start();
  await store.writeIdentity(OLD);
  store.writeMedia(OLD_MEDIA);
  oldState = new Hoard(bench.stateDir, way);
  oldRuntime = new Hoard(bench.runtimeDir, way);
  await store.writeIdentity(FORMER);
  await store.writeIdentity(NEWEST);
  store.writeMedia(MEDIA);
  bench.events.length = 0;
}

async function started(fs?: FileSystem): Promise<{ identity: unknown; media: unknown }> {
  const store = await bench.start(fs);
  const identity = await store.readIdentity();
  return { identity: revealed(identity), media: revealed(await store.takeMedia()) };
}

const is = (identity: IdentitySnapshot | undefined, media: MediaSnapshot | undefined) => ({
  identity: revealed(identity),
  media: revealed(media),
});
const refusals = () => bench.events.filter(({ event }) => event === 'snapshot-refused');
const putAside = () => readdirSync(bench.stateDir).filter((name) => name.includes('.refused-'));

describe('a file that is put back', () => {
  beforeEach(() => written());
  afterEach(() => bench.dispose());

  it('rollback-control: is the newest one, and is read and taken', async () => {
    const [state, runtime] = [new Hoard(bench.stateDir), new Hoard(bench.runtimeDir)];
    state.putBack();
    runtime.putBack();
    vouchForMedia(bench.stateDir, bench.runtimeDir, await bench.keyring());
    expect(await started()).toEqual(is(NEWEST, MEDIA));
    expect(refusals()).toEqual([]);
  });

  it('rollback-identity: an older identity is not read: the one before the newest is, and the older file is kept', async () => {
    oldState.putBack('identity.sealed');
    expect(await started()).toEqual(is(FORMER, MEDIA));
    expect(refusals()[0]?.message).toMatch(/older than what was written last.*remove .*identity\.anchor/);
    expect(putAside()).toHaveLength(1);
  });

  it('rollback-identity-both: nor is it where it takes the place of both generations', async () => {
    oldState.putBack('identity.sealed');
    const path = join(bench.stateDir, 'identity.sealed');
    writeFileSync(join(bench.stateDir, 'identity.previous.sealed'), readFileSync(path));
    expect((await started()).identity).toBeUndefined();
    expect(putAside()).toHaveLength(2);
    // Nothing is lost: the operator who has put it there may say so.
    rmSync(join(bench.runtimeDir, 'identity.anchor'));
    expect((await started()).identity).toEqual(revealed(OLD));
  });

  it('rollback-worker: nor is it in the folder of a worker that somebody has made', async () => {
    const planted = join(bench.stateDir, 'worker-9');
    mkdirSync(planted, { mode: 0o700 });
    oldState.putBack('identity.sealed');
    const old = readFileSync(join(bench.stateDir, 'identity.sealed'));
    for (const name of ['identity.sealed', 'identity.previous.sealed'])
      writeFileSync(join(planted, name), old);
    expect(await (await bench.start(nodeFileSystem, 'worker-9')).readIdentity()).toBeUndefined();
    expect(refusals()).toHaveLength(2);
    expect(refusals()[0]?.message).toMatch(/worker-9.*no worker has written it/);
  });

  it('rollback-worker-control: what a worker has written is read, and from a backup of STATE_DIR too, over kills at any moment', async () => {
    const worker = () => bench.start(nodeFileSystem, 'worker-9');
    await (await worker()).writeIdentity(NEWEST);
    expect(revealed(await (await worker()).readIdentity())).toEqual(revealed(NEWEST));
    // A start of the machine: nobody has an anchor.
    rmSync(bench.runtimeDir, { recursive: true });
    mkdirSync(bench.runtimeDir, { mode: 0o700 });
    expect(revealed(await (await worker()).readIdentity())).toEqual(revealed(NEWEST));
    // Killed when the server has written, and the worker has not yet.
    await (await bench.start()).writeIdentity(NEWEST);
    expect(revealed(await (await worker()).readIdentity())).toEqual(revealed(NEWEST));
    expect(refusals()).toEqual([]);
  });

  it('rollback-swap: the two generations under each other’s names are told apart', async () => {
    const [current, previous] = ['identity.sealed', 'identity.previous.sealed'].map((name) =>
      join(bench.stateDir, name),
    ) as [string, string];
    renameSync(current, `${current}.aside`);
    renameSync(previous, current);
    renameSync(`${current}.aside`, previous);
    expect((await started()).identity).toEqual(revealed(NEWEST));
    expect(refusals()).toHaveLength(1);
  });

  it('rollback-damage: by damaging the newest, one goes back one generation and no further', async () => {
    rmSync(join(bench.stateDir, 'identity.sealed'));
    expect((await started()).identity).toEqual(revealed(FORMER));
    expect(refusals()).toEqual([]);
    writeFileSync(
      join(bench.stateDir, 'identity.previous.sealed'),
      readFileSync(join(bench.stateDir, 'identity.previous.sealed')).subarray(1),
    );
    oldState.putBack('identity.sealed');
    expect((await started()).identity).toBeUndefined();
  });

  it('rollback-destroyed: what was sealed to a key that is destroyed is refused by name', async () => {
    expect(await rotate()).toBe(0);
    expect((await started()).identity).toEqual(revealed(NEWEST));
    const kept = new Hoard(bench.stateDir);
    oldState.putBack('identity.sealed');
    await expect(started()).rejects.toMatchObject({
      code: 'KEY_MISSING',
      message: expect.stringContaining('was destroyed at'),
    });
    kept.putBack('identity.sealed');
    expect((await started()).identity).toEqual(revealed(NEWEST));
  });

  it('rollback-rotate: a rotation with the server stopped makes no older file the newest', async () => {
    oldRuntime.putBack('media.sealed');
    oldState.putBack('identity.sealed');
    bench.now = Date.now();
    expect(await rotate()).toBe(0);
    expect(await started()).toEqual(is(FORMER, undefined));
  });

  it('rollback-anchor: an older anchor of either kind makes nothing older acceptable', async () => {
    oldRuntime.putBack('identity.anchor');
    expect(await started()).toEqual(is(NEWEST, MEDIA));
    (await bench.start()).writeMedia(MEDIA);
    oldState.putBack('media.anchor');
    expect(await started()).toEqual(is(NEWEST, undefined));
  });

  it('rollback-reboot: contexts of before the machine was started anew are not taken', async () => {
    const fs: FileSystem = {
      ...nodeFileSystem,
      readInto: (path, target) => {
        if (!path.endsWith('/boot_id')) return nodeFileSystem.readInto(path, target);
        target.set(utf8('00112233-4455-6677-8899-aabbccddeeff'));
        return 37;
      },
    };
    expect(await started(fs)).toEqual(is(NEWEST, undefined));
    expect(refusals()[0]?.message).toContain('the machine was started anew');
  });

  it('rollback-backup: STATE_DIR from a backup is read where RUNTIME_DIR is empty', async () => {
    rmSync(bench.stateDir, { recursive: true });
    rmSync(bench.runtimeDir, { recursive: true });
    for (const directory of [bench.stateDir, bench.runtimeDir]) mkdirSync(directory, { mode: 0o700 });
    oldState.putBack();
    expect(await started()).toEqual(is(OLD, undefined));
    expect(bench.events).toEqual([]);
    const store = await bench.start();
    await store.writeIdentity(NEWEST);
    expect((await started()).identity).toEqual(revealed(NEWEST));
  });
});

interface Return {
  readonly id: string;
  readonly sentence: string;
  readonly way: 'copy' | 'link';
  /** Gives what puts it back, when the server has written last. */
  prepare(): () => void;
}

const putBackOld = (): void => {
  oldState.putBack();
  oldRuntime.putBack();
};

const RETURNS: readonly Return[] = [
  {
    id: 'rollback-media-earlier',
    sentence: 'contexts of before the last write',
    way: 'copy',
    prepare: () => () => oldRuntime.putBack('media.sealed'),
  },
  {
    id: 'rollback-media-earlier-link',
    sentence: 'contexts of before the last write in the very file (kept by a second name)',
    way: 'link',
    prepare: () => () => oldRuntime.putBack('media.sealed'),
  },
  {
    id: 'rollback-media-copy',
    sentence: 'contexts in a copy of the file that was written last',
    way: 'copy',
    prepare: () => {
      const last = new Hoard(bench.runtimeDir);
      return () => last.putBack('media.sealed');
    },
  },
  {
    id: 'rollback-media-both',
    sentence: 'contexts put back together with everything else in both directories',
    way: 'copy',
    prepare: () => putBackOld,
  },
  {
    id: 'rollback-media-both-link',
    sentence: 'contexts put back in the very files of both directories (kept by second names)',
    way: 'link',
    prepare: () => putBackOld,
  },
];

describe('contexts that are put back', () => {
  afterEach(() => bench.dispose());

  it.each(RETURNS.map((row) => [`${row.id}: ${row.sentence} are not taken`, row] as const))(
    '%s',
    async (_, { way, prepare }) => {
      await written(way);
      const putBack = prepare();
      putBack();
      expect((await started()).media).toBeUndefined();
      expect(refusals()).toHaveLength(1);
      if (way === 'link') return;
      // It is their return that is refused, not what is in them: whoever could set the kernel's stamps as well would be believed.
      putBack();
      vouchForMedia(bench.stateDir, bench.runtimeDir, await bench.keyring());
      expect((await (await bench.start()).takeMedia())?.peers.length).toBeGreaterThan(0);
    },
  );

  it('rollback-media-opened: what a process has taken is taken by no other, wherever the copy was made', async () => {
    await written();
    const last = new Hoard(bench.runtimeDir);
    expect((await started()).media).toEqual(revealed(MEDIA));
    for (let time = 1; time <= 2; time++) {
      last.putBack('media.sealed');
      expect((await started()).media).toBeUndefined();
    }
    expect(refusals()).toHaveLength(2);
  });

  it('rollback-media-stamp: are not taken by the word of the other directory alone, where the kernel keeps no stamps', async () => {
    const unstamped: FileSystem = {
      ...nodeFileSystem,
      linkInfo: (path) => {
        const info = nodeFileSystem.linkInfo(path);
        return info && { ...info, stamp: NONE };
      },
      readStamped: (path, maxBytes) => {
        const read = nodeFileSystem.readStamped(path, maxBytes);
        return read && { ...read, stamp: NONE };
      },
    };
    await written();
    (await bench.start(unstamped)).writeMedia(MEDIA);
    const last = new Hoard(bench.runtimeDir);
    oldRuntime.putBack('media.sealed');
    expect((await started(unstamped)).media).toBeUndefined();
    (await bench.start(unstamped)).writeMedia(MEDIA);
    last.putBack('media.sealed');
    expect((await started(unstamped)).media).toBeUndefined();
    (await bench.start(unstamped)).writeMedia(MEDIA);
    const newest = new Hoard(bench.runtimeDir);
    newest.putBack('media.sealed');
    expect((await started(unstamped)).media).toEqual(revealed(MEDIA));
    // Taken is taken.
    newest.putBack('media.sealed');
    expect((await started(unstamped)).media).toBeUndefined();
  });

  it('rollback-media-late: are not taken after MEDIA_TTL, nor where the clock was set back, whoever vouches for them', async () => {
    await written();
    for (const [now, taken] of [
      [MEDIA.notAfter, 2],
      [MEDIA.notAfter + 1, 0],
      [MEDIA.writtenAt - 60_000, 0],
    ] as const) {
      const store = await bench.start();
      store.writeMedia(MEDIA);
      new Hoard(bench.runtimeDir).putBack('media.sealed');
      vouchForMedia(bench.stateDir, bench.runtimeDir, await bench.keyring());
      bench.now = now;
      expect((await (await bench.start()).takeMedia())?.peers.length).toBe(taken);
    }
  });
});

/** Connections that go on with the contexts of the process before. */
const goingOn = (world: VirtualWorld): number =>
  [...world.broadcast!.sessions].filter(({ current }) => current?.peer.keyEpoch !== undefined).length;

describe('a whole server whose files are put back', () => {
  let world: VirtualWorld;
  let browsers: readonly VirtualBrowser[];

  beforeEach(async () => {
    ({ world, browsers } = await onAir());
    await world.run(1_000);
  });

  afterEach(() => world.dispose());

  /** Uses the contexts, is killed, and finds the file that it has opened again. */
  async function useTwice(putBack: (opened: Hoard) => void | Promise<void>): Promise<void> {
    world.kill();
    const opened = new Hoard(world.runtimeDir);
    await world.run(200);
    await world.start();
    expect(goingOn(world)).toBe(3);
    await world.run(1_000);
    world.kill();
    await putBack(opened);
    await world.start();
  }

  it('rollback-nonces: with contexts that it has opened before, uses none of them and no nonce twice, and everybody sees the picture', async () => {
    await useTwice((opened) => opened.putBack('media.sealed'));
    expect(goingOn(world)).toBe(0);
    for (const browser of browsers) world.open(browser);
    await expectSeen(world, browsers.slice(1));
    expect(world.audit().reused).toEqual([]);
  });

  it('rollback-nonces-control: were they believed, nonces would be used twice, and the audit sees it', async () => {
    await useTwice(async (opened) => {
      opened.putBack('media.sealed');
      const keys = await Keyring.open({ directory: world.keysDir });
      vouchForMedia(world.stateDir, world.runtimeDir, keys);
    });
    expect(goingOn(world)).toBe(3);
    await world.run(1_000);
    expect(world.audit().reused.length).toBeGreaterThan(0);
  });

  it('rollback-both: with both directories as they were, goes on with the sessions of then, and uses no nonce twice', async () => {
    const hoards = [new Hoard(world.stateDir), new Hoard(world.runtimeDir)];
    const late = world.addBrowser();
    world.open(late);
    expect(await world.run(5_000, () => late.current?.connected === true)).toBe(true);
    world.kill();
    for (const hoard of hoards) hoard.putBack();
    await world.start();
    expect(goingOn(world)).toBe(0);
    expect([...world.broadcast!.sessions]).toHaveLength(3);
    for (const browser of [...browsers, late]) world.open(browser);
    await expectSeen(world, browsers.slice(1));
    expect(late.errors).toEqual(['TOKEN_UNKNOWN']);
    expect(world.audit().reused).toEqual([]);
  });

  it('rollback-left: with the identity as it was alone, brings no session back that has ended', async () => {
    const ids = () => [...world.broadcast!.sessions].map(({ id }) => id);
    const state = new Hoard(world.stateDir);
    const before = ids();
    world.say(browsers[1]!, { type: 'leave' });
    await world.run(1_000);
    const left = before.filter((id) => !ids().includes(id));
    expect(left).toHaveLength(1);
    world.kill();
    state.putBack();
    await world.start();
    expect(ids()).not.toContain(left[0]);
    // Without the word of the other directory it would be back.
    world.kill();
    state.putBack();
    rmSync(join(world.runtimeDir, 'identity.anchor'));
    await world.start();
    expect(ids()).toContain(left[0]);
  });
});

const rotate = async (): Promise<number> =>
  (await ran((io) => runKeys(['rotate'], settingsOf(bench), io, inRam()))).code;

import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runKeys } from '../../src/cli/keys.ts';
import { type FileSystem, nodeFileSystem } from '../../src/util/file-system.ts';
import { adminServer } from '../support/admin-server.ts';
import { inRam, settingsOf } from '../support/command.ts';
import { Killed, type KillMoment, ProcessFiles } from '../support/faulty-file-system.ts';
import { seededRandom } from '../support/seeded-rng.ts';
import { revealed, sampleIdentity, sampleMedia } from '../support/snapshots.ts';
import { type StoreBench, stoppedBench, storeBench } from '../support/stores.ts';

const MOST_STEPS = 60;
const IDENTITY = sampleIdentity(seededRandom(1));

let bench: StoreBench;
/** The keys of a fresh bench: sealed to, prepared, and of no use to anybody. */
let [primary, prepared, spare] = ['', '', ''];

beforeEach(async () => {
  bench = await storeBench();
});

afterEach(() => bench.dispose());

/** Each command that changes something, and what holds when it has been done. */
const COMMANDS: Readonly<Record<string, { argv: () => string[]; done: () => Promise<void> }>> = {
  rotate: {
    argv: () => ['rotate'],
    done: async () => {
      await expectState(primary, 'destroyed');
      await expectAllSealedToPrimary();
    },
  },
  add: {
    argv: () => ['add'],
    done: async () => {
      const keys = (await bench.keyring()).list();
      expect(keys.filter(({ state }) => state === 'enabled').length).toBeGreaterThan(2);
      for (const { id } of keys) (await bench.keyring()).secret(id).dispose();
    },
  },
  promote: { argv: () => ['promote', prepared], done: () => expectState(prepared, 'primary') },
  reseal: { argv: () => ['reseal'], done: () => expectAllSealedToPrimary() },
  disable: { argv: () => ['disable', spare], done: () => expectState(spare, 'disabled') },
  enable: { argv: () => ['enable', spare], done: () => expectState(spare, 'enabled') },
  destroy: { argv: () => ['destroy', spare], done: () => expectState(spare, 'destroyed') },
};

const MOMENTS: readonly KillMoment[] = ['during', 'after'];

describe.each(Object.entries(COMMANDS))('rekeycast keys %s', (name, { argv, done }) => {
  it.each(MOMENTS)('killed %s any step, loses nothing and is done by the next one', async (moment) => {
    for (let step = 1; ; step++) {
      await freshBench(name);
      const files = new ProcessFiles();
      files.killIn(step, moment);
      await run(argv(), files.fs);
      await expectStartable();
      expect(await run(argv())).toBe(0);
      await done();
      await expectStartable();
      if (!files.killed) break;
      expect(step).toBeLessThan(MOST_STEPS);
    }
  });

  it('beside a full disk from any step on, fails in words, loses nothing and is done when there is room', async () => {
    for (let step = 0; ; step++) {
      await freshBench(name);
      const files = new ProcessFiles();
      files.fillIn(step, bench.root);
      const words: string[] = [];
      const code = await run(argv(), files.fs, words);
      expect(words.join('')).toMatch(step === 0 || code === 1 ? /no space left on device/ : /^/);
      await expectStartable();
      files.fill(undefined);
      expect(await run(argv())).toBe(0);
      await done();
      if (code === 0 && words.length === 0) break;
      expect(step).toBeLessThan(MOST_STEPS);
    }
  });

  it('in a directory that is read-only fails in words and changes nothing', async () => {
    await freshBench(name);
    const before = (await bench.keyring()).list();
    const words: string[] = [];
    const code = await run(argv(), readOnly(bench.keysDir), words);
    if (name === 'reseal') expect(code).toBe(0);
    else {
      expect(code).toBe(1);
      expect(words.join('')).toMatch(/read-only file system.*\[STATE_UNWRITABLE\]/s);
      expect((await bench.keyring()).list()).toEqual(before);
    }
    await expectStartable();
  });
});

describe('two commands at once', () => {
  it('rotate one after the other, or one of them says that it did not', async () => {
    await freshBench('rotate');
    const words: string[] = [];
    const codes = await Promise.all([run(['rotate'], nodeFileSystem, words), run(['rotate'])]);
    expect(codes.filter((code) => code === 0).length).toBeGreaterThan(0);
    if (codes.includes(1)) expect(words.join('')).toContain('another rekeycast command');
    await expectState(primary, 'destroyed');
    await expectAllSealedToPrimary();
    await expectStartable();
  });

  it('go by what the one before has left, and bring no destroyed key back', async () => {
    for (const first of ['destroy', 'disable']) {
      await freshBench('destroy');
      const second = first === 'destroy' ? 'disable' : 'destroy';
      const codes = await Promise.all([run([first, spare]), run([second, spare])]);
      expect(codes).toContain(0);
      if (codes[first === 'destroy' ? 0 : 1] === 0) await expectState(spare, 'destroyed');
    }
  });

  it('leave the keys to the one that began, while the server takes its time', async () => {
    await freshBench('rotate');
    let asked = (): void => {};
    let answer = (): void => {};
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const mayAnswer = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const store = await bench.start();
    const server = await adminServer(join(bench.runtimeDir, 'admin.sock'), async ({ command }) => {
      if (command === 'reseal') {
        asked();
        await mayAnswer;
        await store.reseal(IDENTITY, sampleMedia(seededRandom(2), 2, Date.now()));
      }
      return { ok: true };
    });
    const first = run(['rotate']);
    await isAsked;
    const keys = (await bench.keyring()).list();
    for (const argv of [['rotate'], ['add'], ['promote', primary], ['destroy', spare]]) {
      const words: string[] = [];
      expect(await run(argv, nodeFileSystem, words)).toBe(1);
      expect(words.join('')).toContain('another rekeycast command is changing the keys');
    }
    expect((await bench.keyring()).list()).toEqual(keys);
    answer();
    expect(await first).toBe(0);
    await server.close();
    await expectState(primary, 'destroyed');
  });
});

/** What a server has left that was stopped ten seconds ago, and three keys. For `reseal`, the primary key is not the one it wrote with. */
async function freshBench(command: string): Promise<void> {
  bench.dispose();
  bench = await stoppedBench(IDENTITY);
  const keyring = await bench.keyring();
  primary = keyring.primary().id;
  [prepared, spare] = [await keyring.add(), await keyring.add()];
  if (command === 'reseal') await keyring.promote(prepared);
  if (command === 'enable') await keyring.disable(spare);
}

/** The exit code; `undefined` where it was killed. */
async function run(
  argv: readonly string[],
  fs: FileSystem = nodeFileSystem,
  words: string[] = [],
): Promise<number | undefined> {
  const io = { stdout: { write: () => {} }, stderr: { write: (text: string) => words.push(text) } };
  try {
    return await runKeys(argv, settingsOf(bench), io, inRam(fs));
  } catch (cause) {
    if (cause instanceof Killed) return undefined;
    throw cause;
  }
}

function readOnly(directory: string): FileSystem {
  const changes = ['write', 'writeDurably', 'overwrite', 'rename', 'remove', 'append', 'changeMode'];
  return new Proxy(nodeFileSystem, {
    get: (target, name: keyof FileSystem) =>
      changes.includes(name)
        ? (path: string, ...others: unknown[]) => {
            if (path.startsWith(directory))
              throw Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS' });
            return (target[name] as (...args: unknown[]) => unknown)(path, ...others);
          }
        : target[name],
  });
}

/** A server that starts now finds what was written last. Does not touch the media, which would be taken away. */
async function expectStartable(): Promise<void> {
  expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(IDENTITY));
}

async function expectState(id: string, state: string): Promise<void> {
  const keys = (await bench.keyring()).list();
  expect(keys.find((key) => key.id === id)).toMatchObject({ state, secretPresent: state !== 'destroyed' });
  expect(keys.filter((key) => key.state === 'primary')).toHaveLength(1);
}

async function expectAllSealedToPrimary(): Promise<void> {
  expect(await run(['verify'])).toBe(0);
  bench.now = Date.now();
  const taken = await (await bench.start()).takeMedia();
  expect([undefined, 2]).toContain(taken?.peers.length);
}

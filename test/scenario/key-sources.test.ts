import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runKeys } from '../../src/cli/keys.ts';
import { readConfig } from '../../src/config.ts';
import { openStorage, type Storage } from '../../src/server/storage.ts';
import { adminServer } from '../support/admin-server.ts';
import { inRam, type Ran, ran, settingsOf } from '../support/command.ts';
import { keyText } from '../support/key-text.ts';
import { seededRandom } from '../support/seeded-rng.ts';
import { revealed, sampleIdentity, sampleMedia, temporaryDirectories } from '../support/snapshots.ts';

const [OLD, NEW] = [keyText(1), keyText(2)];
const IDENTITY = sampleIdentity(seededRandom(1));

let directories: ReturnType<typeof temporaryDirectories>;
let env: Record<string, string>;

beforeEach(() => {
  directories = temporaryDirectories();
  env = settingsOf(directories);
});

afterEach(() => directories.dispose());

/** How keys are given, and changed where they are. */
const SOURCES: Readonly<Record<string, (keys: string) => void>> = {
  'a file': (keys) => {
    env.SNAPSHOT_KEY_FILE = write('keys.txt', keys);
  },
  'a command': (keys) => {
    env.SNAPSHOT_KEY_COMMAND = JSON.stringify(['/bin/cat', write('keys.txt', keys)]);
  },
};

describe.each(Object.entries(SOURCES))('snapshot keys from %s', (_, give) => {
  it('are rotated there with the server stopped, and nothing is lost', async () => {
    give(OLD);
    await written();
    give(`${NEW}\n${OLD}`);
    expect((await run('verify')).code).toBe(3);
    expect((await run('status')).code).toBe(3);
    expect((await run('reseal')).code).toBe(0);
    expect((await run('verify')).code).toBe(0);
    give(NEW);
    expect((await run('verify')).code).toBe(0);
    expect((await run('status')).code).toBe(0);
    expect(revealed(await (await start()).store.readIdentity())).toEqual(revealed(IDENTITY));
  });

  it('are rotated there with the server running, which asks again, and opens nothing by itself', async () => {
    give(OLD);
    await written();
    const storage = await start();
    const identity = (await storage.store.readIdentity())!;
    await storage.store.takeMedia();
    storage.keys.forget();
    const server = await adminServer(join(directories.runtimeDir, 'admin.sock'), async ({ command }) => {
      if (command === 'reseal') {
        try {
          await storage.keys.reload();
        } catch (cause) {
          return { ok: false, error: (cause as Error).message };
        }
        await storage.store.reseal(identity, sampleMedia(seededRandom(2), 2, Date.now()));
      }
      return { ok: true, key: storage.keys.primary().id };
    });
    const before = storage.keys.primary().id;
    give(`${NEW}\n${OLD}`);
    expect((await run('reseal')).code).toBe(0);
    expect((await run('verify')).code).toBe(0);
    expect(storage.keys.primary().id).not.toBe(before);
    expect(() => storage.keys.secret(before)).toThrow('was wiped');
    give('nonsense');
    expect((await run('reseal')).err).toContain('KEY_INVALID');
    await expect(storage.keys.reload()).rejects.toMatchObject({ code: 'KEY_INVALID' });
    await storage.store.writeIdentity(identity);
    await server.close();
    give(NEW);
    expect(revealed(await (await start()).store.readIdentity())).toEqual(revealed(IDENTITY));
  });

  it('are not changed by any command, which says how it is done', async () => {
    give(`${OLD}\n${NEW}`);
    await written();
    const ids = (JSON.parse((await run('status', '--json')).out) as { keys: { id: string }[] }).keys;
    const other = ids[1]!.id;
    const calls = [
      ['rotate'],
      ['add'],
      ...['promote', 'disable', 'enable', 'destroy'].map((c) => [c, other]),
    ];
    for (const argv of calls) {
      const { code, err } = await run(...argv);
      expect([code, err]).toEqual([1, expect.stringContaining('put a new key in front of the old one')]);
      expect(err).toContain('[KEY_SOURCE_READ_ONLY]');
    }
    expect((await run('verify')).code).toBe(0);
  });

  it('without the key that things are sealed to, stop a start and every command in words, and nothing is changed', async () => {
    give(OLD);
    await written();
    give(NEW);
    const storage = await start();
    await expect(storage.store.readIdentity()).rejects.toMatchObject({
      code: 'KEY_MISSING',
      message: expect.stringContaining('Put it back, behind the primary one'),
    });
    for (const command of ['reseal', 'verify']) expect((await run(command)).code).toBe(1);
    expect((await run('status')).out).toContain('which is not here');
    give(`${NEW}\n${OLD}`);
    expect((await run('reseal')).code).toBe(0);
    expect(revealed(await (await start()).store.readIdentity())).toEqual(revealed(IDENTITY));
  });
});

describe('a key source that fails', () => {
  it.each([
    [
      'fails',
      ['/bin/sh', '-c', 'echo permission denied >&2; exit 2'],
      '10m',
      'exit code 2: permission denied',
    ],
    ['hangs', ['/bin/sh', '-c', 'sleep 1000'], '200ms', 'within 200 ms and was killed'],
  ])(
    'because it %s, stops a start and every command in words, and nothing is changed',
    async (_, command, timeout, words) => {
      SOURCES['a command']!(OLD);
      await written();
      const good = env.SNAPSHOT_KEY_COMMAND!;
      Object.assign(env, { SNAPSHOT_KEY_COMMAND: JSON.stringify(command), SNAPSHOT_KEY_TIMEOUT: timeout });
      for (const argv of ['status', 'reseal', 'verify', 'rotate']) {
        const { code, err } = await run(argv);
        expect([code, err]).toEqual([1, expect.stringContaining(words)]);
        expect(err).toContain('[KEY_SOURCE_FAILED]');
      }
      await expect(start()).rejects.toMatchObject({ code: 'KEY_SOURCE_FAILED' });
      Object.assign(env, { SNAPSHOT_KEY_COMMAND: good, SNAPSHOT_KEY_TIMEOUT: '10m' });
      expect(revealed(await (await start()).store.readIdentity())).toEqual(revealed(IDENTITY));
    },
  );
});

describe('rekeycast keys wrap', () => {
  it('puts keys under a passphrase, from which the server takes them', async () => {
    const keys = write('plain', `${OLD}\n`);
    env.KEYS_PASSPHRASE_FILE = write('passphrase', 'correct horse battery staple\n');
    const { code, out } = await run('wrap', keys);
    expect([code, out]).toEqual([0, expect.stringMatching(/^rekeycast-keys-scrypt-1 /)]);
    expect(out).not.toContain(OLD);
    env.SNAPSHOT_KEY_FILE = write('keys.wrapped', out);
    await written();
    expect((await run('verify')).code).toBe(0);
    env.KEYS_PASSPHRASE_FILE = write('passphrase', 'correct horse\n');
    expect((await run('verify')).err).toContain('does not open with this passphrase');
  });

  it('refuses what is no key, a file that others may read, and no passphrase', async () => {
    expect((await run('wrap', write('plain', 'hunter2'))).err).toContain('[KEY_INVALID]');
    expect((await run('wrap', write('plain', OLD))).err).toContain('set KEYS_PASSPHRASE_FILE');
    writeFileSync(join(directories.root, 'open'), OLD, { mode: 0o644 });
    expect((await run('wrap', join(directories.root, 'open'))).err).toContain('[KEY_MODE_TOO_OPEN]');
  });
});

function write(name: string, content: string): string {
  const path = join(directories.root, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

const start = (): Promise<Storage> => openStorage(readConfig(env), pino({ level: 'silent' }));

/** What a server has left that was stopped ten seconds ago. */
async function written(): Promise<void> {
  const { store } = await start();
  await store.writeIdentity(IDENTITY);
  await store.writeIdentity(IDENTITY);
  store.writeMedia(sampleMedia(seededRandom(2), 2, Date.now() - 10_000));
}

const run = (...argv: readonly string[]): Promise<Ran> => ran((io) => runKeys(argv, env, io, inRam()));

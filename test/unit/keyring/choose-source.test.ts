import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { chooseKeySource, type KeySettings, runKeyCommand } from '../../../src/keyring/choose-source.ts';
import { Keyring } from '../../../src/keyring/keyring.ts';
import { wrapKeys } from '../../../src/keyring/passphrase.ts';
import { toHex, utf8 } from '../../../src/util/bytes.ts';
import { nodeFileSystem } from '../../../src/util/file-system.ts';
import { Secret } from '../../../src/util/secret.ts';
import { loadSodium } from '../../../src/util/sodium.ts';
import { keyText } from '../../support/key-text.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { testDirectory } from '../../support/test-directory.ts';
import { until } from '../../support/wait.ts';

const root = testDirectory();
const [FIRST, SECOND, THIRD] = [keyText(1), keyText(2), keyText(3)];

beforeAll(async () => {
  await loadSodium();
});

describe('the snapshot keys are', () => {
  it('in KEYS_DIR where nothing else is said', async () => {
    const keyring = await open({});
    expect(keyring.place).toBe(join(root.path, 'keys'));
    expect(keyring.keptByOthers).toBeUndefined();
    expect(existsSync(keyring.place)).toBe(true);
  });

  it('in the file that is named, the first one primary, and no directory is made', async () => {
    const keyring = await open({ keyFile: file('keys.txt', `${FIRST}\n${SECOND}\n`) });
    expect(keyring.list()).toMatchObject([
      { id: keyring.primary().id, state: 'primary', secretPresent: true, createdAt: undefined },
      { state: 'enabled', promoted: false },
    ]);
    expect(hexOf(keyring, keyring.primary().id)).toBe(Buffer.from(FIRST, 'base64').toString('hex'));
    expect(existsSync(join(root.path, 'keys'))).toBe(false);
  });

  it('in the credential that the unit has, also behind a link, unless a file is named', async () => {
    const directory = join(root.path, 'credentials');
    mkdirSync(directory);
    symlinkSync(file('there', SECOND), join(directory, 'rekeycast-snapshot-key'));
    const env = { CREDENTIALS_DIRECTORY: directory };
    expect((await open({}, env)).place).toContain('the credential rekeycast-snapshot-key');
    expect((await open({}, env)).keptByOthers).toContain('restart the unit');
    expect((await open({ keyFile: file('keys.txt', FIRST) }, env)).place).toContain('SNAPSHOT_KEY_FILE');
    expect((await open({}, { CREDENTIALS_DIRECTORY: join(root.path, 'none') })).place).toContain('keys');
  });

  it('what a command prints, which is run without a shell', async () => {
    const keyring = await open({
      keyCommand: [process.execPath, '-e', `console.log(process.argv[1])`, FIRST],
    });
    expect(hexOf(keyring, keyring.primary().id)).toBe(Buffer.from(FIRST, 'base64').toString('hex'));
    expect(keyring.place).not.toContain(FIRST);
    await expect(open({ keyCommand: ['echo', '$HOME'] })).rejects.toMatchObject({ code: 'KEY_INVALID' });
  });

  it('under a passphrase from a file or a credential, and refused without one', async () => {
    const wrapped = wrapKeys(Secret.copy(utf8(FIRST)), Secret.copy(utf8('sesame')), seededRandom(1), {
      log2N: 4,
      r: 8,
      p: 1,
    });
    const keyFile = file('keys.wrapped', wrapped);
    const keyring = await open({ keyFile, passphraseFile: file('passphrase', 'sesame\n') });
    expect(hexOf(keyring, keyring.primary().id)).toBe(Buffer.from(FIRST, 'base64').toString('hex'));
    file('rekeycast-keys-passphrase', 'sesame');
    expect((await open({ keyFile }, { CREDENTIALS_DIRECTORY: root.path })).list()).toHaveLength(1);
    await expect(open({ keyFile })).rejects.toThrow('set KEYS_PASSPHRASE_FILE');
    await expect(open({ keyFile, passphraseFile: file('passphrase', 'sesam') })).rejects.toThrow(
      'does not open',
    );
    await expect(open({ keyFile, passphraseFile: file('passphrase', '\n') })).rejects.toThrow('is empty');
  });

  it('from one place and not from two', async () => {
    await expect(open({ keyFile: 'a', keyCommand: ['b'] })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

describe('a source that is no good is refused in words:', () => {
  it('a file that is not there, that others may read, that is no file, that is too large', async () => {
    await expect(open({ keyFile: join(root.path, 'none') })).rejects.toMatchObject({
      code: 'KEY_SOURCE_FAILED',
      message: expect.stringContaining('is not there'),
    });
    const keyFile = file('keys.txt', FIRST);
    chmodSync(keyFile, 0o640);
    await expect(open({ keyFile })).rejects.toMatchObject({ code: 'KEY_MODE_TOO_OPEN' });
    await expect(open({ keyFile: root.path })).rejects.toMatchObject({
      code: expect.stringMatching(/^KEY_/),
    });
    await expect(open({ keyFile: file('large', '#'.repeat(20_000)) })).rejects.toThrow('more than 16384');
  });

  it('a key that is there twice', async () => {
    await expect(open({ keyFile: file('keys.txt', `${FIRST}\n${FIRST}`) })).rejects.toThrow('twice');
  });

  it.each([
    ['is not there', ['/nonexistent/vault'], 'cannot be started'],
    ['fails', ['/bin/sh', '-c', 'echo sealed >&2; exit 7'], 'ended with exit code 7: sealed'],
    ['is killed', ['/bin/sh', '-c', 'kill -9 $$'], 'ended with SIGKILL'],
    ['prints no end', ['/bin/sh', '-c', 'yes'], 'more than 16384'],
    ['colours its words', ['/bin/sh', '-c', 'printf "\\033[31mno" >&2; exit 1'], '?[31mno'],
  ])('a command that %s', async (_, keyCommand, words) => {
    await expect(open({ keyCommand })).rejects.toMatchObject({
      code: 'KEY_SOURCE_FAILED',
      message: expect.stringContaining(words),
    });
  });

  it('a command that hangs, which is killed with all that it has started', async () => {
    const pidFile = join(root.path, 'pid');
    const script = `sleep 1000 & echo $! > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; wait`;
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const refused = expect(runKeyCommand(['/bin/sh', '-c', script], 3_000)).rejects.toThrow(
      'within 3000 ms and was killed',
    );
    await until('it hangs', () => existsSync(pidFile));
    vi.advanceTimersByTime(3_000);
    await refused;
    const pid = Number(readFileSync(pidFile, 'utf8'));
    // What has ended and nobody has asked after has no command line any more.
    const commandLine = `/proc/${pid}/cmdline`;
    await until('it has ended', () => !existsSync(commandLine) || readFileSync(commandLine, 'utf8') === '');
  });
});

describe('a keyring that others keep', () => {
  it('is changed by nobody here, and says how to rotate', async () => {
    const keyring = await open({ keyFile: file('keys.txt', `${FIRST}\n${SECOND}`) });
    const second = keyring.list()[1]!.id;
    const readOnly = {
      code: 'KEY_SOURCE_READ_ONLY',
      message: expect.stringMatching(
        /put a new key in front.*keys reseal.*keys verify.*take the old one out/,
      ),
    };
    await expect(keyring.add()).rejects.toMatchObject(readOnly);
    await expect(keyring.promote(second)).rejects.toMatchObject(readOnly);
    await expect(keyring.disable(second)).rejects.toMatchObject(readOnly);
    await expect(keyring.destroy(second)).rejects.toMatchObject(readOnly);
    expect(keyring.list().map(({ state }) => state)).toEqual(['primary', 'enabled']);
  });

  it('takes a new key in front when it asks again, and keeps what it has where that fails', async () => {
    const keyFile = file('keys.txt', FIRST);
    const keyring = await open({ keyFile });
    const before = keyring.writer();
    file('keys.txt', 'nonsense');
    await expect(keyring.reload()).rejects.toMatchObject({ code: 'KEY_INVALID' });
    expect(keyring.writer()).toBe(before);
    keyring.secret(before.id).dispose();
    file('keys.txt', `${THIRD}\n${FIRST}`);
    await keyring.reload();
    expect(keyring.writer().id).not.toBe(before.id);
    expect(before.writerKey.disposed).toBe(true);
    keyring.secret(before.id).dispose();
  });

  it('opens nothing any more when it is told to forget, and writes and tells writers all the same', async () => {
    const keyFile = file('keys.txt', `${FIRST}\n${SECOND}`);
    const keyring = await open({ keyFile });
    const ids = keyring.list().map(({ id }) => id);
    const writers = ids.map((id) => toHex(keyring.writerKey(id).bytes));
    keyring.forget();
    for (const id of ids)
      expect(() => keyring.secret(id)).toThrowError(
        expect.objectContaining({ code: 'KEY_MISSING', message: expect.stringContaining('was wiped') }),
      );
    expect(ids.map((id) => toHex(keyring.writerKey(id).bytes))).toEqual(writers);
    file('keys.txt', `${THIRD}\n${FIRST}`);
    await keyring.reload();
    expect(keyring.writer().id).not.toBe(ids[0]);
    expect(toHex(keyring.writerKey(ids[0]!).bytes)).toBe(writers[0]);
    expect(() => keyring.secret(keyring.primary().id)).toThrow('was wiped');
  });
});

function file(name: string, content: string): string {
  const path = join(root.path, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

function open(settings: Partial<KeySettings>, env: Readonly<Record<string, string>> = {}): Promise<Keyring> {
  const all: KeySettings = {
    keysDir: join(root.path, 'keys'),
    keyFile: undefined,
    keyCommand: undefined,
    keyTimeout: 600_000,
    passphraseFile: undefined,
    ...settings,
  };
  return (async () => Keyring.open({ source: chooseKeySource(all, env, nodeFileSystem) }))();
}

function hexOf(keyring: Keyring, id: string): string {
  const secret = keyring.secret(id);
  const hex = toHex(secret.bytes);
  secret.dispose();
  return hex;
}

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type KeyEvent, Keyring } from '../../../src/keyring/keyring.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { type FileSystem, nodeFileSystem } from '../../../src/util/file-system.ts';
import { loadSodium } from '../../../src/util/sodium.ts';
import { killedAt } from '../../support/faulty-file-system.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();
let directory: string;
let events: KeyEvent[];

beforeAll(async () => {
  await loadSodium();
});

beforeEach(() => {
  directory = join(root.path, 'keys');
  events = [];
});

describe('a keyring on its first run', () => {
  it('makes a directory and a primary key, both closed to others', async () => {
    const keyring = await open();
    expect(modeOf(directory)).toBe(0o700);
    const { id } = keyring.primary();
    expect(readdirSync(directory)).toEqual([`${id}.json`, `${id}.secret`]);
    expect([modeOf(join(directory, `${id}.json`)), modeOf(join(directory, `${id}.secret`))]).toEqual([
      0o600, 0o600,
    ]);
    expect(keyring.list()).toMatchObject([{ id, state: 'primary', promoted: true, secretPresent: true }]);
    expect(events.map(({ event }) => event)).toEqual(['key-added', 'key-promoted']);
  });

  it('closes a directory that has only a .gitignore in it', async () => {
    mkdirSync(directory, { mode: 0o755 });
    writeFileSync(join(directory, '.gitignore'), '*\n');
    await open();
    expect(modeOf(directory)).toBe(0o700);
  });

  it('makes no key where it is told not to', async () => {
    const keyring = await open({ create: false });
    expect(keyring.list()).toEqual([]);
    expect(existsSync(directory)).toBe(false);
    expect(() => keyring.primary()).toThrowError(expect.objectContaining({ code: 'KEY_MISSING' }));
  });

  it('killed at any step, is a first run again and ends with one primary key', async () => {
    for (let step = 1; ; step++) {
      rmSync(directory, { recursive: true, force: true });
      const fs = killedAt(step);
      const killed = await open({ fs }).then(
        () => false,
        () => true,
      );
      const keyring = await open();
      const primary = keyring.primary();
      expect(keyring.list().filter(({ state }) => state === 'primary')).toHaveLength(1);
      keyring.secret(primary.id).dispose();
      if (!killed) break;
      expect(step).toBeLessThan(20);
    }
  });

  it('is an error in words where the directory cannot be made', async () => {
    writeFileSync(directory, '');
    directory = join(directory, 'keys');
    await expect(open()).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
      message: expect.stringContaining(directory),
    });
  });
});

describe('a keyring', () => {
  it('is the same when it is opened again', async () => {
    const before = (await open()).primary();
    expect((await open()).primary()).toEqual(before);
  });

  it('gives the secret of its public key, and no other', async () => {
    const keyring = await open();
    const { id, publicKey } = keyring.primary();
    const secret = keyring.secret(id);
    expect((await loadSodium()).publicKeyOf(secret.bytes)).toEqual(publicKey);
    secret.dispose();
    expect(() => keyring.secret('00112233aabbccdd')).toThrowError(
      expect.objectContaining({ code: 'KEY_MISSING', message: expect.stringContaining(directory) }),
    );
  });

  it('writes no secret into what describes a key', async () => {
    const keyring = await open();
    const { id } = keyring.primary();
    const secret = Buffer.from(readFileSync(join(directory, `${id}.secret`)));
    expect(secret).toHaveLength(32);
    const text = readFileSync(join(directory, `${id}.json`), 'utf8');
    for (const encoding of ['hex', 'base64', 'base64url'] as const)
      expect(text).not.toContain(secret.toString(encoding));
    expect(JSON.parse(text)).toMatchObject({ format: 1, id, state: 'enabled', promotion: 1 });
  });

  it('has one primary key before and after a promotion that is killed at any step', async () => {
    const former = (await open()).primary().id;
    const next = await (await open()).add();
    for (let step = 1; ; step++) {
      const fs = killedAt(step);
      const killed = await (await open({ fs })).promote(next).then(
        () => false,
        () => true,
      );
      const primary = (await open()).primary().id;
      expect([former, next]).toContain(primary);
      if (!killed) {
        expect(primary).toBe(next);
        break;
      }
      if (primary === next) await (await open()).promote(former).catch(() => {});
    }
  });

  it('leaves a tombstone without a secret of a destroyed key', async () => {
    const keyring = await open();
    const former = keyring.primary().id;
    await keyring.promote(await keyring.add());
    await keyring.destroy(former);
    expect(readdirSync(directory)).not.toContain(`${former}.secret`);
    expect((await open()).list()[0]).toMatchObject({
      id: former,
      state: 'destroyed',
      secretPresent: false,
      destroyedAt: expect.any(String),
    });
    expect(() => keyring.secret(former)).toThrowError(
      expect.objectContaining({ code: 'KEY_MISSING', message: expect.stringContaining('was destroyed at') }),
    );
    await expect(keyring.promote(former)).rejects.toMatchObject({ code: 'KEY_INVALID' });
  });

  it('zeroes a secret before it removes it', async () => {
    const keyring = await open();
    const former = keyring.primary().id;
    await keyring.promote(await keyring.add());
    const removed: Uint8Array[] = [];
    const fs: FileSystem = {
      ...nodeFileSystem,
      remove: (path) => {
        if (path.endsWith('.secret')) removed.push(new Uint8Array(readFileSync(path)));
        nodeFileSystem.remove(path);
      },
    };
    await (await open({ fs })).destroy(former);
    expect(removed).toEqual([new Uint8Array(32)]);
  });

  it('does not destroy its primary key', async () => {
    const keyring = await open();
    await expect(keyring.destroy(keyring.primary().id)).rejects.toMatchObject({ code: 'KEY_INVALID' });
    keyring.secret(keyring.primary().id).dispose();
  });

  it('learns of a promotion by another process, and keeps what it knows when the directory is gone', async () => {
    const server = await open();
    const operator = await open();
    const next = await operator.add();
    await operator.promote(next);
    expect(server.primary().id).not.toBe(next);
    server.refresh();
    expect(server.primary().id).toBe(next);
    rmSync(directory, { recursive: true });
    server.refresh();
    expect(server.primary().id).toBe(next);
  });

  it('gives the same writer key for the same key, and another for another', async () => {
    const server = await open();
    const { id, writerKey } = server.writer();
    const own = toHex(writerKey.bytes);
    const copy = (await open()).writerKey(id);
    expect(toHex(copy.bytes)).toBe(own);
    const next = await server.add();
    expect(toHex(server.writerKey(next).bytes)).not.toBe(own);
  });

  it('writes on when the directory is gone', async () => {
    const server = await open();
    const own = toHex(server.writer().writerKey.bytes);
    rmSync(directory, { recursive: true });
    server.refresh();
    expect(toHex(server.writer().writerKey.bytes)).toBe(own);
    expect(() => server.secret(server.primary().id)).toThrowError(
      expect.objectContaining({ code: 'KEY_MISSING' }),
    );
  });

  it('wipes the writer key of the key before, when another is primary', async () => {
    const server = await open();
    const { writerKey } = server.writer();
    const operator = await open();
    await operator.promote(await operator.add());
    expect(writerKey.disposed).toBe(false);
    server.refresh();
    expect(writerKey.disposed).toBe(true);
    expect(toHex(server.writer().writerKey.bytes)).toBe(toHex(operator.writer().writerKey.bytes));
  });

  it('goes on with its key where it cannot read the secret of the new one, and takes it later', async () => {
    const server = await open();
    const { id } = server.writer();
    const operator = await open();
    const next = await operator.add();
    await operator.promote(next);
    const path = join(directory, `${next}.secret`);
    const secret = readFileSync(path);
    rmSync(path);
    server.refresh();
    expect(server.writer().id).toBe(id);
    writeFileSync(path, secret, { mode: 0o600 });
    server.refresh();
    expect(server.writer().id).toBe(next);
  });

  it('has no writer without a secret', async () => {
    const { id } = (await open()).primary();
    rmSync(join(directory, `${id}.secret`));
    const keyring = await open();
    expect(() => keyring.writer()).toThrowError(
      expect.objectContaining({
        code: 'KEY_MISSING',
        message: expect.stringContaining('has lost its secret'),
      }),
    );
  });

  it('removes what a killed command has left, once it is old', async () => {
    await open();
    const leftovers = ['0011223344556677.secret', '0011223344556677.secret.12.tmp'];
    for (const name of leftovers) writeFileSync(join(directory, name), 'secret', { mode: 0o600 });
    await (await open()).add();
    expect(readdirSync(directory)).toEqual(expect.arrayContaining(leftovers));
    await (await open({ now: () => Date.now() + 120_000 })).add();
    for (const name of leftovers) expect(readdirSync(directory)).not.toContain(name);
  });

  it('makes no key that its owner could not read', async () => {
    await (await open()).add();
    const keyring = await open({
      fs: {
        ...nodeFileSystem,
        info: (path) => {
          const info = nodeFileSystem.info(path);
          return info === undefined ? undefined : { ...info, uid: 4711 };
        },
      },
    });
    await expect(keyring.add()).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
      message: expect.stringContaining("sudo -u '#4711'"),
    });
  });
});

describe('a keyring that others could have read', () => {
  it.each([0o750, 0o705, 0o710, 0o777])('is refused with mode %o of the directory', async (mode) => {
    await open();
    chmodSync(directory, mode);
    await expect(open()).rejects.toMatchObject({
      code: 'KEY_MODE_TOO_OPEN',
      message: expect.stringContaining(`chmod 700 ${directory}`),
    });
    chmodSync(directory, 0o700);
    await open();
  });

  it.each([
    ['secret', 0o640],
    ['secret', 0o604],
    ['json', 0o644],
  ])('is refused with a .%s of mode %o', async (extension, mode) => {
    const file = join(directory, `${(await open()).primary().id}.${extension}`);
    chmodSync(file, mode);
    await expect(open()).rejects.toMatchObject({
      code: 'KEY_MODE_TOO_OPEN',
      message: expect.stringContaining(`chmod 600 ${file}`),
    });
    chmodSync(file, 0o400);
    await open();
  });

  it('names a path with a space so that the command works', async () => {
    directory = join(root.path, "the operator's keys");
    await open();
    chmodSync(directory, 0o755);
    await expect(open()).rejects.toThrow(`chmod 700 '${root.path}/the operator'\\''s keys'`);
  });
});

describe('a key file that is no good', () => {
  it.each([
    ['not JSON', 'nonsense'],
    ['of another key', '{"format":1,"id":"00"}'],
    ['of a newer format', '{"format":2}'],
  ])('is refused by name: %s', async (_, text) => {
    const file = join(directory, `${(await open()).primary().id}.json`);
    writeFileSync(file, text);
    await expect(open()).rejects.toMatchObject({
      code: 'KEY_INVALID',
      message: expect.stringContaining(file),
    });
  });

  it('is refused when its id is not that of its public key', async () => {
    const { id } = (await open()).primary();
    const [file, renamed] = [id, '0011223344556677'].map((name) => join(directory, `${name}.json`));
    const text = readFileSync(file!, 'utf8').replace(id, '0011223344556677');
    rmSync(file!);
    writeFileSync(renamed!, text, { mode: 0o600 });
    await expect(open()).rejects.toMatchObject({
      code: 'KEY_INVALID',
      message: expect.stringContaining(renamed!),
    });
  });

  it('is refused when its secret has another size or belongs to another key', async () => {
    const keyring = await open();
    const { id } = keyring.primary();
    const file = join(directory, `${id}.secret`);
    const good = readFileSync(file);
    for (const known of [false, true]) {
      for (const bytes of [new Uint8Array(31), new Uint8Array(33), new Uint8Array(32).fill(5)]) {
        writeFileSync(file, bytes);
        expect(() => keyring.secret(id)).toThrowError(expect.objectContaining({ code: 'KEY_INVALID' }));
      }
      writeFileSync(file, good);
      if (!known) keyring.writer();
      keyring.secret(id).dispose();
    }
  });
});

const seeds = { next: 1 };

/** A process that opens the keyring; each makes other keys. */
function open(options: Partial<Parameters<typeof Keyring.open>[0]> = {}): Promise<Keyring> {
  seeds.next++;
  return Keyring.open({
    directory,
    rng: seededRandom(seeds.next),
    record: (event) => events.push(event),
    ...options,
  });
}

const modeOf = (path: string): number => statSync(path).mode & 0o777;

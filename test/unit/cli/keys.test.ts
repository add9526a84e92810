import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { runKeys } from '../../../src/cli/keys.ts';
import type { AdminRequest } from '../../../src/keyring/admin-protocol.ts';
import { DirectoryLock } from '../../../src/server/directory-lock.ts';
import { announceServer } from '../../../src/snapshot/run-file.ts';
import { adminServer } from '../../support/admin-server.ts';
import { inRam, type Ran, ran, settingsOf } from '../../support/command.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { revealed, sampleIdentity, sampleMedia } from '../../support/snapshots.ts';
import { type StoreBench, storeBench } from '../../support/stores.ts';

let bench: StoreBench;
const closing: (() => Promise<void>)[] = [];

beforeEach(async () => {
  bench = await storeBench();
});

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  bench.dispose();
});

describe('rekeycast keys', () => {
  it.each([
    [[], 'say which command'],
    [['revoke'], 'there is no command "revoke"'],
    [['promote'], '"promote" wants to know which key'],
    [['destroy', '../0011223344556677'], 'takes the id of a key'],
    [['disable', '0011223344556677', '0011223344556678'], 'takes no "0011223344556678"'],
    [['toString'], 'there is no command "toString"'],
    [['rotate', 'now'], 'takes no "now"'],
    [['rotate', '--force'], '--force'],
  ])('called as %j exits with 2 and says what is wrong', async (argv, words) => {
    const { code, out, err } = await run(...argv);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(words);
    expect(err).toContain('Usage:');
  });

  it.each([['--help'], ['-h'], ['help'], ['revoke', '--help']])('shows its help for %s', async (...argv) => {
    const { code, out, err } = await run(...argv);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('rekeycast keys rotate [--json]');
  });

  it.each(['status', 'rotate', 'add', 'promote', 'disable', 'enable', 'destroy', 'reseal', 'verify'])(
    'says more about %s, before or behind it',
    async (command) => {
      const { code, out } = await run(command, '--help');
      expect(code).toBe(0);
      expect(out).toContain(`rekeycast keys ${command} `);
      expect(out).toContain('Exit codes: 0');
      expect((await run('help', command)).out).toBe(out);
    },
  );

  it('exits with 1 and the command to run where others could have read the keys', async () => {
    await bench.keyring();
    chmodSync(bench.keysDir, 0o755);
    for (const command of ['status', 'rotate']) {
      const { code, err } = await run(command);
      expect(code).toBe(1);
      expect(err).toContain(`chmod 700 ${bench.keysDir}`);
    }
    const { code, out } = await run('rotate', '--json');
    expect([code, JSON.parse(out)]).toMatchObject([1, { error: 'KEY_MODE_TOO_OPEN' }]);
  });
});

describe('rekeycast keys status', () => {
  it('makes nothing before the first run', async () => {
    const runtimeDir = join(bench.root, 'later');
    const { code, out } = await runWith({ RUNTIME_DIR: runtimeDir }, 'status');
    expect(code).toBe(0);
    expect(out).toContain('the first start of the server makes one');
    expect(existsSync(bench.keysDir)).toBe(false);
    expect(existsSync(runtimeDir)).toBe(false);
  });

  it('shows keys, sealed files and the server, for people and for programs', async () => {
    const { id } = await written();
    const forPeople = await run('status');
    expect(forPeople.out).toMatch(new RegExp(`${id} {2}primary`));
    expect(forPeople.out).toContain('Server: stopped');
    expect(forPeople.out).not.toContain('not finished');
    const { out } = await run('status', '--json');
    expect(JSON.parse(out)).toMatchObject({
      server: 'stopped',
      unfinished: false,
      keys: [{ id, state: 'primary' }],
      sealed: [
        { path: join(bench.stateDir, 'identity.sealed'), keyId: id, generation: 1 },
        { path: join(bench.runtimeDir, 'media.sealed'), keyId: id },
      ],
    });
  });

  it('says that a rotation is not finished', async () => {
    await written();
    const keyring = await bench.keyring();
    await keyring.promote(await keyring.add());
    const { code, out } = await run('status');
    expect(code).toBe(3);
    expect(out).toContain('A rotation is not finished');
    expect(out).toContain('which is not primary: run rekeycast keys reseal');
  });

  it('says that a key has lost its secret, and that a file needs a key which is not here', async () => {
    const { id } = await written();
    rmSync(join(bench.keysDir, `${id}.secret`));
    const { code, out } = await run('status', '--json');
    expect([code, JSON.parse(out).attention]).toEqual([
      3,
      [expect.stringContaining(`put ${id}.secret back`)],
    ]);
    rmSync(bench.keysDir, { recursive: true });
    await bench.keyring();
    expect((await run('status')).out).toContain('the server cannot open it');
  });
});

describe('rekeycast keys, step by step', () => {
  it('adds, promotes, seals anew, verifies, disables and destroys', async () => {
    const { id, identity } = await written();
    const { added } = JSON.parse((await run('add', '--json')).out) as { added: string };
    expect((await run('verify')).code).toBe(0);
    expect((await run('promote', added)).out).toContain('run rekeycast keys reseal');
    expect((await run('verify')).code).toBe(3);
    expect((await run('reseal')).code).toBe(0);
    const verified = await run('verify', '--json');
    expect([verified.code, JSON.parse(verified.out)]).toMatchObject([0, { primary: added, complete: true }]);
    expect((await run('status')).code).toBe(3);
    expect((await run('disable', id)).code).toBe(0);
    expect((await run('status')).code).toBe(0);
    expect((await run('enable', id)).out).toContain('was primary before');
    expect((await run('destroy', id)).code).toBe(0);
    expect(existsSync(join(bench.keysDir, `${id}.secret`))).toBe(false);
    expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(identity));
    for (const command of ['promote', 'disable', 'enable']) {
      const { code, err } = await run(command, id);
      expect([code, err]).toEqual([1, expect.stringContaining('destroyed')]);
    }
    expect((await run('destroy', id)).code).toBe(0);
  });

  it.each(['disable', 'destroy'])('does not %s a key that is needed still', async (command) => {
    const { id } = await written();
    expect((await run(command, id)).err).toContain('is primary');
    const keyring = await bench.keyring();
    const next = await keyring.add();
    await keyring.promote(next);
    const sealed = await run(command, id);
    expect([sealed.code, sealed.err]).toEqual([
      1,
      expect.stringContaining('identity.sealed is sealed to it'),
    ]);
    await run('reseal');
    await listen(async () => ({ ok: true, key: id }));
    const used = await run(command, id);
    expect([used.code, used.err]).toEqual([1, expect.stringContaining('the running server seals to it')]);
    for (const close of closing.splice(0)) await close();
    expect((await run(command, id)).code).toBe(0);
  });

  it.each(['disable', 'destroy'])('does not %s a key that only an anchor is of', async (command) => {
    const { id } = await written();
    const anchor = readFileSync(join(bench.stateDir, 'media.anchor'));
    const keyring = await bench.keyring();
    await keyring.promote(await keyring.add());
    await run('reseal');
    writeFileSync(join(bench.stateDir, 'media.anchor'), anchor);
    const { code, err } = await run(command, id);
    expect([code, err]).toEqual([1, expect.stringContaining('media.anchor was written with it')]);
  });

  it.each(['rotate', 'reseal', 'disable', 'destroy'])(
    'does not %s beside a server that does not answer',
    async (command) => {
      await written();
      const added = await (await bench.keyring()).add();
      await listen(async () => undefined);
      const before = snapshotOf(bench.keysDir);
      const { code, err } = await run(command, ...(/^d/.test(command) ? [added] : []));
      expect([code, err]).toEqual([1, expect.stringContaining('does not answer')]);
      expect(snapshotOf(bench.keysDir)).toEqual(before);
    },
  );

  it('promotes no key that nobody could write with', async () => {
    const { id } = await written();
    const added = await (await bench.keyring()).add();
    await run('disable', added);
    expect((await run('promote', added)).err).toContain(`rekeycast keys enable ${added}`);
    await run('enable', added);
    writeFileSync(join(bench.keysDir, `${added}.secret`), randomBytes(32));
    expect((await run('promote', added)).err).toContain('is not the secret of the public key');
    rmSync(join(bench.keysDir, `${added}.secret`));
    expect((await run('promote', added)).err).toContain('has lost its secret');
    expect((await bench.keyring()).primary().id).toBe(id);
  });

  it('names the keys that are there where another one is asked for', async () => {
    const { id } = await written();
    for (const command of ['promote', 'disable', 'enable', 'destroy']) {
      const { code, err } = await run(command, '00112233aabbccdd');
      expect([code, err]).toEqual([1, expect.stringContaining(`There is: ${id}`)]);
    }
  });
});

describe('rekeycast keys verify', () => {
  it.each(['identity.sealed', 'media.sealed', 'media.anchor'])('finds a damaged %s', async (name) => {
    await written();
    expect((await run('verify')).code).toBe(0);
    const path = join(name === 'media.sealed' ? bench.runtimeDir : bench.stateDir, name);
    const bytes = readFileSync(path);
    bytes[40]! ^= 1;
    writeFileSync(path, bytes);
    const { code, err } = await run('verify');
    expect([code, err]).toEqual([1, expect.stringContaining(path)]);
  });

  it('leaves the media snapshot to the next start', async () => {
    const { media } = await written();
    await run('verify');
    bench.now = Date.now();
    expect(revealed(await (await bench.start()).takeMedia())).toEqual(revealed(media));
  });
});

describe('rekeycast keys rotate', () => {
  it('with the server stopped seals all anew and destroys the old key', async () => {
    const { id, identity, media } = await written();
    const { code, out, err } = await run('rotate', '--json');
    expect([code, err]).toEqual([0, '']);
    const { primary, destroyed } = JSON.parse(out) as { primary: string; destroyed: string[] };
    expect(destroyed).toEqual([id]);
    expect(primary).not.toBe(id);
    expect(readdirSync(bench.keysDir)).not.toContain(`${id}.secret`);
    bench.now = Date.now();
    const store = await bench.start();
    expect(revealed(await store.readIdentity())).toEqual(revealed(identity));
    expect(revealed(await store.takeMedia())).toEqual(revealed(media));
  });

  it('says the same to people', async () => {
    const { id } = await written();
    const { out } = await run('rotate');
    expect(out).toContain('The snapshot key was replaced.');
    expect(out).toContain(`destroyed  ${id}`);
  });

  it('finishes a rotation that was cut off and makes no other key', async () => {
    await written();
    const keyring = await bench.keyring();
    const next = await keyring.add();
    await keyring.promote(next);
    const { out } = await run('rotate', '--json');
    expect(JSON.parse(out)).toMatchObject({ primary: next, finishedEarlier: true });
    expect((await bench.keyring()).list()).toHaveLength(2);
  });

  it('deletes media contexts past their deadline and says so', async () => {
    await written(-60_000);
    const { code, err } = await run('rotate');
    expect(code).toBe(0);
    expect(err).toContain('past its deadline');
    expect(existsSync(join(bench.runtimeDir, 'media.sealed'))).toBe(false);
  });

  it('deletes media contexts whose deadline cannot be trusted, since the clock was set back', async () => {
    await written(60_000);
    const { code, err } = await run('rotate');
    expect(code).toBe(0);
    expect(err).toContain('past its deadline');
    expect(existsSync(join(bench.runtimeDir, 'media.sealed'))).toBe(false);
  });

  it('destroys nothing while the identity is damaged', async () => {
    const { id } = await written();
    const path = join(bench.stateDir, 'identity.sealed');
    writeFileSync(path, readFileSync(path).subarray(0, -1));
    const { code, err } = await run('rotate');
    expect(code).toBe(1);
    expect(err).toContain('Start the server once');
    (await bench.keyring()).secret(id).dispose();
    const store = await bench.start();
    expect((await store.readIdentity())?.sessions).toHaveLength(3);
  });

  it('without a key is an error and makes none', async () => {
    const { code, err } = await run('rotate');
    expect(code).toBe(1);
    expect(err).toContain('KEY_MISSING');
    expect(existsSync(bench.keysDir)).toBe(false);
  });

  it('shows no secret, in its words or in the audit log', async () => {
    const { id } = await written();
    const secrets = [readFileSync(join(bench.keysDir, `${id}.secret`))];
    const { out, err } = await run('rotate');
    const shown = out + err + (await run('status', '--json')).out + audit();
    const primary = (await bench.keyring()).primary().id;
    secrets.push(readFileSync(join(bench.keysDir, `${primary}.secret`)));
    for (const secret of secrets)
      for (const encoding of ['hex', 'base64', 'base64url', 'latin1'] as const)
        expect(shown).not.toContain(secret.toString(encoding));
  });

  it('leaves a line for each key event in an audit log that only grows', async () => {
    await written();
    await run('rotate');
    const first = audit();
    const events = first
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; time: string });
    expect(events.map(({ event }) => event).filter((event) => event !== 'key-opened')).toEqual([
      'key-added',
      'key-promoted',
      'resealed',
      'key-destroyed',
    ]);
    for (const { time } of events) expect(Date.parse(time)).not.toBeNaN();
    await run('rotate');
    expect(audit().startsWith(first)).toBe(true);
    expect(audit().length).toBeGreaterThan(first.length);
  });
});

describe('rekeycast keys rotate with a running server', () => {
  it('lets the server seal anew, verifies, and destroys the old key', async () => {
    const { id, identity } = await written();
    const asked = await runningServer(identity);
    const { code, out } = await run('rotate', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ destroyed: [id], server: 'running' });
    expect(asked).toEqual([{ command: 'status' }, { command: 'reseal' }]);
    expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(identity));
  });

  it('keeps the old key where the server says that it did and did not', async () => {
    const { id } = await written();
    await listen(async () => ({ ok: true }));
    const { code, err } = await run('rotate');
    expect(code).toBe(1);
    expect(err).toContain('is not sealed to the new key');
    expect((await bench.keyring()).list()).toMatchObject([{ id, state: 'enabled' }, { state: 'primary' }]);
  });

  it('keeps both keys where the server refuses, and says why', async () => {
    await written();
    await listen(async ({ command }) =>
      command === 'status' ? { ok: true } : { ok: false, error: 'the disk is full' },
    );
    const { code, err } = await run('rotate');
    expect(code).toBe(1);
    expect(err).toContain('the disk is full');
    expect((await bench.keyring()).list().filter(({ secretPresent }) => secretPresent)).toHaveLength(2);
  });

  it('changes nothing where the server hangs up', async () => {
    await written();
    await listen(async () => undefined);
    const { code, err } = await run('rotate');
    expect(code).toBe(1);
    expect(err).toContain('it hung up without an answer');
    expect((await bench.keyring()).list()).toHaveLength(1);
  });

  it('changes nothing where a server has announced itself, runs, and does not listen', async () => {
    await written();
    const { withdraw } = announceServer(bench.stateDir, { adminSocket: join(bench.runtimeDir, 'none.sock') });
    const { code, err } = await run('rotate');
    expect(code).toBe(1);
    expect(err).toContain(`process ${process.pid} runs`);
    expect((await bench.keyring()).list()).toHaveLength(1);
    withdraw();
    expect((await run('rotate')).code).toBe(0);
  });

  it('takes a server that was killed for stopped, though another process has its id now', async () => {
    await written();
    announceAs({ processStart: '1' });
    expect((await run('rotate')).code).toBe(0);
  });

  it('changes nothing where the server was started on a host that it cannot see', async () => {
    await written();
    announceAs({ host: `not-${hostname()}` });
    const { code, err } = await run('rotate');
    expect(code).toBe(1);
    expect(err).toContain(`not-${hostname()}`);
  });

  it('does not wait where the server has ended just now', async () => {
    await written(0);
    expect((await run('rotate')).code).toBe(0);
  });

  it.each(['runtimeDir', 'stateDir'] as const)(
    'changes nothing where a process has the lock and says nothing: %s',
    async (which) => {
      await written();
      const lock = await DirectoryLock.take(bench[which]);
      onTestFinished(() => lock.release());
      const { code, err } = await run('rotate');
      expect(code).toBe(1);
      expect(err).toContain('locked by a process');
    },
  );

  it('finds a server in strict mode that has announced nothing', async () => {
    await written();
    await listen(async () => ({ ok: true }));
    const { out } = await runWith({ RESUME: 'strict' }, 'status', '--json');
    expect(JSON.parse(out)).toMatchObject({ server: 'running' });
  });

  it('finds the server where it says it is, whatever RUNTIME_DIR is here', async () => {
    const { identity } = await written();
    const adminSocket = join(bench.root, 'elsewhere.sock');
    announceServer(bench.stateDir, { adminSocket, runtimeDir: bench.runtimeDir });
    await runningServer(identity, adminSocket);
    const { out } = await run('status', '--json');
    expect(JSON.parse(out)).toMatchObject({ server: 'running' });
  });
});

/** What a server has left that was stopped a while ago. */
async function written(age = -10_000) {
  const identity = sampleIdentity(seededRandom(1));
  const media = sampleMedia(seededRandom(1), 2, Date.now() + age);
  const store = await bench.start();
  await store.writeIdentity(identity);
  store.writeMedia(media);
  return { identity, media, id: (await bench.keyring()).primary().id };
}

async function runningServer(
  identity: ReturnType<typeof sampleIdentity>,
  path?: string,
): Promise<readonly AdminRequest[]> {
  const store = await bench.start();
  const asked: AdminRequest[] = [];
  await listen(async (request) => {
    asked.push(request);
    if (request.command === 'reseal')
      await store.reseal(identity, sampleMedia(seededRandom(1), 2, Date.now()));
    return { ok: true };
  }, path);
  return asked;
}

async function listen(handle: Parameters<typeof adminServer>[1], path?: string): Promise<void> {
  const server = await adminServer(path ?? join(bench.runtimeDir, 'admin.sock'), handle);
  closing.push(() => server.close());
}

function announceAs(change: Record<string, string>): void {
  announceServer(bench.stateDir, {
    adminSocket: join(bench.runtimeDir, 'none.sock'),
    runtimeDir: bench.runtimeDir,
  });
  const path = join(bench.stateDir, 'server.json');
  const run = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...run, ...change }));
}

const run = (...argv: readonly string[]): Promise<Ran> => runWith({}, ...argv);

const runWith = (settings: Readonly<Record<string, string>>, ...argv: readonly string[]): Promise<Ran> =>
  ran((io) => runKeys(argv, { ...settingsOf(bench), ...settings }, io, inRam()));

const audit = (): string => readFileSync(join(bench.stateDir, 'audit.log'), 'utf8');

const snapshotOf = (directory: string): unknown =>
  readdirSync(directory).map((name) => [name, readFileSync(join(directory, name)).toString('hex')]);

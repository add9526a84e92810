import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Keyring } from '../../src/keyring/keyring.ts';
import { deriveWriterKey } from '../../src/keyring/writer-key.ts';
import { createCertificate } from '../../src/server/certificate.ts';
import { describeCertificate } from '../../src/server/certificate-keeper.ts';
import { FileSnapshotStore } from '../../src/snapshot/file-store.ts';
import type { CertificateRecord } from '../../src/snapshot/schema.ts';
import { utf8 } from '../../src/util/bytes.ts';
import { Secret } from '../../src/util/secret.ts';
import { loadSodium } from '../../src/util/sodium.ts';
import { prepareServer, sharedBrowser, startBroadcast } from '../support/fixture.ts';
import { keyText } from '../support/key-text.ts';
import { MemoryScanner } from '../support/memory.ts';
import { BUILT_SERVER, type ServerProcess } from '../support/process.ts';
import { seededRandom } from '../support/seeded-rng.ts';
import { composures, expectComposed, expectSurvival } from '../support/survival.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';

const DAY = 86_400_000;
const browser = sharedBrowser();
const root = testDirectory();

describe('the built command beside a real server', { timeout: 300_000 }, () => {
  it('rotates the snapshot keys in one and in many steps while viewers see nothing, and all of it resumes', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const { server } = running;
    const before = await composures(running);
    const { primary: former } = await done(server, 'keys', 'rotate');
    const { added } = await done(server, 'keys', 'add');
    await done(server, 'keys', 'promote', String(added));
    await done(server, 'keys', 'reseal');
    await done(server, 'keys', 'destroy', String(former));
    expect(await done(server, 'keys', 'status')).toMatchObject({ server: 'running', attention: [] });
    await expectComposed(running, before);
    await expectSurvival(running, () => server.restart(300));
  });

  it('says what is left of a rotation that was killed again and again, and ends it with the next one, while viewers see nothing', async () => {
    const running = await startBroadcast({ browser: browser(), viewers: 1 });
    const { server } = running;
    const before = await composures(running);
    const first = primaryOf(await done(server, 'keys', 'status'));
    // Until two kills have hit it between the new key's promotion and the end of the old one.
    for (let step = 1, told = 0; told < 2; step++) {
      expect(await rotateUntil(server, step)).toBe('killed');
      const { code, out, err } = await command(server, 'keys', 'status');
      const status = JSON.parse(out) as KeysStatus;
      const former = status.keys.filter(({ state, promoted }) => state === 'enabled' && promoted);
      expect(status.unfinished).toBe(former.length > 0);
      expect([code, err]).toEqual([status.attention.length > 0 ? 3 : 0, '']);
      if (!status.unfinished) continue;
      told++;
      expect(former.map(({ id }) => id)).toEqual([first]);
      expect(status.attention.at(-1)).toBe(
        `A rotation is not finished (${first} was primary before and is enabled still): run rekeycast keys rotate`,
      );
    }
    expect(await done(server, 'keys', 'rotate')).toMatchObject({ destroyed: [first], finishedEarlier: true });
    expect(await done(server, 'keys', 'status')).toMatchObject({ unfinished: false, attention: [] });
    await expectComposed(running, before);
    await expectSurvival(running, () => server.restart(300));
  });

  it('has a server with keys from a command take another one, which opens everything after kill -9', async () => {
    const keys = join(root.path, 'keys.txt');
    const put = (text: string): void => writeFileSync(keys, text, { mode: 0o600 });
    put(keyText(1));
    const server = await prepareServer({ env: { SNAPSHOT_KEY_COMMAND: `cat ${keys}` } });
    await server.start();
    const former = (await done(server, 'keys', 'verify')).primary;
    put(`${keyText(2)}\n${keyText(1)}`);
    expect((await command(server, 'keys', 'verify')).code).toBe(3);
    expect((await command(server, 'keys', 'rotate')).err).toContain('[KEY_SOURCE_READ_ONLY]');
    expect((await done(server, 'keys', 'reseal')).primary).not.toBe(former);
    await done(server, 'keys', 'verify');
    put(keyText(2));
    await server.restart(0);
    expect(server.events('started').at(-1)!.fields.msg).toBe('resumed');
    await done(server, 'keys', 'verify');
  });

  it.each(['a command', 'a file'])(
    'has a server hold no key that it has from %s, once it has opened everything with it',
    async (source) => {
      const keys = join(root.path, 'keys.txt');
      const text = keyText(3);
      writeFileSync(keys, `${text}\n`, { mode: 0o600 });
      const server = await prepareServer({
        env: source === 'a file' ? { SNAPSHOT_KEY_FILE: keys } : { SNAPSHOT_KEY_COMMAND: `cat ${keys}` },
      });
      await server.start();
      await onFile(server);
      await server.restart(0);
      expect(server.events('started').at(-1)!.fields.msg).toBe('resumed');
      await loadSodium();
      const key = Secret.copy(Buffer.from(text, 'base64'));
      const writerKey = deriveWriterKey(key);
      const found = await new MemoryScanner([
        // Without the first and the last byte, which X25519 sets bits of (RFC 7748 §5).
        { name: 'key', bytes: key.bytes.slice(1, -1) },
        { name: 'key as text', bytes: utf8(text) },
        { name: 'writer key', bytes: writerKey.bytes.slice() },
      ]).scan(server.run.pid);
      expect([...new Set(found.map(({ name }) => name))]).toEqual(['writer key']);
    },
  );

  it('finds a certificate replaced that was older than CERT_MAX_AGE at the start', async () => {
    const server = await prepareServer({ env: { CERT_MAX_AGE: '2160h' } });
    await server.start();
    await onFile(server);
    const { sha256: young } = await done(server, 'certificate', 'status');
    await server.restart(0);
    expect(await done(server, 'certificate', 'status')).toMatchObject({ sha256: young, due: false });
    await server.kill('SIGTERM');
    const old = await createCertificate(seededRandom(1), Date.now() - 91 * DAY);
    await replaceInFiles(server, old);
    await server.start();
    const replaced = await until('the old one is replaced', async () => {
      const { sha256 } = await done(server, 'certificate', 'status');
      return sha256 === describeCertificate(old).sha256 ? undefined : sha256;
    });
    expect(replaced).not.toBe(young);
    await server.restart(0);
    expect(await done(server, 'certificate', 'status')).toMatchObject({ sha256: replaced, due: false });
  });
});

interface KeysStatus {
  readonly keys: readonly { readonly id: string; readonly state: string; readonly promoted: boolean }[];
  readonly unfinished: boolean;
  readonly attention: readonly string[];
}

const primaryOf = (status: Record<string, unknown>): string | undefined =>
  (status as unknown as KeysStatus).keys.find(({ state }) => state === 'primary')?.id;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function command({ env }: ServerProcess, ...args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(process.execPath, [BUILT_SERVER, ...args, '--json'], { env: { ...env } }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

/** Runs a rotation that is killed right before the given one of its steps on files; gives how it has ended. */
function rotateUntil({ env }: ServerProcess, step: number): Promise<'killed' | 'done'> {
  const preload = join(root.path, 'kill.mjs');
  writeFileSync(preload, KILL);
  const argv = ['--import', preload, BUILT_SERVER, 'keys', 'rotate'];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, argv, { env: { ...env, KILL_AT: String(step) } }, (error) => {
      if (error === null) resolve('done');
      else if (error.signal === 'SIGKILL') resolve('killed');
      else reject(error);
    });
  });
}

/** Has a program kill itself right before it renames, removes or brings to the disk for the KILL_AT-th time. */
const KILL = `
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
let left = Number(process.env.KILL_AT);
for (const name of ['renameSync', 'unlinkSync', 'fsyncSync', 'mkdirSync']) {
  const step = fs[name];
  fs[name] = (...args) => {
    if (--left === 0) process.kill(process.pid, 'SIGKILL');
    return step(...args);
  };
}
syncBuiltinESMExports();
`;

async function done(server: ServerProcess, ...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await command(server, ...args);
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out) as Record<string, unknown>;
}

/** Before that there is nothing to resume. */
const onFile = ({ directories }: ServerProcess): Promise<unknown> =>
  until('the first snapshot is written', () => existsSync(join(directories.state, 'identity.sealed')));

/** As a server that has had it for long would have left it. */
async function replaceInFiles({ directories }: ServerProcess, certificate: CertificateRecord): Promise<void> {
  await loadSodium();
  const store = new FileSnapshotStore({
    stateDir: directories.state,
    runtimeDir: directories.runtime,
    keys: await Keyring.open({ directory: directories.keys }),
    report: ({ message }) => expect.fail(message),
  });
  const identity = await store.readIdentity();
  await store.writeIdentity({ ...identity!, certificate });
}

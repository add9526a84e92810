import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCertificate } from '../../../src/cli/certificate.ts';
import type { AdminResponse } from '../../../src/keyring/admin-protocol.ts';
import { describeCertificate } from '../../../src/server/certificate-keeper.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { type FileSystem, nodeFileSystem } from '../../../src/util/file-system.ts';
import { adminServer } from '../../support/admin-server.ts';
import { inRam, type Ran, ran, settingsOf } from '../../support/command.ts';
import { Killed, ProcessFiles } from '../../support/faulty-file-system.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { revealed, sampleIdentity } from '../../support/snapshots.ts';
import { type StoreBench, stoppedBench } from '../../support/stores.ts';

const SAMPLE = sampleIdentity(seededRandom(1));
const IDENTITY = { ...SAMPLE, certificate: { ...SAMPLE.certificate, createdAt: Date.now() - 7_200_000 } };
const SHOWN = describeCertificate(IDENTITY.certificate);

let bench: StoreBench;

beforeEach(async () => {
  bench = await stoppedBench(IDENTITY);
});

afterEach(() => bench.dispose());

describe('rekeycast certificate status', () => {
  it('shows fingerprint and age, and exits with 3 when it is to be replaced', async () => {
    expect(await run('status')).toMatchObject({ code: 0, out: expect.stringContaining('2 h ago') });
    const { code, out } = await runWith({ CERT_MAX_AGE: '1h' }, nodeFileSystem, 'status', '--json');
    expect([code, JSON.parse(out)]).toMatchObject([3, { ...SHOWN, due: true, server: 'stopped' }]);
    expect((await runWith({ CERT_MAX_AGE: '1h' }, nodeFileSystem, 'status')).out).toContain(
      'run rekeycast certificate rotate',
    );
  });

  it('asks a server that runs', async () => {
    const sha256 = '12'.repeat(32);
    await served({ ok: true, certificate: { sha256, createdAt: new Date().toISOString() } }, async () => {
      const { code, out } = await run('status', '--json');
      expect([code, JSON.parse(out)]).toMatchObject([0, { sha256, due: false, server: 'running' }]);
    });
  });
});

describe('rekeycast certificate rotate', () => {
  it('with the server stopped replaces it in both generations, and nothing else', async () => {
    const { code, out, err } = await run('rotate', '--json');
    expect([code, err]).toEqual([0, '']);
    const { sha256, before } = JSON.parse(out) as { sha256: string; before: string };
    expect(before).toBe(SHOWN.sha256);
    await expectIdentityWith(sha256);
    nodeFileSystem.remove(join(bench.stateDir, 'identity.sealed'));
    await expectIdentityWith(sha256);
    bench.now = Date.now();
    expect((await (await bench.start()).takeMedia())?.peers).toHaveLength(2);
  });

  it('killed at any step, leaves the old one or the new one and every session, and goes through the next time', async () => {
    for (let step = 1; ; step++) {
      bench.dispose();
      bench = await stoppedBench(IDENTITY);
      const files = new ProcessFiles();
      files.killIn(step);
      await runWith({}, files.fs, 'rotate').catch((cause: unknown) => {
        if (!(cause instanceof Killed)) throw cause;
      });
      expect((await (await bench.start()).readIdentity())?.sessions).toHaveLength(3);
      const { code, out } = await run('rotate', '--json');
      expect(code).toBe(0);
      await expectIdentityWith((JSON.parse(out) as { sha256: string }).sha256);
      if (!files.killed) break;
      expect(step).toBeLessThan(40);
    }
  });

  it('on a full disk says so, and the old one stays', async () => {
    const files = new ProcessFiles();
    files.fill(bench.stateDir);
    const { code, err } = await runWith({}, files.fs, 'rotate');
    expect([code, err]).toEqual([1, expect.stringContaining('no space left on device')]);
    expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(IDENTITY));
  });

  it('lets a server that runs do it', async () => {
    const certificate = { sha256: '34'.repeat(32), createdAt: new Date().toISOString() };
    const asked = await served({ ok: true, certificate }, async () => {
      const { code, out } = await run('rotate');
      expect([code, out]).toEqual([0, expect.stringContaining('Everybody who is live moves to it')]);
    });
    expect(asked).toEqual(['status', 'status', 'certificate']);
    expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(IDENTITY));
  });

  it.each([
    ['refuses', { ok: false, error: 'the disk is full' } as const, 'the disk is full'],
    ['is of another version', { ok: true } as const, 'it is of another version'],
    ['does not answer', undefined, 'does not answer'],
  ])('says so where the server %s', async (_, response, words) => {
    await served(response, async () => {
      expect(await run('rotate')).toMatchObject({ code: 1, err: expect.stringContaining(words) });
    });
  });

  it('before the first run says that there is nothing to replace', async () => {
    nodeFileSystem.remove(join(bench.stateDir, 'identity.sealed'));
    nodeFileSystem.remove(join(bench.stateDir, 'identity.previous.sealed'));
    expect(await run('rotate')).toMatchObject({ code: 1, err: expect.stringContaining('there is no') });
  });
});

describe('rekeycast certificate', () => {
  it.each([
    [[], 'say which command'],
    [['renew'], 'there is no command "renew"'],
    [['rotate', 'now'], 'takes no "now"'],
    [['rotate', '--force'], '--force'],
  ])('called as %j exits with 2 and says what is wrong', async (argv, words) => {
    const { code, out, err } = await run(...argv);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(words);
  });

  it('shows its help', async () => {
    expect(await run('rotate', '--help')).toMatchObject({
      code: 0,
      out: expect.stringContaining('Exit codes'),
    });
  });
});

async function expectIdentityWith(sha256: string): Promise<void> {
  const identity = (await (await bench.start()).readIdentity())!;
  expect(describeCertificate(identity.certificate).sha256).toBe(sha256);
  expect(toHex(identity.tokenKey.bytes)).toBe(toHex(IDENTITY.tokenKey.bytes));
  expect(revealed(identity.sessions)).toEqual(revealed(IDENTITY.sessions));
}

async function served(
  response: AdminResponse | undefined,
  work: () => Promise<void>,
): Promise<readonly string[]> {
  const asked: string[] = [];
  const server = await adminServer(join(bench.runtimeDir, 'admin.sock'), async ({ command }) => {
    asked.push(command);
    return response;
  });
  try {
    await work();
  } finally {
    await server.close();
  }
  return asked;
}

const run = (...argv: readonly string[]): Promise<Ran> => runWith({}, nodeFileSystem, ...argv);

const runWith = (
  settings: Readonly<Record<string, string>>,
  fs: FileSystem,
  ...argv: readonly string[]
): Promise<Ran> => ran((io) => runCertificate(argv, { ...settingsOf(bench), ...settings }, io, inRam(fs)));

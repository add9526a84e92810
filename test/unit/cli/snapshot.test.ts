import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runSnapshot } from '../../../src/cli/snapshot.ts';
import { FORMAT_VERSION } from '../../../src/snapshot/header.ts';
import type { Inspected } from '../../../src/snapshot/inspect.ts';
import { sealSnapshot } from '../../../src/snapshot/seal.ts';
import { fingerprintOf } from '../../../src/transport/dtls/fingerprint.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { Secret } from '../../../src/util/secret.ts';
import { inRam, type Ran, ran, settingsOf } from '../../support/command.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { revealed, sampleIdentity, sampleMedia, sampleSession } from '../../support/snapshots.ts';
import { type StoreBench, storeBench } from '../../support/stores.ts';

const RNG = seededRandom(1);
const SAMPLE = sampleIdentity(RNG, 2);
const IDENTITY = { ...SAMPLE, sessions: [...SAMPLE.sessions, sampleSession(RNG, { role: 'broadcaster' })] };

let bench: StoreBench;
let key: string;

beforeEach(async () => {
  bench = await storeBench();
  bench.now = Date.now() - 7_200_000;
  const store = await bench.start();
  await store.writeIdentity(IDENTITY);
  store.writeMedia(sampleMedia(seededRandom(2), 4, Date.now() - 10_000));
  key = (await bench.keyring()).primary().id;
});

afterEach(() => bench.dispose());

describe('rekeycast snapshot inspect', () => {
  it('shows a name that somebody has given a file without what would move the cursor', async () => {
    const name = 'identity.sealed.refused-\x1b[2J\x9b';
    writeFileSync(join(bench.stateDir, name), 'anything');
    const { out } = await run('inspect');
    expect(out).toContain('identity.sealed.refused-?[2J?');
    expect(out).not.toMatch(/[^\P{Cc}\n]/u);
  });

  it('is as careful with what it says of a file that it cannot show', async () => {
    const { code, err } = await run('inspect', join(bench.stateDir, 'not\x1b[2Jthere'));
    expect(code).toBe(1);
    expect(err).toContain('not?[2Jthere');
    expect(err).not.toMatch(/[^\P{Cc}\n]/u);
  });

  it('shows what every sealed file says of itself, and opens none', async () => {
    const { code, out } = await run('inspect', '--json');
    expect(code).toBe(0);
    const { files, anchors } = JSON.parse(out) as { files: Inspected[]; anchors: unknown[] };
    expect(files).toMatchObject([
      {
        path: join(bench.stateDir, 'identity.sealed'),
        kind: 'identity',
        version: FORMAT_VERSION,
        key,
        generation: 1,
        writer: 'authenticated',
        records: 4,
        writtenAt: new Date(bench.now).toISOString(),
      },
      {
        path: join(bench.runtimeDir, 'media.sealed'),
        kind: 'media',
        key,
        writer: 'authenticated',
        records: 2,
        expired: false,
      },
    ]);
    expect(files[0]!.ageMs).toBeGreaterThanOrEqual(7_200_000);
    expect(files[0]!.bytes).toBe(readFileSync(join(bench.stateDir, 'identity.sealed')).length);
    expect(files.every(({ opened }) => opened === undefined)).toBe(true);
    expect(anchors).toMatchObject([
      { of: 'media', key, newest: files[1]!.snapshot },
      { of: 'identity', key, generation: 1, newest: files[0]!.snapshot },
    ]);
  });

  it('says the same to people', async () => {
    const { code, out } = await run('inspect');
    expect(code).toBe(0);
    for (const words of [
      `identity, format ${FORMAT_VERSION}`,
      key,
      '2 h ago',
      'authenticated',
      '4 records',
      '2 records',
    ])
      expect(out).toContain(words);
  });

  it('with the key counts, and shows the certificate that every visitor sees', async () => {
    const { out } = await run('inspect', '--open', '--json');
    const { certificate, createdAt } = IDENTITY.certificate;
    const [identity, media] = (JSON.parse(out) as { files: Inspected[] }).files;
    expect(identity!.opened).toMatchObject({
      broadcasters: 1,
      viewers: 2,
      withConnection: 3,
      certificate: {
        sha256: toHex(fingerprintOf(certificate, 'sha-256').digest),
        createdAt: new Date(createdAt).toISOString(),
      },
    });
    expect(media!.opened).toBeUndefined();
    expect((await run('inspect', '--open')).out).toContain('1 broadcasters, 2 viewers');
  });

  it('shows no secret, and nothing of a visitor', async () => {
    const shown = (await run('inspect', '--open', '--json')).out + (await run('inspect', '--open')).out;
    const { privateKey } = IDENTITY.certificate;
    const secrets = [privateKey, IDENTITY.tokenKey].map((secret: Secret) => toHex(secret.bytes));
    const { id, tokenHash, connection } = IDENTITY.sessions[0]!;
    const visitor = [toHex(id), toHex(tokenHash), connection!.localPwd, connection!.remoteAddress!.ip];
    for (const text of [...secrets, ...visitor]) expect(shown).not.toContain(text);
  });

  it('leaves none in memory', async () => {
    const made: Secret[] = [];
    const kept = (secret: Secret): Secret => {
      made.push(secret);
      return secret;
    };
    const [alloc, copy, take] = [Secret.alloc, Secret.copy, Secret.take].map((make) => make.bind(Secret));
    const spies = [
      vi.spyOn(Secret, 'alloc').mockImplementation((length) => kept(alloc!(length as never))),
      vi.spyOn(Secret, 'copy').mockImplementation((source) => kept(copy!(source as never))),
      vi.spyOn(Secret, 'take').mockImplementation((source) => kept(take!(source as never))),
    ];
    expect((await run('inspect', '--open')).code).toBe(0);
    for (const spy of spies) spy.mockRestore();
    expect(made.length).toBeGreaterThan(4);
    expect(made.filter(({ disposed }) => !disposed)).toEqual([]);
  });

  it('changes nothing: the next start finds all of it', async () => {
    const before = contentOf();
    await run('inspect', '--open');
    expect(contentOf()).toEqual(before);
    bench.now = Date.now();
    const store = await bench.start();
    expect((await store.takeMedia())?.peers).toHaveLength(4);
    expect(revealed(await store.readIdentity())).toEqual(revealed(IDENTITY));
  });

  it('without the keys shows the same but for who wrote it, and opens nothing', async () => {
    rmSync(bench.keysDir, { recursive: true });
    const { code, out } = await run('inspect', '--json', join(bench.stateDir, 'identity.sealed'));
    expect([code, JSON.parse(out)]).toMatchObject([0, { files: [{ key, writer: 'unknown' }], anchors: [] }]);
    const opened = await run('inspect', '--open');
    expect([opened.code, opened.err]).toEqual([1, expect.stringContaining('[KEY_MISSING]')]);
    expect(existsSync(bench.keysDir)).toBe(false);
  });

  it('without usable keys goes on, and says why', async () => {
    chmodSync(bench.keysDir, 0o755);
    const { code, err } = await run('inspect');
    expect([code, err]).toEqual([3, expect.stringContaining('without the keys: others can get at')]);
  });

  it.each([
    ['a file that is cut', (bytes: Buffer) => bytes.subarray(0, -1), 'it is cut off'],
    ['a damaged head', (bytes: Buffer) => flipped(bytes, 40), 'its header is damaged'],
    ['something else', () => Buffer.from('hello'), 'it is shorter than its header'],
  ])('finds %s, and exits with 3', async (_, change, words) => {
    const path = join(bench.stateDir, 'identity.sealed');
    writeFileSync(path, change(readFileSync(path)));
    const { code, out } = await run('inspect', path);
    expect([code, out]).toEqual([3, expect.stringContaining(words)]);
  });

  it('finds a file that somebody else has written to our key', async () => {
    const forged = join(bench.root, 'forged');
    const { publicKey } = (await bench.keyring()).primary();
    const header = {
      kind: 'identity',
      generation: 9,
      createdAt: Date.now(),
      notAfter: 0,
      id: '00'.repeat(16),
    } as const;
    const writerKey = Secret.random(32, seededRandom(3));
    writeFileSync(forged, sealSnapshot({ id: key, publicKey, writerKey }, header, []));
    const { code, out } = await run('inspect', '--json', forged);
    expect([code, JSON.parse(out).files]).toMatchObject([3, [{ key, writer: 'not authenticated' }]]);
  });

  it('shows files that were put aside', async () => {
    const path = join(bench.stateDir, 'identity.sealed');
    writeFileSync(`${path}.damaged-2026-01-01T00-00-00-000Z`, readFileSync(path).subarray(0, 300));
    const { code, out } = await run('inspect');
    expect([code, out]).toEqual([3, expect.stringContaining('identity.sealed.damaged-2026')]);
  });

  it.each([
    [[], 'say which command'],
    [['open'], 'there is no command "open"'],
    [['inspect', 'a', 'b'], 'no "b"'],
    [['inspect', '--all'], '--all'],
  ])('called as %j exits with 2 and says what is wrong', async (argv, words) => {
    const { code, out, err } = await run(...argv);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(words);
  });

  it('exits with 1 where there is no such file, and 0 with its help', async () => {
    expect(await run('inspect', join(bench.root, 'none'))).toMatchObject({
      code: 1,
      err: expect.stringContaining('there is no'),
    });
    expect((await run('inspect', bench.root)).err).toContain('is no sealed file');
    expect((await run('--help')).out).toContain('snapshot inspect');
  });

  it('before the first run says that nothing is sealed', async () => {
    rmSync(bench.root, { recursive: true });
    expect(await run('inspect')).toMatchObject({
      code: 0,
      out: expect.stringContaining('Nothing is sealed'),
    });
  });
});

function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[at]! ^= 1;
  return changed;
}

const contentOf = (): unknown =>
  [bench.stateDir, bench.runtimeDir].flatMap((directory) =>
    readdirSync(directory)
      .filter((name) => name !== 'audit.log')
      .map((name) => [name, readFileSync(join(directory, name)).toString('hex')]),
  );

const run = (...argv: readonly string[]): Promise<Ran> =>
  ran((io) => runSnapshot(argv, settingsOf(bench), io, inRam()));

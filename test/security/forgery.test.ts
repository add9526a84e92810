import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runKeys } from '../../src/cli/keys.ts';
import { rekey } from '../../src/cli/rekey.ts';
import { readConfig } from '../../src/config.ts';
import type { SnapshotWriter } from '../../src/keyring/keyring.ts';
import { openStorage } from '../../src/server/storage.ts';
import { parseHeader, type SealedKind } from '../../src/snapshot/header.ts';
import { announceServer, readRunFile } from '../../src/snapshot/run-file.ts';
import type { IdentitySnapshot, MediaSnapshot } from '../../src/snapshot/schema.ts';
import { type OpenResult, openSealed } from '../../src/snapshot/seal.ts';
import { concat, toHex } from '../../src/util/bytes.ts';
import { Secret } from '../../src/util/secret.ts';
import { adminServer } from '../support/admin-server.ts';
import { inRam, settingsOf } from '../support/command.ts';
import {
  forgedIdentity,
  forgedMedia,
  HEAD,
  publicMaterial,
  recordsOf,
  vouchForMedia,
  withChecksum,
  withField,
} from '../support/forger.ts';
import { makePipe } from '../support/pipe.ts';
import { seededRandom } from '../support/seeded-rng.ts';
import { revealed, sampleIdentity, sampleMedia } from '../support/snapshots.ts';
import { type StoreBench, storeBench } from '../support/stores.ts';
import { until } from '../support/wait.ts';

const FORMER = sampleIdentity(seededRandom(1));
const NEWEST = sampleIdentity(seededRandom(2));
const MEDIA = sampleMedia(seededRandom(3));
/** What an attacker would like the server to be, and to send to. */
const FOREIGN = sampleIdentity(seededRandom(4));
const FOREIGN_MEDIA = sampleMedia(seededRandom(5), 4);

let bench: StoreBench;
let identity: string;
let media: string;

/** A server has written twice and was killed. */
beforeEach(async () => {
  bench = await storeBench();
  const store = await bench.start();
  await store.writeIdentity(FORMER);
  await store.writeIdentity(NEWEST);
  store.writeMedia(MEDIA);
  identity = join(bench.stateDir, 'identity.sealed');
  media = join(bench.runtimeDir, 'media.sealed');
  bench.events.length = 0;
});

afterEach(() => bench.dispose());

interface Found {
  readonly identity: unknown;
  readonly media: unknown;
}

const all = (identitySnapshot: IdentitySnapshot, mediaSnapshot: MediaSnapshot | undefined): Found => ({
  identity: revealed(identitySnapshot),
  media: mediaSnapshot && revealed(mediaSnapshot),
});

/** What the next process begins with. */
async function started(): Promise<Found> {
  const store = await bench.start();
  const found = await store.readIdentity();
  return { identity: revealed(found), media: revealed(await store.takeMedia()) };
}

function put(path: string, bytes: Uint8Array): void {
  rmSync(path, { force: true });
  writeFileSync(path, bytes, { mode: 0o600 });
}

const bytesOf = (path: string): Uint8Array => new Uint8Array(readFileSync(path));
const events = (): readonly string[] => bench.events.map(({ event }) => event);
const refusedFiles = (): readonly string[] =>
  readdirSync(bench.stateDir).filter((name) => name.includes('.refused-'));

/** The true key, as whoever has stolen KEYS_DIR or read the process has it. */
const trueWriter = async (): Promise<SnapshotWriter> => (await bench.keyring()).writer();

describe('somebody who may write to both directories and knows the public key', () => {
  it('forge-control: finds the server resuming from what it has written itself', async () => {
    expect(await started()).toEqual(all(NEWEST, MEDIA));
    expect(events()).toEqual([]);
  });

  it('forge-identity: makes no identity that is used: it is put aside with words, and the one before it is read', async () => {
    const forged = forgedIdentity(publicMaterial(bench.keysDir), FOREIGN, 99);
    put(identity, forged);
    expect(await started()).toEqual(all(FORMER, MEDIA));
    expect(bench.events[0]).toMatchObject({
      event: 'snapshot-refused',
      message: expect.stringContaining('no holder of the snapshot key'),
    });
    expect(refusedFiles()).toHaveLength(1);
    expect(bytesOf(join(bench.stateDir, refusedFiles()[0]!))).toEqual(forged);
    // The tool is good: with the true writer key it is the server's own.
    put(identity, forgedIdentity(await trueWriter(), FOREIGN, 99));
    expect((await started()).identity).toEqual(revealed(FOREIGN));
  });

  it('forge-identity-alone: makes none either where both generations are forged: the server is a new one', async () => {
    const writer = publicMaterial(bench.keysDir);
    put(identity, forgedIdentity(writer, FOREIGN, 99));
    put(join(bench.stateDir, 'identity.previous.sealed'), forgedIdentity(writer, FOREIGN, 98));
    expect((await started()).identity).toBeUndefined();
    expect(refusedFiles()).toHaveLength(2);
  });

  it('forge-media: makes no contexts that are used: they are deleted with words', async () => {
    const keys = await bench.keyring();
    put(media, forgedMedia(publicMaterial(bench.keysDir), FOREIGN_MEDIA));
    // Even if it were the file that was written last.
    vouchForMedia(bench.stateDir, bench.runtimeDir, keys);
    expect(await started()).toEqual(all(NEWEST, undefined));
    expect(events()).toEqual(['snapshot-refused']);
    expect(existsSync(media)).toBe(false);
    put(media, forgedMedia(await trueWriter(), FOREIGN_MEDIA));
    vouchForMedia(bench.stateDir, bench.runtimeDir, keys);
    expect((await started()).media).toEqual(revealed(FOREIGN_MEDIA));
  });

  it('forge-outdated: brings no file of the format that showed no writer', async () => {
    const old = forgedIdentity(publicMaterial(bench.keysDir), FOREIGN, 99);
    old[4] = 1;
    put(identity, withChecksum(old));
    expect(await started()).toEqual(all(FORMER, MEDIA));
    expect(bench.events[0]).toMatchObject({
      event: 'snapshot-refused',
      message: expect.stringContaining('format 1'),
    });
    expect(refusedFiles()).toHaveLength(1);
  });

  it('forge-generation: does not exhaust the generations, whatever number a forged file has', async () => {
    put(identity, forgedIdentity(publicMaterial(bench.keysDir), FOREIGN, Number.MAX_SAFE_INTEGER));
    const store = await bench.start();
    await store.readIdentity();
    await store.writeIdentity(NEWEST);
    expect(parseHeader(bytesOf(identity))).toMatchObject({ header: { generation: 3 } });
    expect(revealed(await (await bench.start()).readIdentity())).toEqual(revealed(NEWEST));
  });

  it('forge-anchor: makes no anchor that is believed: contexts are refused, the identity is read all the same', async () => {
    const anchors = [join(bench.stateDir, 'media.anchor'), join(bench.runtimeDir, 'identity.anchor')];
    const [mediaAnchor, identityAnchor] = anchors.map(bytesOf);
    for (const [path, other] of [
      [anchors[0]!, identityAnchor!],
      [anchors[1]!, mediaAnchor!],
    ] as const) {
      const own = bytesOf(path);
      const raised = own.slice();
      raised[23] = 0xff;
      for (const bytes of [raised, other, own.subarray(1), new Uint8Array(0)]) {
        const store = await bench.start();
        store.writeMedia(MEDIA);
        put(path, bytes);
        bench.events.length = 0;
        const found = await started();
        const isMedia = path === anchors[0];
        expect(found).toEqual(all(NEWEST, isMedia ? undefined : MEDIA));
        // The newest identity is good whatever the anchor says; the older one is what it is needed against.
        expect(events().filter((event) => event.endsWith('refused'))).toEqual([
          isMedia ? 'snapshot-refused' : 'anchor-refused',
        ]);
        put(path, own);
      }
    }
  });

  it('forge-writer: who reads the writer key out of the process can write with it, and read nothing', async () => {
    const writer = await trueWriter();
    for (const [path, kind] of [
      [identity, 'identity'],
      [media, 'media'],
    ] as const) {
      const opened = openSealed(bytesOf(path), () => Secret.copy(writer.writerKey.bytes), { kind });
      expect(opened.outcome).toBe('forged');
      const withSecret = await open(bytesOf(path), kind);
      expect(withSecret).toMatchObject({ outcome: 'opened', complete: true });
    }
  });

  it('forge-audit: is found in the audit log', async () => {
    put(identity, forgedIdentity(publicMaterial(bench.keysDir), FOREIGN, 99));
    const config = readConfig(settingsOf(bench));
    const { store } = await openStorage(config, pino({ level: 'silent' }));
    expect(revealed(await store.readIdentity())).toEqual(revealed(FORMER));
    const line = await until('the refusal is in the audit log', () =>
      readFileSync(join(bench.stateDir, 'audit.log'), 'utf8')
        .split('\n')
        .find((text) => text.includes('snapshot-refused')),
    );
    expect(JSON.parse(line)).toMatchObject({
      event: 'snapshot-refused',
      message: expect.stringContaining(identity),
    });
  });
});

/** Opens as a boot does. */
async function open(bytes: Uint8Array, kind: SealedKind): Promise<OpenResult> {
  const keys = await bench.keyring();
  return openSealed(bytes, (id) => keys.secret(id), { kind });
}

async function textsOf(bytes: Uint8Array): Promise<readonly string[]> {
  const opened = await open(bytes, 'identity');
  return opened.outcome === 'opened' ? opened.records.map((record) => toHex(record.bytes)) : [];
}

describe('genuine files, cut up and put together otherwise,', () => {
  it('forge-head: are refused with any field of a head from another one', async () => {
    const keys = await bench.keyring();
    const here = bytesOf(identity);
    const store = await bench.start();
    await keys.promote(await keys.add());
    await store.writeIdentity(FORMER);
    store.writeMedia(MEDIA);
    const others = [bytesOf(identity), bytesOf(media)];
    let tried = 0;
    for (const field of Object.keys(HEAD) as (keyof typeof HEAD)[]) {
      for (const other of others) {
        const mixed = withField(here, field, other);
        if (toHex(mixed) === toHex(here)) continue;
        for (const kind of ['identity', 'media'] as const) {
          const { outcome } = await open(mixed, kind);
          const isOther = (kind === 'media') === (mixed[5] === here[5]);
          expect(`${field} ${outcome}`).toBe(`${field} ${isOther ? 'damaged' : 'forged'}`);
          tried++;
        }
      }
    }
    expect(tried).toBeGreaterThan(25);
    expect(await open(here, 'identity')).toMatchObject({ outcome: 'opened', complete: true });
  });

  it('forge-splice: give nothing but the records that were in front, in their order', async () => {
    const files = [identity, join(bench.stateDir, 'identity.previous.sealed')].map(bytesOf);
    const pieces = files.map(recordsOf);
    const head = files[0]!.subarray(0, files[0]!.length - concat(...pieces[0]!).length);
    const texts = await textsOf(files[0]!);
    expect(texts).toHaveLength(4);
    const piece = fc.tuple(fc.nat({ max: 1 }), fc.nat({ max: 4 }));
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (order) => {
        const body = order.map(([file, at]) => pieces[file]![at] ?? new Uint8Array(0));
        const genuine = order.findIndex(([file, at], i) => file !== 0 || at !== i);
        const inFront = genuine < 0 ? order.length : genuine;
        const opened = await open(concat(head, ...body), 'identity');
        expect(await textsOf(concat(head, ...body))).toEqual(texts.slice(0, Math.min(inFront, 4)));
        expect(opened).toMatchObject({ complete: inFront >= 5 });
      }),
      { seed: 7, numRuns: 150, examples: [[[0, 1, 2, 3, 4].map((at) => [0, at] as [number, number])]] },
    );
  });

  it('forge-cut: cut or longer, bring the server back to nothing but what it had written', async () => {
    const whole = bytesOf(identity);
    const own = new Set([...FORMER.sessions, ...NEWEST.sessions].map(({ id }) => toHex(id)));
    for (const bytes of [
      ...recordsOf(whole).map((_, i, records) => whole.slice(0, -concat(...records.slice(i)).length)),
      concat(whole, whole),
      concat(whole, bytesOf(media)),
    ]) {
      put(identity, bytes);
      const found = await (await bench.start()).readIdentity();
      expect(found?.sessions.length).toBeGreaterThan(0);
      for (const { id } of found!.sessions) expect(own).toContain(toHex(id));
      expect([NEWEST, FORMER].map(({ tokenKey }) => toHex(tokenKey.bytes))).toContain(
        toHex(found!.tokenKey.bytes),
      );
    }
  });
});

interface Plant {
  readonly id: string;
  readonly sentence: string;
  plant(path: string, elsewhere: string): void;
}

const PLANTS: readonly Plant[] = [
  {
    id: 'forge-link',
    sentence: 'a symbolic link in the place of a file is not followed',
    plant: (path, elsewhere) => symlinkSync(elsewhere, path),
  },
  {
    id: 'forge-hard-link',
    sentence: 'another file under the name of one of ours is neither used nor written to',
    plant: (path, elsewhere) => linkSync(elsewhere, path),
  },
  {
    id: 'forge-pipe',
    sentence: 'a pipe in the place of a file is not waited for',
    plant: (path) => makePipe(path),
  },
  {
    id: 'forge-directory',
    sentence: 'a directory in the place of a file keeps nobody from starting',
    plant: (path) => mkdirSync(path),
  },
  {
    id: 'forge-huge',
    sentence: 'a file of a terabyte in the place of one of ours is not read, copied or overwritten',
    plant: (path) => {
      writeFileSync(path, '');
      truncateSync(path, 2 ** 40);
    },
  },
];

describe('whatever lies in the place of a file', () => {
  it.each(PLANTS.map((row) => [`${row.id}: ${row.sentence}`, row] as const))(
    '%s',
    async (_, { id, plant }) => {
      const elsewhere = join(bench.root, 'elsewhere');
      const content = bytesOf(identity);
      writeFileSync(elsewhere, content);
      const mediaAnchor = join(bench.stateDir, 'media.anchor');
      const paths = [
        identity,
        join(bench.stateDir, 'identity.previous.sealed'),
        join(bench.stateDir, `identity.sealed.${process.pid}.tmp`),
        mediaAnchor,
        join(bench.stateDir, 'server.json'),
        join(bench.runtimeDir, 'identity.anchor'),
        media,
        `${media}.tmp`,
      ];
      for (const path of paths) {
        rmSync(path, { recursive: true, force: true });
        plant(path, elsewhere);
        const store = await bench.start();
        const found = await store.readIdentity();
        const contexts = await store.takeMedia();
        // Behind the link, and under the second name, lies what the server has written last.
        const isNewest = path !== identity || id === 'forge-hard-link';
        expect(revealed(found)).toEqual(revealed(isNewest ? NEWEST : FORMER));
        expect(contexts?.peers.length).toBe([media, mediaAnchor].includes(path) ? undefined : 2);
        readRunFile(bench.stateDir);
        // Only where a directory takes the very name that is needed can it not be written; that is an error in words, and no crash.
        await store.writeIdentity(NEWEST).catch(expectUnwritable(id));
        try {
          store.writeMedia(MEDIA);
        } catch (error) {
          expectUnwritable(id)(error);
          store.dropMedia();
        }
        expect(bytesOf(elsewhere)).toEqual(content);
        rmSync(path, { recursive: true, force: true });
        const after = await bench.start();
        await after.writeIdentity(FORMER);
        await after.writeIdentity(NEWEST);
        after.writeMedia(MEDIA);
      }
      expect(await started()).toEqual(all(NEWEST, MEDIA));
    },
  );
});

const expectUnwritable = (id: string) => (error: unknown) => {
  expect(id).toBe('forge-directory');
  expect(error).toMatchObject({ code: 'STATE_UNWRITABLE' });
};

describe("the operator's command", () => {
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  async function run(command: 'rotate' | 'rekey'): Promise<{ code: number; text: string }> {
    let text = '';
    const write = (part: string) => {
      text += part;
    };
    const io = { stdout: { write }, stderr: { write } };
    const env = settingsOf(bench);
    const code = command === 'rekey' ? await rekey([], env, io) : await runKeys([command], env, io, inRam());
    return { code, text };
  }

  /** Another program answers where `server.json`, which was replaced, says that the server is. */
  async function impostor(answer: Record<string, unknown>): Promise<void> {
    const path = join(bench.root, 'impostor.sock');
    const server = await adminServer(path, async () => ({ ok: true, ...answer }));
    closing.push(() => server.close());
    announceServer(bench.stateDir, { adminSocket: path, runtimeDir: bench.runtimeDir });
  }

  it('forge-answer: destroys no key because another program says that it has sealed anew', async () => {
    const { id } = (await bench.keyring()).primary();
    await impostor({});
    const { code, text } = await run('rotate');
    expect(code).toBe(1);
    expect(text).toContain('is not sealed to the new key');
    (await bench.keyring()).secret(id).dispose();
    expect((await started()).identity).toEqual(revealed(NEWEST));
  });

  it('forge-terminal: shows nothing that would steer the terminal', async () => {
    await impostor({ sessions: '\u001b[2Jevil\nline' });
    expect((await run('rekey')).text).toBe('new keys are on the way to NaN sessions\n');
    await closing.pop()?.();
    await impostor({ ok: false, error: '\u001b]0;evil\u0007\nline' });
    for (const command of ['rekey', 'rotate'] as const)
      expect((await run(command)).text).toMatch(/^[^\p{Cc}]*\?\]0;evil\?\?line[^\p{Cc}]*\n$/u);
    const genuine = readRunFile(bench.stateDir);
    expect(genuine).toBeDefined();
    for (const field of ['host', 'adminSocket', 'runtimeDir'] as const) {
      writeFileSync(
        join(bench.stateDir, 'server.json'),
        JSON.stringify({ ...genuine, [field]: 'a\u001b[2J' }),
      );
      expect(readRunFile(bench.stateDir)).toBeUndefined();
    }
  });
});

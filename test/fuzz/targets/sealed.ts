import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { RekeycastError } from '../../../src/errors.ts';
import { Keyring } from '../../../src/keyring/keyring.ts';
import { encodeIdentity } from '../../../src/snapshot/codec/identity.ts';
import { FileSnapshotStore } from '../../../src/snapshot/file-store.ts';
import { HEADER_BYTES, parseHeader } from '../../../src/snapshot/header.ts';
import { openSealed } from '../../../src/snapshot/seal.ts';
import { concat, toHex } from '../../../src/util/bytes.ts';
import { loadSodium } from '../../../src/util/sodium.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { encodeMedia, SAMPLE_TIME, sampleIdentity, sampleMedia } from '../../support/snapshots.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { MemoryFiles } from '../memory-files.ts';
import { mutateBytes } from '../mutate.ts';
import { decodeScript, encodeScript, mutateScript } from '../script.ts';
import { recordsOf } from './snapshot-codec.ts';

const DIRECTORIES = { stateDir: '/state', runtimeDir: '/run', keysDir: '/keys' } as const;
/** All files of a server that has written both snapshots twice. */
const GENUINE = new MemoryFiles();
/** Those that somebody with the directories may have changed, in their order. */
let names: readonly string[] = [];
const CHECKSUM_BYTES = 8;
const NEXT_BOOT_EVERY = 4;
const SEEDS = [71, 72];
/** The records of every file there is, as hex: the same in every process, other than what they are sealed to. */
const SEALED: readonly (readonly string[])[] = SEEDS.flatMap((seed) => [
  recordsOf(encodeIdentity(sampleIdentity(seededRandom(seed), 2))).map(toHex),
  recordsOf(encodeMedia(sampleMedia(seededRandom(seed), 2))).map(toHex),
]);

async function prepare(): Promise<void> {
  await loadSodium();
  if (names.length > 0) return;
  GENUINE.write(join(DIRECTORIES.runtimeDir, '.directory'), new Uint8Array(0));
  const store = await open(GENUINE);
  for (const seed of SEEDS) {
    await store.writeIdentity(sampleIdentity(seededRandom(seed), 2));
    store.writeMedia(sampleMedia(seededRandom(seed), 2));
  }
  names = [...GENUINE.files.keys()].filter((name) => /\.(sealed|anchor)$/.test(name)).sort();
}

async function open(fs: MemoryFiles): Promise<FileSnapshotStore> {
  const { stateDir, runtimeDir, keysDir } = DIRECTORIES;
  const keys = await Keyring.open({ directory: keysDir, fs, rng: seededRandom(73) });
  return new FileSnapshotStore({
    stateDir,
    runtimeDir,
    keys,
    fs,
    report: () => undefined,
    now: () => SAMPLE_TIME + 1_000,
  });
}

export const sealedFile: FuzzTarget = {
  id: 'fuzz-sealed-file',
  claim: 'a sealed file opens to the records that were sealed, in their order, or to less of them',
  inputs: 5_000,
  maxBytes: 16 * 1_024,
  reaches: ['complete', 'damaged head', 'damaged', 'newer', 'forged', 'locked'],
  prepare,
  seeds: () => names.filter((name) => name.endsWith('.sealed')).map((name) => GENUINE.files.get(name)!),
  repair: (input) => {
    if (input.length < HEADER_BYTES) return input;
    const head = input.subarray(0, HEADER_BYTES - CHECKSUM_BYTES);
    const checksum = createHash('sha256').update(head).digest().subarray(0, CHECKSUM_BYTES);
    return concat(head, checksum, input.subarray(HEADER_BYTES));
  },
  run: async (input) => {
    const keys = await genuineKeys();
    const parsed = parseHeader(input);
    const kind = parsed.outcome === 'header' ? parsed.header.kind : 'identity';
    const known = keys.list().some(({ id }) => parsed.outcome === 'header' && id === parsed.header.keyId);
    const opened = openSealed(input, (id) => (known ? keys.secret(id) : undefined), { kind });
    if (opened.outcome === 'opened') {
      const read = opened.records.map((record) => toHex(record.bytes));
      for (const record of opened.records) record.dispose();
      const sealed = SEALED.filter((records) => read.every((record, i) => record === records[i]));
      if (sealed.length === 0) throw new Error('a record that was not sealed, or not there');
      if (opened.complete && sealed.every(({ length }) => length !== read.length))
        throw new Error('less than all');
    }
    if (opened.outcome === 'damaged') return 'damaged head';
    if (opened.outcome !== 'opened') return opened.outcome;
    return opened.damage === undefined ? 'complete' : 'damaged';
  },
};

let keyring: Promise<Keyring> | undefined;
const genuineKeys = (): Promise<Keyring> => {
  keyring ??= Keyring.open({ directory: DIRECTORIES.keysDir, fs: GENUINE, create: false });
  return keyring;
};

export const stateFiles: FuzzTarget = {
  id: 'fuzz-state-files',
  claim:
    'whatever lies in the two directories, a boot reads them, or refuses with a code, and what it writes then is read by the next',
  inputs: 800,
  maxBytes: 16 * 1_024,
  reaches: ['identity and media', 'identity', 'nothing'],
  prepare,
  seeds: () => {
    const all = names.map((name, op) => ({ op, data: GENUINE.files.get(name)! }));
    return [
      encodeScript(all),
      encodeScript(all.toReversed().slice(1)),
      encodeScript(all.filter(({ op }) => !names[op]!.includes('anchor'))),
      encodeScript(all.map(({ op, data }) => ({ op: (op + 1) % names.length, data }))),
      encodeScript(all.map(({ op, data }) => ({ op, data: data.subarray(0, data.length - 30) }))),
    ];
  },
  mutate: (input, random) =>
    mutateScript(input, random, names.length, (data) => {
      const changed = mutateBytes(data, random, data);
      return random.chance(0.5) ? sealedFile.repair!(changed) : changed;
    }),
  run: async (input) => {
    const fs = new MemoryFiles();
    for (const [name, bytes] of GENUINE.files) if (!names.includes(name)) fs.write(name, bytes);
    for (const { op, data } of decodeScript(input)) fs.write(names[op % names.length]!, data);
    let outcome: string;
    try {
      const store = await open(fs);
      const identity = await store.readIdentity();
      const media = await store.takeMedia();
      outcome = identity === undefined ? 'nothing' : media === undefined ? 'identity' : 'identity and media';
      if (identity === undefined && media !== undefined) outcome = 'media';
      if (fs.files.has(names.find((name) => name.endsWith('media.sealed'))!))
        throw new Error('contexts lie there still');
      await store.writeIdentity(sampleIdentity(seededRandom(74), 2));
      store.writeMedia(sampleMedia(seededRandom(74), 1));
    } catch (cause) {
      if (!(cause instanceof RekeycastError)) throw cause;
      return cause.code;
    }
    // A second boot takes as long as the first: for a part of the inputs, which may be any.
    if (input.length % NEXT_BOOT_EVERY !== 0) return outcome;
    const next = await open(fs);
    const [identity, media] = [await next.readIdentity(), await next.takeMedia()];
    if (identity?.sessions.length !== 2 || media?.peers.length !== 1)
      throw new Error('what was written is not read again');
    return outcome;
  },
};

import { hostname } from 'node:os';
import { RekeycastError } from '../../../src/errors.ts';
import { KeyFiles } from '../../../src/keyring/files.ts';
import { Keyring } from '../../../src/keyring/keyring.ts';
import { readRunFile, serverLiveness } from '../../../src/snapshot/run-file.ts';
import { utf8 } from '../../../src/util/bytes.ts';
import { loadSodium } from '../../../src/util/sodium.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { MemoryFiles } from '../memory-files.ts';
import { decodeScript, encodeScript, mutateScript } from '../script.ts';
import { mutateJsonText } from './messages.ts';

const KEYS = '/keys';
/** A keyring with its two keys: `<id>.json` and `<id>.secret` of each. */
const GENUINE = new MemoryFiles();

export const keyFiles: FuzzTarget = {
  id: 'fuzz-key-files',
  claim:
    'a key directory is read to keys that open what is sealed to them, or refused with a code and without a secret left',
  inputs: 2_400,
  maxBytes: 12 * 1_024,
  reaches: ['usable', 'KEY_INVALID', 'KEY_MISSING'],
  prepare: async () => {
    await loadSodium();
    const keyring = await Keyring.open({
      directory: KEYS,
      fs: GENUINE,
      rng: seededRandom(21),
      now: () => 1_800_000_000_000,
    });
    await keyring.promote(await keyring.add());
  },
  seeds: () => {
    const files = [...GENUINE.files.values()];
    return [
      encodeScript(files.map((data, op) => ({ op, data }))),
      encodeScript(files.slice(0, 2).map((data, op) => ({ op, data }))),
      encodeScript(files.slice(2).map((data, op) => ({ op: op + 2, data }))),
      encodeScript([{ op: 0, data: utf8('{}') }]),
    ];
  },
  mutate: (input, random) =>
    mutateScript(input, random, GENUINE.files.size, (data) => mutateJsonText(data, random)),
  run: async (input) => {
    const fs = new MemoryFiles();
    const names = [...GENUINE.files.keys()];
    for (const { op, data } of decodeScript(input)) fs.write(names[op % names.length]!, data);
    try {
      const keyring = await Keyring.open({ directory: KEYS, create: false, fs });
      keyring.refresh();
      for (const { id, state } of keyring.list())
        if (state === 'primary' && id !== keyring.primary().id) throw new Error('two primaries');
      const { id, publicKey } = keyring.primary();
      const secret = keyring.secret(id);
      if (secret.length !== 32 || publicKey.length !== 32) throw new Error('a key of another size');
      secret.dispose();
      const [first] = new KeyFiles(KEYS, fs).entries();
      return first === undefined ? 'empty' : 'usable';
    } catch (cause) {
      if (!(cause instanceof RekeycastError)) throw cause;
      return cause.code;
    }
  },
};

export const runFile: FuzzTarget = {
  id: 'fuzz-run-file',
  claim:
    'server.json names a process, which runs, has ended or cannot be seen from here, or counts as not there',
  inputs: 3_000,
  maxBytes: 12 * 1_024,
  reaches: ['stopped', 'unknown', 'nothing'],
  seeds: () => [
    utf8(
      JSON.stringify({
        pid: 2 ** 22 + 1,
        processStart: '1',
        host: 'elsewhere',
        adminSocket: '/nonexistent/admin.sock',
        runtimeDir: '/nonexistent',
      }),
    ),
    utf8(JSON.stringify({ pid: 2 ** 31, processStart: '', host: hostname(), adminSocket: '' })),
  ],
  mutate: mutateJsonText,
  run: (input) => {
    const fs = new MemoryFiles();
    fs.write('/state/server.json', input);
    const run = readRunFile('/state', fs);
    if (run === undefined) return 'nothing';
    const liveness = serverLiveness(run, fs);
    if (run.pid <= 0) throw new Error('to signal this id would be to signal a group of processes');
    return liveness;
  },
};

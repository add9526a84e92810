import { runKeys } from '../../../src/cli/keys.ts';
import { rekey } from '../../../src/cli/rekey.ts';
import { bufferOf, utf8 } from '../../../src/util/bytes.ts';
import { loadSodium } from '../../../src/util/sodium.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { MemoryFiles } from '../memory-files.ts';
import { mutateList, mutateText } from '../mutate.ts';

const ARGUMENTS = [
  'status',
  'rotate',
  'add',
  'promote',
  'disable',
  'enable',
  'destroy',
  'reseal',
  'verify',
  '0011223344556677',
  'help',
  '--json',
  '--help',
  '-h',
  '--',
  '--json=1',
  '-j',
  '--no-json',
  'toString',
];
/** Where nothing is: no server is asked and no key is there. */
const NOWHERE = '/nonexistent/rekeycast';

export const cli: FuzzTarget = {
  id: 'fuzz-cli',
  claim:
    'arguments are done, failed or called wrongly, with words for it and an exit code of 0 to 3, and nothing thrown',
  inputs: 3_000,
  maxBytes: 4_096,
  reaches: ['keys 0', 'keys 1', 'keys 2', 'rekey 1', 'rekey 2'],
  prepare: async () => {
    await loadSodium();
  },
  seeds: () => [
    ...ARGUMENTS.map((one) => utf8(one)),
    utf8('status\n--json'),
    utf8('rotate\n--json'),
    utf8('status\nrotate'),
  ],
  mutate: (input, random) => {
    const args = bufferOf(input).toString('utf8').split('\n');
    return utf8(
      mutateList<string>(
        args,
        random,
        (one) => mutateText(one, random),
        () => random.pick(ARGUMENTS),
      ).join('\n'),
    );
  },
  run: async (input) => {
    const args = bufferOf(input).toString('utf8').split('\n');
    const said: string[] = [];
    const words = { write: (text: string) => said.push(text) };
    const io = { stdout: words, stderr: words };
    const env = { STATE_DIR: `${NOWHERE}/state`, KEYS_DIR: `${NOWHERE}/keys`, RUNTIME_DIR: `${NOWHERE}/run` };
    // The first argument is what a shell would have left behind a stray blank.
    const command = input[0] === 0x20 || args[0] === '-j' ? 'rekey' : 'keys';
    const code =
      command === 'rekey'
        ? await rekey(args.slice(1), env, io)
        : await runKeys(args, env, io, new MemoryFiles());
    if (![0, 1, 2, 3].includes(code)) throw new Error(`exit code ${code}`);
    if (said.join('').trim() === '') throw new Error('not a word');
    return `${command} ${code}`;
  },
};

import { readConfig } from '../config.ts';
import { RekeycastError } from '../errors.ts';
import { readClosed, readPassphrase } from '../keyring/choose-source.ts';
import { parseKeys } from '../keyring/key-text.ts';
import type { Keyring, KeyStatus } from '../keyring/keyring.ts';
import { wrapKeys } from '../keyring/passphrase.ts';
import { formerKeys, rotate } from '../keyring/rotate.ts';
import type { FileCheck, SealedFileStatus } from '../snapshot/reseal.ts';
import type { FileSystem } from '../util/file-system.ts';
import { secureRandom } from '../util/rng.ts';
import {
  alone,
  type Environment,
  filesOf,
  findReachableServer,
  findServer,
  type ServerFound,
  type Workplace,
} from './workplace.ts';

/** What a command has to say, for programs and for people. */
interface Outcome {
  readonly json: Readonly<Record<string, unknown>>;
  readonly text: string;
  /** Something is left to do. */
  readonly attention?: boolean;
}

export interface KeysCommand {
  /** What it takes; absent where it takes nothing. */
  readonly argument?: 'id' | 'file';
  /** One line, without a full stop. */
  readonly summary: string;
  readonly help: string;
  readonly run: (
    workplace: () => Promise<Workplace>,
    argument: string,
    env: Environment,
    fs: FileSystem,
  ) => Promise<Outcome>;
}

type Work = (workplace: Workplace, argument: string) => Promise<Outcome>;

const inWorkplace =
  (work: Work): KeysCommand['run'] =>
  async (workplace, argument) =>
    work(await workplace(), argument);

/** One at a time. */
const changing = (work: Work) =>
  inWorkplace((workplace, argument) => {
    workplace.keyring.assertOurs();
    return alone(workplace, () => work(workplace, argument));
  });

export const COMMANDS: Readonly<Record<string, KeysCommand>> = {
  status: {
    summary: 'the keys, what is sealed to them, and what is left to do',
    help: `Changes nothing. Exits with 3 where something is left to do: a rotation that was cut off, a key without its secret, a file that is
sealed to another key than the primary one, a server that does not answer. With --json: {directory, external, server, keys, sealed, unfinished,
attention}, where attention is the list of what is left to do, in words.`,
    run: inWorkplace(showStatus),
  },
  rotate: {
    summary: 'replace the primary key: add, promote, reseal, verify, destroy the old one',
    help: `A running server seals anew from its own state and viewers see nothing; where none runs this command does it. The old key is
destroyed when everything opens with the new one, and not before. An enabled key that never was primary (rekeycast keys add) is
taken in place of a new one. Cut off at any point, run it again: it finishes what was begun, and makes no other key.`,
    run: changing(rotateKeys),
  },
  add: {
    summary: 'make a key, enabled and not primary',
    help: `For those who go step by step, or put the new key into a backup before anything is sealed to it:

  rekeycast keys add             prints the new key's id
  rekeycast keys promote <id>    the server seals to it from its next snapshot on
  rekeycast keys reseal          what lies there, too
  rekeycast keys verify          exits with 0 when everything opens with it
  rekeycast keys disable <old>   can be taken back (enable)
  rekeycast keys destroy <old>   cannot`,
    run: changing(addKey),
  },
  promote: {
    argument: 'id',
    summary: 'make an enabled key the primary one, which is sealed to',
    help: `The key that was primary stays enabled, since files are sealed to it still: rekeycast keys reseal, then disable and destroy it, or
rekeycast keys rotate, which does all of that. Refused where the secret of the key is missing or is not its own.`,
    run: changing(promoteKey),
  },
  disable: {
    argument: 'id',
    summary: 'keep a key from being used; it can be enabled again',
    help: `Refused for the primary key, and for one that a sealed file or the running server needs still: the next start would find a file that
it cannot open. Its secret stays where it is.`,
    run: changing((workplace, id) => retire(workplace, id, 'disable')),
  },
  enable: {
    argument: 'id',
    summary: 'take back disable',
    help: `For a key that opens an old backup. One that was primary before counts as the rest of a rotation while it is enabled: rekeycast keys
rotate would destroy it.`,
    run: changing(enableKey),
  },
  destroy: {
    argument: 'id',
    summary: 'zero and remove the secret of a key, for ever; its dates stay',
    help: `Refused for the primary key, and for one that a sealed file or the running server needs still. Backups that are sealed to it do not
open any more. Copies of the key itself, in backups of KEYS_DIR, are yours to destroy.`,
    run: changing((workplace, id) => retire(workplace, id, 'destroy')),
  },
  reseal: {
    summary: 'seal everything to the primary key, and verify it; destroys nothing',
    help: `A running server seals anew from its own state and confirms; where none runs this command does it. The running server learns of a
promotion by it at once, instead of at its next snapshot.`,
    run: inWorkplace((workplace) => alone(workplace, () => resealFiles(workplace))),
  },
  verify: {
    summary: 'try that every key is whole and every sealed file opens with the primary one',
    help: `Changes nothing. Exits with 1 where a key or a file is no good, with 3 where all of them are but a file is sealed to another key than
the primary one. Of media.sealed only the head is tried: it is opened once, by the next start. With --json: {primary, good, complete,
keys, files}.`,
    run: inWorkplace(verifyAll),
  },
  wrap: {
    argument: 'file',
    summary: 'print the keys in a file, put under the passphrase in KEYS_PASSPHRASE_FILE',
    help: `For keys that others keep (SNAPSHOT_KEY_FILE, SNAPSHOT_KEY_COMMAND, a systemd credential): what it prints may lie there in the place of
the keys. The file has one key a line, primary first, as 64 hex digits or in base64, or the 32 bytes of one. Changes nothing.

  (umask 077; openssl rand -base64 32 > keys.txt)
  KEYS_PASSPHRASE_FILE=passphrase rekeycast keys wrap keys.txt > keys.wrapped`,
    run: (_, path, env, fs) => wrapFile(path, env, fs),
  },
};

async function showStatus(workplace: Workplace): Promise<Outcome> {
  const { keyring, files } = workplace;
  const server = await findServer(workplace);
  const keys = keyring.list();
  const sealed = files.status();
  const primary = keys.find(({ state }) => state === 'primary')?.id;
  const unfinished = primary !== undefined && formerKeys(keyring).length > 0;
  const attention = leftToDo(keyring, server, sealed);
  return {
    json: {
      directory: keyring.place,
      external: keyring.keptByOthers !== undefined,
      server: server.state,
      keys,
      sealed,
      unfinished,
      attention,
    },
    text: [
      `Keys in ${keyring.place}${keyring.keptByOthers === undefined ? '' : ', kept by others'}`,
      ...(keys.length === 0 ? ['  none: the first start of the server makes one'] : keys.map(keyLine)),
      'Sealed files',
      ...(sealed.length === 0 ? ['  none'] : sealed.map((file) => sealedLine(file, primary))),
      `Server: ${server.state}${server.why === '' ? '' : ` (${server.why})`}`,
      ...(attention.length === 0 ? [] : ['Left to do', ...attention.map((words) => `  ${words}`)]),
      '',
    ].join('\n'),
    attention: attention.length > 0,
  };
}

function leftToDo(
  keyring: Keyring,
  server: ServerFound,
  sealed: readonly SealedFileStatus[],
): readonly string[] {
  const keys = keyring.list();
  const primary = keys.find(({ state }) => state === 'primary')?.id;
  const usable = keys.filter(({ state, secretPresent }) => state !== 'destroyed' && secretPresent);
  return [
    ...(server.state === 'unresponsive' ? [`a server seems to run but does not answer: ${server.why}`] : []),
    ...(keys.length > 0 && primary === undefined
      ? ['no key is primary: run rekeycast keys promote <id>']
      : []),
    ...keys
      .filter(({ state, secretPresent }) => state !== 'destroyed' && !secretPresent)
      .map(({ id }) => `key ${id} has lost its secret: put ${id}.secret back, or destroy the key`),
    ...sealed
      .filter(({ keyId }) => keyId !== primary)
      .map(({ path, keyId }) =>
        usable.some(({ id }) => id === keyId)
          ? `${path} is sealed to ${keyId}, which is not primary: run rekeycast keys reseal`
          : `${path} is sealed to ${keyId}, which is not here: put that key back, or the server cannot open it`,
      ),
    ...(primary !== undefined && formerKeys(keyring).length > 0
      ? [
          `A rotation is not finished (${formerKeys(keyring).join(', ')} was primary before and is enabled still): run rekeycast keys rotate`,
        ]
      : []),
  ];
}

async function rotateKeys(workplace: Workplace): Promise<Outcome> {
  const { keyring } = workplace;
  const server = await findReachableServer(workplace);
  const { primary, destroyed, finishedEarlier } = await rotate(keyring, filesOf(workplace, server));
  const done = finishedEarlier
    ? 'An earlier rotation, which had been cut off, is finished now.'
    : 'The snapshot key was replaced.';
  return {
    json: { primary, destroyed, finishedEarlier, server: server.state },
    text: [
      done,
      `  primary    ${primary}`,
      ...destroyed.map((id) => `  destroyed  ${id}`),
      sealedBy(server),
      '',
    ].join('\n'),
  };
}

async function addKey({ keyring }: Workplace): Promise<Outcome> {
  const added = await keyring.add();
  return {
    json: { added },
    text: `${added}\nThe key is enabled and nothing is sealed to it. Run rekeycast keys promote ${added}, or rekeycast keys rotate.\n`,
  };
}

async function promoteKey({ keyring, files }: Workplace, id: string): Promise<Outcome> {
  const before = keyring.list().find(({ state }) => state === 'primary')?.id;
  await keyring.promote(id);
  const rest = before === undefined || before === id ? [] : formerKeys(keyring);
  const open = files.status().filter(({ keyId }) => keyId !== id).length;
  return {
    json: { primary: id, before: before ?? null, filesLeft: open, formerKeys: rest },
    text: [
      `The key ${id} is primary${before === id ? ' already' : ''}.`,
      ...(open === 0 ? [] : [`${open} files are sealed to another key: run rekeycast keys reseal`]),
      '',
    ].join('\n'),
  };
}

async function enableKey({ keyring }: Workplace, id: string): Promise<Outcome> {
  await keyring.enable(id);
  const former = formerKeys(keyring).includes(id);
  const note = former
    ? ' It was primary before: rekeycast keys rotate would destroy it, rekeycast keys disable puts it away again.'
    : '';
  return { json: { enabled: id, former }, text: `The key ${id} is enabled.${note}\n` };
}

/** Puts a key out of use that nothing needs any more. */
async function retire(workplace: Workplace, id: string, how: 'disable' | 'destroy'): Promise<Outcome> {
  const { keyring, files } = workplace;
  const server = await findReachableServer(workplace);
  const need = server.key === id ? 'the running server seals to it' : files.needOf(id);
  const isUsed = keyring.list().some((key) => key.id === id && /^(enabled|disabled)$/.test(key.state));
  if (isUsed && need !== undefined)
    throw new RekeycastError(
      'KEY_INVALID',
      `the snapshot key ${id} is needed: ${need}. Nothing was changed. Run rekeycast keys reseal, and this again`,
    );
  await (how === 'disable' ? keyring.disable(id) : keyring.destroy(id));
  return how === 'disable'
    ? {
        json: { disabled: id },
        text: `The key ${id} is disabled. rekeycast keys enable ${id} takes that back.\n`,
      }
    : { json: { destroyed: id }, text: `The key ${id} is destroyed. What was sealed to it stays shut.\n` };
}

async function resealFiles(workplace: Workplace): Promise<Outcome> {
  const { keyring } = workplace;
  const primary = keyring.primary().id;
  const server = await findReachableServer(workplace);
  const files = filesOf(workplace, server);
  await files.reseal();
  await files.verify(primary);
  return {
    json: { primary, server: server.state },
    text: `Everything is sealed to ${primary} and opens with it. ${sealedBy(server)}\n`,
  };
}

async function verifyAll({ keyring, files }: Workplace): Promise<Outcome> {
  const keys = keyring
    .list()
    .filter(({ state }) => state === 'primary' || state === 'enabled')
    .map(({ id }) => ({ id, problem: keyProblem(keyring, id) }));
  const primary = keyring.primary().id;
  const checks = files.check();
  const bad = [...keys, ...checks].flatMap(({ problem }) => problem ?? []);
  if (bad.length > 0) throw new RekeycastError('SEALED_FILE_INVALID', bad.join('; '));
  const others = checks.filter(({ keyId }) => keyId !== primary);
  return {
    json: { primary, good: true, complete: others.length === 0, keys, files: checks },
    text: [
      `Keys: ${keys.map(({ id }) => (id === primary ? `${id} (primary)` : id)).join(', ')}, with their secrets`,
      ...(checks.length === 0 ? ['Nothing is sealed yet'] : checks.map((check) => checkLine(check, primary))),
      ...(others.length === 0
        ? []
        : ['Not all of it is sealed to the primary key: run rekeycast keys reseal']),
      '',
    ].join('\n'),
    attention: others.length > 0,
  };
}

/** Without a look at the keyring: what is wrapped may be the first that comes there. */
async function wrapFile(path: string, env: Environment, fs: FileSystem): Promise<Outcome> {
  const keys = readClosed(path, path, fs);
  try {
    for (const key of parseKeys(keys, path)) key.dispose();
    const passphrase = readPassphrase(readConfig(env).passphraseFile, fs);
    const wrapped = wrapKeys(keys, passphrase, secureRandom);
    passphrase.dispose();
    return { json: { wrapped: wrapped.trim() }, text: wrapped };
  } finally {
    keys.dispose();
  }
}

function keyProblem(keyring: Keyring, id: string): string | undefined {
  try {
    keyring.secret(id).dispose();
    return undefined;
  } catch (cause) {
    if (cause instanceof RekeycastError) return cause.message;
    throw cause;
  }
}

const sealedBy = ({ state }: ServerFound): string =>
  state === 'running'
    ? 'The running server seals to the new key.'
    : 'No server runs; what it left is sealed to the new key.';

const checkLine = ({ path, kind, keyId }: FileCheck, primary: string): string =>
  `  ${path}  ${kind === 'identity' ? 'opens with' : 'was written with'} ${keyId}${keyId === primary ? '' : ' (not the primary key)'}`;

const keyLine = ({ id, state, createdAt, destroyedAt, secretPresent }: KeyStatus): string =>
  `  ${id}  ${state.padEnd(9)}${createdAt === undefined ? '' : `  made ${createdAt}`}${destroyedAt === undefined ? '' : `, destroyed ${destroyedAt}`}${state !== 'destroyed' && !secretPresent ? ', SECRET MISSING' : ''}`;

const sealedLine = ({ path, keyId, createdAt }: SealedFileStatus, primary: string | undefined): string =>
  `  ${path}  to ${keyId}${keyId === primary ? '' : ' (not the primary key)'}, written ${new Date(createdAt).toISOString()}`;

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Config, readConfig } from '../config.ts';
import { messageOf, RekeycastError } from '../errors.ts';
import { adminSocketPath } from '../keyring/admin-protocol.ts';
import { Keyring, type KeyStatus } from '../keyring/keyring.ts';
import { formerKeys, rotate, type SealedFiles } from '../keyring/rotate.ts';
import { AUDIT_FILE, openAudit } from '../observability/audit.ts';
import { type SealedFileStatus, StoredFiles } from '../snapshot/reseal.ts';
import { type RunFile, readRunFile, serverLiveness } from '../snapshot/run-file.ts';
import { chooseRuntimeDir } from '../snapshot/runtime-dir.ts';
import { wallNow } from '../util/clock.ts';
import { type FileSystem, nodeFileSystem } from '../util/file-system.ts';
import { loadSodium } from '../util/sodium.ts';
import { askServer, refusalOf } from './admin-client.ts';

export interface CliIo {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

type Environment = Readonly<Record<string, string | undefined>>;

const HELP = `rekeycast keys - the keys that snapshots are sealed to

Usage:

  rekeycast keys status [--json]    the keys, what is sealed to them, and what is left to do
  rekeycast keys rotate [--json]    replace the primary key: add, promote, seal anew, verify, destroy the old one

Rotating works with the server running and with it stopped. Cut off at any point, run it again: it goes on where it was. Until the
new key is proven the old one stays.

Settings: KEYS_DIR (keys), STATE_DIR (state), RUNTIME_DIR; the same as the server's. Key events go to STATE_DIR/audit.log.

Exit codes: 0 done, 1 failed, 2 called wrongly.
`;

/** A running server writes its media snapshot many times in this time. */
const SIGN_OF_LIFE_MS = 3_000;

const COMMANDS: Readonly<Record<string, (workplace: Workplace) => Promise<Outcome>>> = {
  status: showStatus,
  rotate: rotateKeys,
};

/** What a command has to say, for programs and for people. */
interface Outcome {
  readonly json: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** The `keys` command. Gives the exit code. */
export async function runKeys(
  argv: readonly string[],
  env: Environment,
  io: CliIo,
  fs: FileSystem = nodeFileSystem,
): Promise<number> {
  const parsed = parse(argv);
  if (typeof parsed === 'string') {
    io.stderr.write(`rekeycast keys: ${parsed}\n\n${HELP}`);
    return 2;
  }
  if (parsed.help) {
    io.stdout.write(HELP);
    return 0;
  }
  try {
    await loadSodium();
    const outcome = await parsed.command(await openWorkplace(env, io, fs));
    io.stdout.write(parsed.json ? `${JSON.stringify(outcome.json)}\n` : outcome.text);
    return 0;
  } catch (cause) {
    if (!(cause instanceof RekeycastError)) throw cause;
    if (parsed.json) io.stdout.write(`${JSON.stringify({ error: cause.code, message: cause.message })}\n`);
    io.stderr.write(`rekeycast keys: ${cause.message} [${cause.code}]\n`);
    return 1;
  }
}

type Parsed =
  | { readonly help: true }
  | {
      readonly help: false;
      readonly json: boolean;
      readonly command: (workplace: Workplace) => Promise<Outcome>;
    };

/** What is asked for, or what is wrong with it in words. */
function parse(argv: readonly string[]): Parsed | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: { json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' } },
    });
    if (values.help === true || positionals[0] === 'help') return { help: true };
    const [name, ...others] = positionals;
    if (name === undefined) return 'say which command';
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) return `there is no command "${name}"`;
    if (others.length > 0) return `"${name}" takes no "${others[0]}"`;
    return { help: false, json: values.json, command };
  } catch (cause) {
    return messageOf(cause);
  }
}

/** Where the server's files are, and whether it runs. */
interface Workplace {
  readonly keyring: Keyring;
  readonly files: StoredFiles;
  readonly adminSocket: string;
  readonly run: RunFile | undefined;
  readonly fs: FileSystem;
  readonly note: (message: string) => void;
}

async function openWorkplace(env: Environment, io: CliIo, fs: FileSystem): Promise<Workplace> {
  const config = readConfig(env);
  const stateDir = resolve(config.stateDir);
  const note = (message: string): void => {
    io.stderr.write(`rekeycast keys: ${message}\n`);
  };
  const run = readRunFile(stateDir, fs);
  const runtimeDir = run === undefined ? findRuntimeDir(config, env, fs) : run.runtimeDir;
  const audit = openAudit({ path: resolve(stateDir, AUDIT_FILE), failed: note, fs });
  const keyring = await Keyring.open({
    directory: resolve(config.keysDir),
    create: false,
    record: ({ event, key }) => audit({ event, key, by: 'keys' }),
    fs,
  });
  const report = ({ message }: { readonly message: string }): void => note(message);
  const files = new StoredFiles({ stateDir, runtimeDir, keys: keyring, fs, report, now: wallNow });
  return {
    keyring,
    files,
    adminSocket: run?.adminSocket ?? adminSocketPath(stateDir, runtimeDir),
    run,
    fs,
    note,
  };
}

/** Where a server would have its runtime directory that was started with these settings, in strict mode too. */
function findRuntimeDir(config: Config, env: Environment, fs: FileSystem): string | undefined {
  const { stateDir, runtimeDir: given } = config;
  return chooseRuntimeDir({ given, stateDir, env, fs, report: () => {}, prepare: false });
}

async function showStatus(workplace: Workplace): Promise<Outcome> {
  const { keyring, files } = workplace;
  const server = await findServer(workplace);
  const keys = keyring.list();
  const sealed = files.status();
  const primary = keys.find(({ state }) => state === 'primary')?.id;
  const unfinished = primary !== undefined && formerKeys(keyring).length > 0;
  return {
    json: { directory: keyring.directory, server: server.state, keys, sealed, unfinished },
    text: [
      `Keys in ${keyring.directory}`,
      ...(keys.length === 0 ? ['  none: the first start of the server makes one'] : keys.map(keyLine)),
      'Sealed files',
      ...(sealed.length === 0 ? ['  none'] : sealed.map((file) => sealedLine(file, primary))),
      `Server: ${server.state}${server.why === '' ? '' : ` (${server.why})`}`,
      ...(unfinished ? ['A rotation is not finished: run rekeycast keys rotate'] : []),
      '',
    ].join('\n'),
  };
}

async function rotateKeys(workplace: Workplace): Promise<Outcome> {
  const { keyring, files } = workplace;
  const server = await findServer(workplace);
  if (server.state === 'unresponsive') {
    throw new RekeycastError(
      'SERVER_UNRESPONSIVE',
      `a server seems to run but does not answer (${server.why}). Nothing was changed and no key destroyed; run the command again when it answers or is stopped`,
    );
  }
  const through: SealedFiles =
    server.state === 'stopped'
      ? files
      : { reseal: () => resealByServer(workplace), verify: (key) => files.verify(key) };
  const { primary, destroyed, finishedEarlier } = await rotate(keyring, through);
  const done = finishedEarlier
    ? 'An earlier rotation, which had been cut off, is finished now.'
    : 'The snapshot key was replaced.';
  return {
    json: { primary, destroyed, finishedEarlier, server: server.state },
    text: [
      done,
      `  primary    ${primary}`,
      ...destroyed.map((id) => `  destroyed  ${id}`),
      server.state === 'running'
        ? 'The running server seals to the new key.'
        : 'No server runs; what it left is sealed to the new key.',
      '',
    ].join('\n'),
  };
}

async function resealByServer({ adminSocket }: Workplace): Promise<void> {
  const why = refusalOf(await askServer(adminSocket, { command: 'reseal' }));
  if (why === undefined) return;
  throw new RekeycastError(
    'SERVER_UNRESPONSIVE',
    `the running server did not seal anew (${why}). Both keys stay enabled, nothing is lost; run the command again`,
  );
}

interface ServerFound {
  readonly state: 'running' | 'stopped' | 'unresponsive';
  readonly why: string;
}

/** Asks at the socket; where nobody answers, looks for other signs that a server runs. */
async function findServer(workplace: Workplace): Promise<ServerFound> {
  const { adminSocket, run, files, fs } = workplace;
  const answer = await askServer(adminSocket, { command: 'status' });
  if (answer.kind === 'answer') return { state: 'running', why: '' };
  if (answer.kind === 'silent') return { state: 'unresponsive', why: `${adminSocket}: ${answer.why}` };
  const liveness = run === undefined ? 'stopped' : serverLiveness(run, fs);
  if (liveness === 'running')
    return { state: 'unresponsive', why: `process ${run?.pid} runs, but nobody answers at ${adminSocket}` };
  if (liveness === 'unknown')
    return {
      state: 'unresponsive',
      why: `it was started on ${run?.host}, which cannot be seen from here; run this there, or remove server.json in STATE_DIR if that server is gone`,
    };
  const written = files.status().find(({ kind }) => kind === 'media')?.createdAt;
  if (written !== undefined && Math.abs(wallNow() - written) < SIGN_OF_LIFE_MS)
    return { state: 'unresponsive', why: 'it wrote a snapshot a moment ago; try again in a few seconds' };
  return { state: 'stopped', why: '' };
}

const keyLine = ({ id, state, createdAt, destroyedAt, secretPresent }: KeyStatus): string =>
  `  ${id}  ${state.padEnd(9)}  made ${createdAt}${destroyedAt === undefined ? '' : `, destroyed ${destroyedAt}`}${state !== 'destroyed' && !secretPresent ? ', SECRET MISSING' : ''}`;

const sealedLine = ({ path, keyId, createdAt }: SealedFileStatus, primary: string | undefined): string =>
  `  ${path}  to ${keyId}${keyId === primary ? '' : ' (not the primary key)'}, written ${new Date(createdAt).toISOString()}`;

import { spawn } from 'node:child_process';
import { basename, join, resolve } from 'node:path';
import { messageOf, RekeycastError } from '../errors.ts';
import type { Millis } from '../util/clock.ts';
import type { FileSystem } from '../util/file-system.ts';
import { printable } from '../util/printable.ts';
import { Secret } from '../util/secret.ts';
import { ExternalKeys } from './external-keys.ts';
import { KeyFiles, tooOpen } from './files.ts';
import { MAX_SOURCE_BYTES } from './key-text.ts';
import type { KeySource } from './source.ts';

/** What the operator has said about where keys are. */
export interface KeySettings {
  readonly keysDir: string;
  readonly keyFile: string | undefined;
  /** Program and arguments. */
  readonly keyCommand: readonly string[] | undefined;
  readonly keyTimeout: Millis;
  readonly passphraseFile: string | undefined;
}

/** Names of systemd credentials (systemd.exec(5), `LoadCredential=`). */
const KEY_CREDENTIAL = 'rekeycast-snapshot-key';
const PASSPHRASE_CREDENTIAL = 'rekeycast-keys-passphrase';
/** Of what a command that fails has to say. */
const MAX_SAID = 300;

/**
 * SNAPSHOT_KEY_FILE or SNAPSHOT_KEY_COMMAND where one is set; else the systemd credential where the unit has one; else the files in KEYS_DIR, which
 * alone are made and changed by this program. Throws `CONFIG_INVALID` where two are set.
 */
export function chooseKeySource(
  settings: KeySettings,
  env: Readonly<Record<string, string | undefined>>,
  fs: FileSystem,
): KeySource {
  const { keyFile, keyCommand, keyTimeout, keysDir } = settings;
  const credential = (name: string): string | undefined => {
    const directory = env.CREDENTIALS_DIRECTORY ?? '';
    const path = join(directory, name);
    return directory !== '' && fs.info(path) !== undefined ? path : undefined;
  };
  const passphrase = (): Secret =>
    readPassphrase(settings.passphraseFile ?? credential(PASSPHRASE_CREDENTIAL), fs);
  if (keyFile !== undefined && keyCommand !== undefined)
    throw new RekeycastError(
      'CONFIG_INVALID',
      'SNAPSHOT_KEY_FILE and SNAPSHOT_KEY_COMMAND are both set: keys come from one place',
    );
  if (keyCommand !== undefined)
    return new ExternalKeys({
      place: `SNAPSHOT_KEY_COMMAND (${basename(keyCommand[0] ?? '')})`,
      reaches: 'run rekeycast keys reseal',
      fetch: () => runKeyCommand(keyCommand, keyTimeout),
      passphrase,
    });
  if (keyFile !== undefined) {
    const path = resolve(keyFile);
    const place = `SNAPSHOT_KEY_FILE (${path})`;
    const fetch = async () => readClosed(path, place, fs);
    return new ExternalKeys({ place, reaches: 'run rekeycast keys reseal', fetch, passphrase });
  }
  const path = credential(KEY_CREDENTIAL);
  if (path === undefined) return new KeyFiles(resolve(keysDir), fs);
  const place = `the credential ${KEY_CREDENTIAL} (${path})`;
  // A unit gets its credentials when it starts, and keeps them.
  const reaches = 'restart the unit, which seals to it from then on';
  return new ExternalKeys({ place, reaches, fetch: async () => readSecretFile(path, place, fs), passphrase });
}

/** The passphrase, without the line break at its end. */
export function readPassphrase(path: string | undefined, fs: FileSystem): Secret {
  if (path === undefined)
    throw failed(
      `the snapshot keys are under a passphrase, and there is none: set KEYS_PASSPHRASE_FILE, or give the unit the credential ${PASSPHRASE_CREDENTIAL}`,
    );
  const place = `the passphrase file ${path}`;
  const text = readClosed(path, place, fs);
  let { length } = text;
  while (length > 0 && (text.bytes[length - 1] === 0x0a || text.bytes[length - 1] === 0x0d)) length--;
  const passphrase = Secret.copy(text.bytes.subarray(0, length));
  text.dispose();
  if (length > 0) return passphrase;
  throw failed(`${place} is empty`);
}

/** The same as {@link readSecretFile}, of a file that nobody else may read. */
export function readClosed(path: string, place: string, fs: FileSystem): Secret {
  const mode = attempt(place, () => fs.info(path)?.mode ?? 0);
  if ((mode & 0o077) !== 0) throw tooOpen(path, mode, '600');
  return readSecretFile(path, place, fs);
}

function readSecretFile(path: string, place: string, fs: FileSystem): Secret {
  const buffer = Secret.alloc(MAX_SOURCE_BYTES);
  try {
    const size = attempt(place, () => fs.readInto(path, buffer.bytes));
    if (size === undefined) throw failed(`${place} is not there`);
    if (size > MAX_SOURCE_BYTES) throw failed(`${place} has ${size} bytes, more than ${MAX_SOURCE_BYTES}`);
    return Secret.copy(buffer.bytes.subarray(0, size));
  } finally {
    buffer.dispose();
  }
}

/** The command's standard output. No shell is in between, and its words are never shown where it has given keys. */
export function runKeyCommand(command: readonly string[], timeout: Millis): Promise<Secret> {
  const [program = '', ...args] = command;
  const place = `SNAPSHOT_KEY_COMMAND (${basename(program)})`;
  return new Promise((settle, reject) => {
    const output = Secret.alloc(MAX_SOURCE_BYTES);
    let [length, said] = [0, ''];
    // A group of its own, so that whatever it has started ends with it.
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    // Nor does it outlive us.
    const leave = (): void => {
      if (child.pid !== undefined) killGroup(child.pid);
    };
    process.once('exit', leave);
    const end = (result: { readonly error: RekeycastError } | { readonly keys: Secret }): void => {
      process.off('exit', leave);
      clearTimeout(timer);
      output.dispose();
      if ('error' in result) reject(result.error);
      else settle(result.keys);
    };
    const stop = (problem: string): void => {
      child.removeAllListeners('close');
      if (child.pid !== undefined) killGroup(child.pid);
      child.stdout.destroy();
      child.stderr.destroy();
      end({ error: failed(`${place} ${problem}. Nothing was changed`) });
    };
    const timer = setTimeout(() => stop(`has not ended within ${timeout} ms and was killed`), timeout);
    child.stdout.on('data', (chunk: Buffer) => {
      if (output.disposed) return;
      if (length + chunk.length <= MAX_SOURCE_BYTES) output.bytes.set(chunk, length);
      length += chunk.length;
      chunk.fill(0);
      if (length > MAX_SOURCE_BYTES) stop(`gives more than ${MAX_SOURCE_BYTES} bytes and was killed`);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString('utf8')).slice(0, MAX_SAID);
    });
    child.once('error', (cause) => {
      child.removeAllListeners('close');
      end({ error: failed(`${place} cannot be started: ${cause.message}`) });
    });
    child.once('close', (code, signal) => {
      if (code === 0) end({ keys: Secret.copy(output.bytes.subarray(0, length)) });
      else {
        const words = said.trim() === '' ? '' : `: ${printable(said.trim())}`;
        end({ error: failed(`${place} ended with ${signal ?? `exit code ${code}`}${words}`) });
      }
    });
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended in this moment.
  }
}

function attempt<T>(place: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw failed(`${place} cannot be read: ${messageOf(cause)}`, cause);
  }
}

const failed = (message: string, cause?: unknown): RekeycastError =>
  new RekeycastError('KEY_SOURCE_FAILED', message, { cause });

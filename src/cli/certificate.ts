import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Config, readConfig } from '../config.ts';
import { messageOf, RekeycastError } from '../errors.ts';
import { createCertificate } from '../server/certificate.ts';
import { describeCertificate } from '../server/certificate-keeper.ts';
import { FileSnapshotStore } from '../snapshot/file-store.ts';
import { IDENTITY_FILE } from '../snapshot/identity-file.ts';
import { inspectFile } from '../snapshot/inspect.ts';
import { ageInWords } from '../util/age.ts';
import { wallNow } from '../util/clock.ts';
import { type FileSystem, nodeFileSystem } from '../util/file-system.ts';
import { secureRandom } from '../util/rng.ts';
import { loadSodium } from '../util/sodium.ts';
import { askServer, refusalOf } from './admin-client.ts';
import { failed } from './call.ts';
import {
  alone,
  type CliIo,
  type Environment,
  findReachableServer,
  openWorkplace,
  type Workplace,
  withoutServer,
} from './workplace.ts';

const HELP = `rekeycast certificate - the certificate by which browsers know the server

Usage:

  rekeycast certificate status [--json]    its fingerprint and age; exits with 3 where it is older than CERT_MAX_AGE
  rekeycast certificate rotate [--json]    replace it now, whatever its age

With the server running everybody who is live moves to the new one, unnoticed; with it stopped the next start shows it. The server
does the same by itself at CERT_MAX_AGE. After a theft of STATE_DIR and the snapshot keys: rekeycast keys rotate, and then this.

Exit codes: 0 done, 1 failed (the old one stays), 2 called wrongly, 3 (status) it is to be replaced.
`;

interface Shown {
  readonly sha256: string;
  readonly createdAt: string;
}

/** The `certificate` command. Gives the exit code. */
export async function runCertificate(
  argv: readonly string[],
  env: Environment,
  io: CliIo,
  fs: FileSystem = nodeFileSystem,
): Promise<number> {
  const asked = parse(argv);
  if (typeof asked === 'string') {
    io.stderr.write(`rekeycast certificate: ${asked}\n\n${HELP}`);
    return 2;
  }
  if (asked.command === 'help') {
    io.stdout.write(HELP);
    return 0;
  }
  try {
    await loadSodium();
    const workplace = await openWorkplace('certificate', env, io, fs);
    const config = readConfig(env);
    return asked.command === 'rotate'
      ? await rotate(workplace, asked.json, io)
      : await show(workplace, config, asked.json, io);
  } catch (cause) {
    return failed('certificate', cause, asked.json, io);
  }
}

async function show(workplace: Workplace, config: Config, json: boolean, io: CliIo): Promise<number> {
  const server = await findReachableServer(workplace);
  const current = server.state === 'running' ? await ofServer(workplace) : ofFile(workplace);
  const ageMs = wallNow() - Date.parse(current.createdAt);
  const due = ageMs >= config.certMaxAge;
  io.stdout.write(
    json
      ? `${JSON.stringify({ ...current, ageMs, due, server: server.state })}\n`
      : `sha-256 ${current.sha256}\nmade ${current.createdAt}, ${ageInWords(ageMs)} ago\n${due ? `Older than CERT_MAX_AGE (${ageInWords(config.certMaxAge)}): run rekeycast certificate rotate\n` : ''}`,
  );
  return due ? 3 : 0;
}

async function rotate(workplace: Workplace, json: boolean, io: CliIo): Promise<number> {
  const server = await findReachableServer(workplace);
  const { before, now } = await alone(workplace, async () => {
    const running = server.state === 'running';
    const before = running ? await ofServer(workplace) : ofFile(workplace);
    return { before, now: running ? await replaceByServer(workplace) : await replaceInFiles(workplace) };
  });
  const words =
    server.state === 'running'
      ? 'Everybody who is live moves to it.'
      : 'No server runs; the next start shows it.';
  io.stdout.write(
    json
      ? `${JSON.stringify({ ...now, before: before.sha256, server: server.state })}\n`
      : `The certificate was replaced. ${words}\n  new     sha-256 ${now.sha256}\n  former  sha-256 ${before.sha256}\n`,
  );
  return 0;
}

async function ofServer({ adminSocket }: Workplace): Promise<Shown> {
  return shownBy(adminSocket, 'status');
}

/** The server has it on file when it answers. */
const replaceByServer = ({ adminSocket }: Workplace): Promise<Shown> => shownBy(adminSocket, 'certificate');

async function shownBy(adminSocket: string, command: 'status' | 'certificate'): Promise<Shown> {
  const answer = await askServer(adminSocket, { command });
  const shown =
    answer.kind === 'answer' && answer.response.ok ? (answer.response.certificate as Shown) : undefined;
  if (typeof shown?.sha256 === 'string') return shown;
  throw new RekeycastError(
    'SERVER_UNRESPONSIVE',
    `the running server did not ${command === 'status' ? 'say which certificate it has' : 'replace its certificate'} (${refusalOf(answer) ?? 'it is of another version'}). The old one stays; run the command again`,
  );
}

function ofFile({ stateDir, keyring, fs }: Workplace): Shown {
  const path = join(stateDir, IDENTITY_FILE);
  const { opened, problem } = inspectFile(path, { fs, keys: keyring, now: wallNow(), open: true });
  if (opened !== undefined) return opened.certificate;
  throw new RekeycastError(
    'SEALED_FILE_INVALID',
    `${path} does not say which certificate there is: ${problem}`,
  );
}

/** Both generations: else the former certificate would come back with the one before, where the newest gets damaged. */
function replaceInFiles(workplace: Workplace): Promise<Shown> {
  const { stateDir, runtimeDir, keyring: keys, fs, report, audit } = workplace;
  return withoutServer(workplace, async () => {
    const store = new FileSnapshotStore({ stateDir, runtimeDir, keys, report, fs });
    const identity = await store.readIdentity();
    if (identity === undefined)
      throw new RekeycastError('SEALED_FILE_INVALID', `there is no identity in ${stateDir} to replace`);
    const certificate = await createCertificate(secureRandom, wallNow());
    await store.writeIdentity({ ...identity, certificate });
    await store.writeIdentity({ ...identity, certificate });
    const shown = describeCertificate(certificate);
    const before = describeCertificate(identity.certificate).sha256;
    audit('certificate-replaced', { sha256: shown.sha256, before });
    for (const secret of [identity.certificate.privateKey, identity.tokenKey, certificate.privateKey])
      secret.dispose();
    return shown;
  });
}

/** What is asked for, or what is wrong with it in words. */
function parse(
  argv: readonly string[],
): { readonly command: 'status' | 'rotate' | 'help'; readonly json: boolean } | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: { json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' } },
    });
    const [command, surplus] = positionals;
    if (values.help === true || command === 'help') return { command: 'help', json: false };
    if (command === undefined) return 'say which command: status or rotate';
    if (command !== 'status' && command !== 'rotate') return `there is no command "${command}"`;
    return surplus === undefined ? { command, json: values.json } : `"${command}" takes no "${surplus}"`;
  } catch (cause) {
    return messageOf(cause);
  }
}

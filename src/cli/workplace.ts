import { dirname, resolve } from 'node:path';
import { type Config, readConfig } from '../config.ts';
import { messageOf, RekeycastError } from '../errors.ts';
import { adminSocketPath } from '../keyring/admin-protocol.ts';
import { chooseKeySource } from '../keyring/choose-source.ts';
import { Keyring } from '../keyring/keyring.ts';
import type { SealedFiles } from '../keyring/rotate.ts';
import { AUDIT_FILE, type AuditEvent, type AuditEventName, openAudit } from '../observability/audit.ts';
import { auditOfStore } from '../server/audit-trail.ts';
import { DirectoryLock } from '../server/directory-lock.ts';
import { StorageLock } from '../server/storage-lock.ts';
import { StoredFiles } from '../snapshot/reseal.ts';
import { type RunFile, readRunFile, serverLiveness } from '../snapshot/run-file.ts';
import { chooseRuntimeDir } from '../snapshot/runtime-dir.ts';
import type { Report } from '../snapshot/store.ts';
import { wallNow } from '../util/clock.ts';
import type { FileSystem } from '../util/file-system.ts';
import { askServer, refusalOf } from './admin-client.ts';

export interface CliIo {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where a server's files are, and whether it runs. */
export interface Workplace {
  readonly keyring: Keyring;
  readonly files: StoredFiles;
  readonly stateDir: string;
  readonly runtimeDir: string | undefined;
  readonly adminSocket: string;
  readonly run: RunFile | undefined;
  readonly fs: FileSystem;
  readonly audit: Audit;
  /** Tells the operator what was found out about a file, and audits it where that is due. */
  readonly report: Report;
}

type Caller = AuditEvent['by'];
type Audit = (event: AuditEventName, facts: Readonly<Record<string, string>>) => void;

export interface ServerFound {
  readonly state: 'running' | 'stopped' | 'unresponsive';
  readonly why: string;
  /** What the running one seals to. */
  readonly key?: string | undefined;
}

const STARTING_WORDS = 'a server is starting. Nothing is lost and no key destroyed; run the command again';

/** The directories of a server, as it has announced them or as these settings say. */
interface Places {
  readonly config: Config;
  readonly stateDir: string;
  readonly runtimeDir: string | undefined;
  readonly run: RunFile | undefined;
}

export function findPlaces(env: Environment, fs: FileSystem): Places {
  const config = readConfig(env);
  const stateDir = resolve(config.stateDir);
  const run = readRunFile(stateDir, fs);
  return {
    config,
    stateDir,
    runtimeDir: run === undefined ? findRuntimeDir(config, env, fs) : run.runtimeDir,
    run,
  };
}

/** What a command has done is on file before it says so, under its name. */
function auditBy(by: Caller, { stateDir }: Places, io: CliIo, fs: FileSystem): Audit {
  const audit = openAudit({ path: resolve(stateDir, AUDIT_FILE), failed: noteTo(io), fs });
  return (event, facts) => audit({ event, by, ...facts });
}

/** The keys as they are; none are made. */
export async function openKeyring(
  by: Caller,
  places: Places,
  env: Environment,
  io: CliIo,
  fs: FileSystem,
): Promise<Keyring> {
  const audit = auditBy(by, places, io, fs);
  return Keyring.open({
    source: chooseKeySource(places.config, env, fs),
    create: false,
    record: ({ event, key }) => audit(event, { key }),
    fs,
  });
}

export async function openWorkplace(
  by: Caller,
  env: Environment,
  io: CliIo,
  fs: FileSystem,
): Promise<Workplace> {
  const places = findPlaces(env, fs);
  const { stateDir, runtimeDir, run } = places;
  const keyring = await openKeyring(by, places, env, io, fs);
  const note = noteTo(io);
  const audit = auditBy(by, places, io, fs);
  const report: Report = (found) => {
    note(found.message);
    const audited = auditOfStore(found);
    if (audited !== undefined) audit(audited.event, { message: found.message });
  };
  return {
    keyring,
    files: new StoredFiles({ stateDir, runtimeDir, keys: keyring, fs, report, now: wallNow }),
    stateDir,
    runtimeDir,
    adminSocket: run?.adminSocket ?? adminSocketPath(stateDir, runtimeDir),
    run,
    fs,
    audit,
    report,
  };
}

const noteTo =
  (io: CliIo) =>
  (message: string): void => {
    io.stderr.write(`rekeycast: ${message}\n`);
  };

/** Where a server would have its runtime directory that was started with these settings, in strict mode too. */
function findRuntimeDir(config: Config, env: Environment, fs: FileSystem): string | undefined {
  const { stateDir, runtimeDir: given } = config;
  return chooseRuntimeDir({ given, stateDir, env, fs, report: () => {}, prepare: false });
}

/** Asks at the socket; where nobody answers, looks for other signs that a server runs. */
export async function findServer(workplace: Workplace): Promise<ServerFound> {
  const { adminSocket, run, stateDir, fs } = workplace;
  const answer = await askServer(adminSocket, { command: 'status' });
  if (answer.kind === 'answer') {
    const key = answer.response.ok ? answer.response.key : undefined;
    return { state: 'running', why: '', key: typeof key === 'string' ? key : undefined };
  }
  if (answer.kind === 'silent') return { state: 'unresponsive', why: `${adminSocket}: ${answer.why}` };
  const liveness = run === undefined ? 'stopped' : serverLiveness(run, fs);
  if (liveness === 'running')
    return { state: 'unresponsive', why: `process ${run?.pid} runs, but nobody answers at ${adminSocket}` };
  if (liveness === 'unknown')
    return {
      state: 'unresponsive',
      why: `it was started on ${run?.host}, which cannot be seen from here; run this there, or remove server.json in STATE_DIR if that server is gone`,
    };
  // Whoever has it is a server, or a command of an operator that seals anew.
  if (await StorageLock.isHeld(workplace))
    return { state: 'unresponsive', why: `${stateDir} or its RUNTIME_DIR is locked by a process that runs` };
  return { state: 'stopped', why: '' };
}

/** The same for what must not be done beside a server that cannot be asked. Throws `SERVER_UNRESPONSIVE`. */
export async function findReachableServer(workplace: Workplace): Promise<ServerFound> {
  const server = await findServer(workplace);
  if (server.state !== 'unresponsive') return server;
  throw new RekeycastError(
    'SERVER_UNRESPONSIVE',
    `a server seems to run but does not answer (${server.why}). Nothing was changed and no key destroyed; run the command again when it answers or is stopped`,
  );
}

/** The sealed files, sealed anew by whom they belong to: the running server, from its own state, or else this command. */
export function filesOf(workplace: Workplace, { state }: ServerFound): SealedFiles {
  const { files, adminSocket, keyring, audit } = workplace;
  const verify = (key: string): Promise<void> => files.verify(key);
  if (state === 'running') return { reseal: () => resealByServer(adminSocket), verify };
  // A server that starts meanwhile would write newer files, and these would be put over them.
  const reseal = () =>
    withoutServer(workplace, async () => {
      await files.reseal();
      audit('resealed', { key: keyring.primary().id });
    });
  return { reseal, verify };
}

/** One command at a time. */
export function alone<T>({ adminSocket, keyring }: Workplace, work: () => Promise<T>): Promise<T> {
  const words = 'another rekeycast command is changing the keys. Nothing was changed; run this one again';
  const directory = dirname(adminSocket);
  return withLock(directory, DirectoryLock.take(directory, { name: 'keys-lock', words }), () => {
    // One that was waited for may have changed them since they were read.
    keyring.refresh();
    return work();
  });
}

async function resealByServer(adminSocket: string): Promise<void> {
  const why = refusalOf(await askServer(adminSocket, { command: 'reseal' }));
  if (why === undefined) return;
  throw new RekeycastError(
    'SERVER_UNRESPONSIVE',
    `the running server did not seal anew (${why}). Both keys stay enabled, nothing is lost; run the command again`,
  );
}

/** No server starts meanwhile. Throws `STATE_IN_USE` where one does already. */
export function withoutServer<T>(
  { stateDir, runtimeDir }: Pick<Workplace, 'stateDir' | 'runtimeDir'>,
  work: () => Promise<T>,
): Promise<T> {
  return withLock(stateDir, StorageLock.take({ stateDir, runtimeDir, words: STARTING_WORDS }), work);
}

async function withLock<T>(
  directory: string,
  taking: Promise<{ release(): void }>,
  work: () => Promise<T>,
): Promise<T> {
  const lock = await taking.catch((cause: unknown) => {
    if (cause instanceof RekeycastError) throw cause;
    // Before the first run there is no such directory, and nobody to be in the way.
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new RekeycastError(
      'STATE_UNWRITABLE',
      `${directory} cannot be locked: ${messageOf(cause)}. Nothing was changed; run this as the server's user`,
      { cause },
    );
  });
  try {
    return await work();
  } finally {
    lock?.release();
  }
}

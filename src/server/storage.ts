import { join } from 'node:path';
import type { Config } from '../config.ts';
import { RekeycastError } from '../errors.ts';
import { adminSocketPath } from '../keyring/admin-protocol.ts';
import { chooseKeySource } from '../keyring/choose-source.ts';
import { Keyring } from '../keyring/keyring.ts';
import type { KeySource } from '../keyring/source.ts';
import type { Logger } from '../log.ts';
import { AUDIT_FILE, DeferredAudit } from '../observability/audit.ts';
import { SnapshotWrites } from '../observability/snapshot-writes.ts';
import { AdminSocket } from '../signaling/admin.ts';
import { FileSnapshotStore } from '../snapshot/file-store.ts';
import { MAX_SEALED_BYTES } from '../snapshot/header.ts';
import { IDENTITY_FILE } from '../snapshot/identity-file.ts';
import { readRunFile } from '../snapshot/run-file.ts';
import { chooseRuntimeDir } from '../snapshot/runtime-dir.ts';
import type { IdentitySnapshot, MediaSnapshot } from '../snapshot/schema.ts';
import { openSealed } from '../snapshot/seal.ts';
import type { Report, SnapshotStore, StoreEvent } from '../snapshot/store.ts';
import { nodeFileSystem } from '../util/file-system.ts';
import { loadSodium } from '../util/sodium.ts';
import { auditOfStore } from './audit-trail.ts';
import { StorageLock } from './storage-lock.ts';

/** Where this server keeps what survives. */
export interface Storage {
  readonly keys: Keyring;
  readonly store: SnapshotStore;
  readonly writes: SnapshotWrites;
  readonly audit: DeferredAudit;
  /** Tells of what happens to the files, and audits it where that is due. */
  readonly report: Report;
  readonly runtimeDir: string | undefined;
  /** SRTP contexts may be written: there is RAM-backed storage, and the operator has not asked for strict mode. */
  readonly keepsMedia: boolean;
}

/** What an embedder keeps elsewhere than in files. */
export interface StorageOptions {
  /** In the place of the sealed files in STATE_DIR and RUNTIME_DIR. What it is given holds secrets: it seals what it keeps. */
  readonly store?: SnapshotStore;
  /** In the place of KEYS_DIR and the other sources that the configuration names. */
  readonly keySource?: KeySource;
}

interface OpenOptions extends StorageOptions {
  /** Another server has the directories still. Only what it does not notice is done; {@link claimStorage} is to be called when it has gone. */
  readonly beside?: boolean;
}

/** Opens keyring and store. Throws `KEY_*`, `STATE_UNWRITABLE` or `STATE_IN_USE`; makes both on the first run. */
export async function openStorage(
  config: Config,
  log: Logger,
  { store: given, keySource, beside = false }: OpenOptions = {},
): Promise<Storage> {
  await loadSodium();
  const { stateDir } = config;
  const audit = new DeferredAudit({
    path: join(stateDir, AUDIT_FILE),
    failed: (message) => log.warn({ event: 'audit-not-written' }, message),
  });
  const report = (event: StoreEvent) => {
    log[event.level]({ event: event.event }, event.message);
    const audited = auditOfStore(event);
    if (audited !== undefined) audit.record({ ...audited, by: 'server' });
  };
  const keys = await Keyring.open({
    source: keySource ?? chooseKeySource(config, process.env, nodeFileSystem),
    create: !beside,
    record: ({ event, key }) => audit.record({ event, by: 'server', key }),
  });
  // Whoever cannot write a snapshot finds out now, and not at the first one.
  keys.writer();
  const runtimeDir = chooseRuntimeDir({ given: config.runtimeDir, stateDir, env: process.env, report });
  if (!beside) await refuseSecond(stateDir, runtimeDir);
  const writes = new SnapshotWrites();
  const written = writes.written.bind(writes);
  // The audit log and the notes for operators lie there all the same.
  if (given !== undefined) nodeFileSystem.makeDirectory(stateDir, 0o700);
  const store = given ?? new FileSnapshotStore({ stateDir, runtimeDir, keys, report, written });
  const keepsMedia = config.resume === 'auto' && store.keepsMedia;
  if (beside && given === undefined) checkIdentity(stateDir, keys);
  // What an earlier process kept is not to outlive the operator's decision.
  if (!beside && !keepsMedia) store.dropMedia();
  return { keys, store, writes, audit, report, runtimeDir, keepsMedia };
}

/** No other server, and no command that seals anew, has the directories from here on. Throws `STATE_IN_USE` or `STATE_UNWRITABLE`. */
export function lockStorage(
  { stateDir }: Config,
  { runtimeDir }: Storage,
  log: Logger,
): Promise<StorageLock> {
  const unlocked = (message: string) => log.warn({ event: 'state-not-locked' }, message);
  return StorageLock.take({ stateDir, runtimeDir, unlocked });
}

/** The server that had the directories has let go of them: does what {@link openStorage} could not do beside it. */
export async function claimStorage(
  { stateDir }: Config,
  { runtimeDir, store, keepsMedia }: Storage,
): Promise<void> {
  await refuseSecond(stateDir, runtimeDir);
  if (!keepsMedia) store.dropMedia();
}

/** What the process before has left; nobody gets it again. Afterwards the snapshot key is out of memory: from here on it writes, and opens nothing. */
export async function takeSnapshots({ store, keys }: Storage): Promise<{
  readonly identity: IdentitySnapshot | undefined;
  readonly media: MediaSnapshot | undefined;
}> {
  try {
    const identity = await store.readIdentity();
    // Contexts of sessions that nobody knows.
    if (identity === undefined) store.dropMedia();
    return { identity, media: await store.takeMedia() };
  } finally {
    keys.forget();
  }
}

/** Whoever cannot go on with what the running server writes finds out while that one runs. Throws `SEALED_FILE_INVALID`. */
function checkIdentity(stateDir: string, keys: Keyring): void {
  const path = join(stateDir, IDENTITY_FILE);
  const bytes = nodeFileSystem.read(path, MAX_SEALED_BYTES);
  if (bytes === undefined) return;
  const opened = openSealed(bytes, (id) => keys.secret(id), { kind: 'identity' });
  if (opened.outcome === 'opened') {
    for (const record of opened.records) record.dispose();
    return;
  }
  const why =
    opened.outcome === 'newer'
      ? 'it is of a newer version'
      : opened.outcome === 'locked'
        ? `it is sealed to the key ${opened.keyId}, which this one has not got`
        : 'it does not open';
  throw new RekeycastError(
    'SEALED_FILE_INVALID',
    `this one could not go on with what the running server writes (${path}: ${why}). That one was not asked, and goes on`,
  );
}

/**
 * The ports are the lock, but with other ports there may be a second server on the same directories: it would go on with the contexts of one that
 * still uses them, and both would send under the same indices. One that is just ending is waited for.
 */
async function refuseSecond(stateDir: string, runtimeDir: string | undefined): Promise<void> {
  const own = adminSocketPath(stateDir, runtimeDir);
  for (const socket of new Set([own, readRunFile(stateDir)?.adminSocket ?? own])) {
    for (let tries = 1; await AdminSocket.isServed(socket); tries++) {
      if (tries === ENDING_TRIES)
        throw new RekeycastError(
          'STATE_IN_USE',
          `another server runs on STATE_DIR ${stateDir} or its RUNTIME_DIR (it answers at ${socket}): stop it, or give this one directories of its own`,
        );
      await new Promise((resume) => setTimeout(resume, ENDING_INTERVAL_MS));
    }
  }
}

const ENDING_TRIES = 10;
const ENDING_INTERVAL_MS = 50;

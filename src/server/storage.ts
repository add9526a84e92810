import { join } from 'node:path';
import type { Config } from '../config.ts';
import { RekeycastError } from '../errors.ts';
import { adminSocketPath } from '../keyring/admin-protocol.ts';
import { type KeyEvent, Keyring } from '../keyring/keyring.ts';
import type { Logger } from '../log.ts';
import { AUDIT_FILE, openAudit } from '../observability/audit.ts';
import { AdminSocket } from '../signaling/admin.ts';
import { FileSnapshotStore } from '../snapshot/file-store.ts';
import { readRunFile } from '../snapshot/run-file.ts';
import { chooseRuntimeDir } from '../snapshot/runtime-dir.ts';
import type { SnapshotStore, StoreEvent } from '../snapshot/store.ts';
import { loadSodium } from '../util/sodium.ts';

/** Where this server keeps what survives. */
export interface Storage {
  readonly keys: Keyring;
  readonly store: SnapshotStore;
  readonly runtimeDir: string | undefined;
  /** SRTP contexts may be written: there is RAM-backed storage, and the operator has not asked for strict mode. */
  readonly keepsMedia: boolean;
}

/** Opens keyring and store. Throws `KEY_*`, `STATE_UNWRITABLE` or `STATE_IN_USE`; makes both on the first run. */
export async function openStorage(config: Config, log: Logger): Promise<Storage> {
  await loadSodium();
  const { stateDir, keysDir, runtimeDir: given } = config;
  const report = (event: StoreEvent) => log[event.level]({ event: event.event }, event.message);
  const keys = await Keyring.open({ directory: keysDir, record: deferredAudit(stateDir, log) });
  const runtimeDir = chooseRuntimeDir({ given, stateDir, env: process.env, report });
  await refuseSecond(stateDir, runtimeDir);
  const store = new FileSnapshotStore({ stateDir, runtimeDir, keys, report });
  const keepsMedia = config.resume === 'auto' && store.keepsMedia;
  // What an earlier process kept is not to outlive the operator's decision.
  if (!keepsMedia) store.dropMedia();
  return { keys, store, runtimeDir, keepsMedia };
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

/** Audits key events, one turn of the loop later: each line is synced to disk, and a resume does not wait for that. */
function deferredAudit(stateDir: string, log: Logger): (event: KeyEvent) => void {
  const audit = openAudit({
    path: join(stateDir, AUDIT_FILE),
    failed: (message) => log.warn({ event: 'audit-not-written' }, message),
  });
  return (event) => {
    setTimeout(() => audit({ ...event }), AUDIT_DELAY_MS);
  };
}

const AUDIT_DELAY_MS = 200;

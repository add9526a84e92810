import { join } from 'node:path';
import type { Config } from '../config.ts';
import { type KeyEvent, Keyring } from '../keyring/keyring.ts';
import type { Logger } from '../log.ts';
import { openAudit } from '../observability/audit.ts';
import { FileSnapshotStore } from '../snapshot/file-store.ts';
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

/** Opens keyring and store. Throws `KEY_*` or `STATE_UNWRITABLE`; makes both on the first run. */
export async function openStorage(config: Config, log: Logger): Promise<Storage> {
  await loadSodium();
  const { stateDir, keysDir, runtimeDir: given } = config;
  const report = (event: StoreEvent) => log[event.level]({ event: event.event }, event.message);
  const keys = await Keyring.open({ directory: keysDir, record: deferredAudit(stateDir, log) });
  const runtimeDir = chooseRuntimeDir({ given, stateDir, env: process.env, report });
  const store = new FileSnapshotStore({ stateDir, runtimeDir, keys, report });
  const keepsMedia = config.resume === 'auto' && store.keepsMedia;
  // What an earlier process kept is not to outlive the operator's decision.
  if (!keepsMedia) store.dropMedia();
  return { keys, store, runtimeDir, keepsMedia };
}

/** Audits key events, one turn of the loop later: each line is synced to disk, and a resume does not wait for that. */
function deferredAudit(stateDir: string, log: Logger): (event: KeyEvent) => void {
  const audit = openAudit({
    path: join(stateDir, 'audit.log'),
    failed: (message) => log.warn({ event: 'audit-not-written' }, message),
  });
  return (event) => {
    setTimeout(() => audit({ ...event }), AUDIT_DELAY_MS);
  };
}

const AUDIT_DELAY_MS = 200;
